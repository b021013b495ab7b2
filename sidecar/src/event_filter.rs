//! Which events somebody wants: `member-join,user:deploy,query` (`docs/spec/rpc.md` 8.1). Answers to `EventFilter` of
//! Go's `event_handler.go`.

use folkmoot_serf::{Event, MemberEventKind, Text};

/// A list of filters; an event passes if it matches one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilters(Vec<EventFilter>);

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventFilter {
    /// `*`
    All,
    /// `member-join` and the like.
    Members(MemberEventKind),
    /// `user`, `user:NAME`. Empty: any name.
    User(Text),
    /// `query`, `query:NAME`. Empty: any name.
    Query(Text),
}

/// One of the filters is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", folkmoot_proto::texts::INVALID_FILTER)]
pub struct InvalidFilter;

impl EventFilters {
    /// Reads a comma-separated list without blanks; an empty one means every event.
    ///
    /// # Errors
    /// A part of it is no filter.
    pub fn parse(list: &[u8]) -> Result<Self, InvalidFilter> {
        if list.is_empty() {
            return Ok(Self::every());
        }
        list.split(|&byte| byte == b',').map(EventFilter::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Every event.
    pub fn every() -> Self {
        Self(vec![EventFilter::All])
    }

    /// Whether it wants the event.
    pub fn matches(&self, event: &Event) -> bool {
        self.0.iter().any(|filter| filter.matches(event))
    }

    /// Each of them, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = &EventFilter> {
        self.0.iter()
    }
}

impl EventFilter {
    /// The kind of event, as written: `*`, `member-join`, `user`, `query`, ...
    pub fn event(&self) -> &'static str {
        match self {
            Self::All => "*",
            Self::Members(kind) => kind.as_str(),
            Self::User(_) => "user",
            Self::Query(_) => "query",
        }
    }

    /// The name a user event or query must have; empty if any will do.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::All | Self::Members(_) => b"",
            Self::User(name) | Self::Query(name) => name.as_bytes(),
        }
    }

    /// Reads one filter.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(filter: &[u8]) -> Result<Self, InvalidFilter> {
        if let Some(name) = filter.strip_prefix(b"user:") {
            return Ok(Self::User(text(name)));
        }
        if let Some(name) = filter.strip_prefix(b"query:") {
            return Ok(Self::Query(text(name)));
        }
        match filter {
            b"*" => Ok(Self::All),
            b"user" => Ok(Self::User(Text::default())),
            b"query" => Ok(Self::Query(Text::default())),
            b"member-join" => Ok(Self::Members(MemberEventKind::Join)),
            b"member-leave" => Ok(Self::Members(MemberEventKind::Leave)),
            b"member-failed" => Ok(Self::Members(MemberEventKind::Failed)),
            b"member-update" => Ok(Self::Members(MemberEventKind::Update)),
            b"member-reap" => Ok(Self::Members(MemberEventKind::Reap)),
            _ => Err(InvalidFilter),
        }
    }

    /// Whether it wants the event.
    pub fn matches(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::All, _) => true,
            (Self::Members(kind), Event::Members(event)) => *kind == event.kind,
            (Self::User(name), Event::User(event)) => name.is_empty() || *name == event.name,
            (Self::Query(name), Event::Query(event)) => name.is_empty() || *name == event.name,
            (Self::Members(_), Event::User(_) | Event::Query(_))
            | (Self::User(_), Event::Members(_) | Event::Query(_))
            | (Self::Query(_), Event::Members(_) | Event::User(_)) => false,
        }
    }
}

fn text(name: &[u8]) -> Text {
    Text::from_bytes(bytes::Bytes::copy_from_slice(name))
}

#[cfg(test)]
mod tests {
    use folkmoot_serf::{LamportTime, MemberEvent, UserEvent};

    use super::*;

    #[test]
    fn lists_without_a_fault_are_accepted() {
        for list in
            ["", "*", "user", "user:", "user:a b", "query:x", "member-join,member-reap", "user:a,*,query", "user:a:b"]
        {
            assert!(EventFilters::parse(list.as_bytes()).is_ok(), "{list:?}");
        }
    }

    #[test]
    fn any_faulty_part_refuses_the_whole_list() {
        for list in ["user,", ",", " user", "user, query", "User", "member-join:x", "member", "bogus", "query,bogus"] {
            assert_eq!(EventFilters::parse(list.as_bytes()), Err(InvalidFilter), "{list:?}");
        }
    }

    #[test]
    fn events_match_by_kind_and_name() {
        let left = Event::Members(MemberEvent { kind: MemberEventKind::Leave, members: Vec::new(), forced: false });
        let deploy = Event::User(UserEvent {
            ltime: LamportTime(1),
            name: Text::from("deploy"),
            payload: None,
            coalesce: false,
        });
        let expectations = [
            ("*", true, true),
            ("", true, true),
            ("user", false, true),
            ("user:", false, true),
            ("user:deploy", false, true),
            ("user:deplo", false, false),
            ("query", false, false),
            ("member-leave", true, false),
            ("member-join", false, false),
            ("member-join,user:deploy", false, true),
            ("query,member-leave", true, false),
        ];
        for (list, wants_left, wants_deploy) in expectations {
            let filters = EventFilters::parse(list.as_bytes()).unwrap();
            assert_eq!(filters.matches(&left), wants_left, "{list:?}");
            assert_eq!(filters.matches(&deploy), wants_deploy, "{list:?}");
        }
    }
}
