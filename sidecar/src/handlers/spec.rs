//! [`HandlerSpec`]: `[FILTER=]SCRIPT` as the configuration, the flag and RPC have it (section 4.1).

use hyper::Uri;

use crate::event_filter::{EventFilter, EventFilters};

/// What to run for which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerSpec {
    text: String,
    filters: EventFilters,
    action: Action,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// For `/bin/sh -c`.
    Script(String),
    /// Where to post to.
    Webhook(WebhookUrl),
}

/// An `http` address with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WebhookUrl {
    pub(super) text: String,
    /// For the `Host` header.
    pub(super) authority: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    pub(super) target: String,
}

/// Why a text is no handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// One of the filters is none. Go's text.
    #[error("Event '{filter}' invoking '{script}'")]
    Filter {
        /// The first that is none.
        filter: String,
        /// What it should have filtered for.
        script: String,
    },
    /// Webhooks have no TLS.
    #[error("'{0}': webhooks are posted to http:// addresses only; put a proxy that speaks https in between")]
    Https(String),
    /// Not an address to post to.
    #[error("'{0}': a webhook needs an address of the form http://HOST[:PORT][/PATH], without user name or password")]
    Address(String),
}

impl HandlerSpec {
    /// Reads a handler. A script that contains `=` needs a filter in front; an address does not.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let (filter, script) = match text.split_once('=') {
            Some(_) if is_address(text) => ("", text),
            Some(parts) => parts,
            None => ("", text),
        };
        let filters = EventFilters::parse(filter.as_bytes())
            .map_err(|_| SpecError::Filter { filter: first_fault(filter).to_owned(), script: script.to_owned() })?;
        let action = match is_address(script) {
            true => Action::Webhook(WebhookUrl::parse(script)?),
            false => Action::Script(script.to_owned()),
        };
        Ok(Self { text: text.to_owned(), filters, action })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn filters(&self) -> &EventFilters {
        &self.filters
    }

    pub(super) fn action(&self) -> &Action {
        &self.action
    }
}

impl Action {
    /// The script or the address, as written.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Script(script) => script,
            Self::Webhook(url) => &url.text,
        }
    }
}

impl WebhookUrl {
    fn parse(text: &str) -> Result<Self, SpecError> {
        let fault = || SpecError::Address(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| fault())?;
        if uri.scheme_str() != Some("http") {
            return Err(SpecError::Https(text.to_owned()));
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(fault)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(fault());
        }
        let port = match authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':')) {
            None | Some("") => HTTP_PORT,
            Some(port) => port.parse().map_err(|_| fault())?,
        };
        Ok(Self {
            text: text.to_owned(),
            authority: authority.as_str().to_owned(),
            host: host.to_owned(),
            port,
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        })
    }
}

/// Where the address names no port.
const HTTP_PORT: u16 = 80;

/// A handler that begins like this is a webhook: no program is called so.
fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn first_fault(list: &str) -> &str {
    list.split(',').find(|filter| EventFilter::parse(filter.as_bytes()).is_err()).unwrap_or(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> (Vec<String>, String) {
        let spec = HandlerSpec::parse(text).unwrap();
        let label = |filter: &EventFilter| format!("{}:{}", filter.event(), String::from_utf8_lossy(filter.name()));
        (spec.filters().iter().map(label).collect(), spec.action().as_str().to_owned())
    }

    #[test]
    fn the_filter_ends_at_the_first_equals_sign() {
        assert_eq!(script("h.sh"), (vec!["*:".into()], "h.sh".into()));
        assert_eq!(script("=h.sh"), (vec!["*:".into()], "h.sh".into()));
        assert_eq!(script("user:deploy=A=1 ./x"), (vec!["user:deploy".into()], "A=1 ./x".into()));
        assert_eq!(script("query,user:a=x"), (vec!["query:".into(), "user:a".into()], "x".into()));
        assert_eq!(script("user="), (vec!["user:".into()], String::new()));
    }

    #[test]
    fn a_filter_that_is_none_has_gos_text() {
        let text = |spec: &str| HandlerSpec::parse(spec).unwrap_err().to_string();
        assert_eq!(text("bogus=foo.sh"), "Event 'bogus' invoking 'foo.sh'");
        assert_eq!(text("user,FOO=1 ./x.sh"), "Event 'FOO' invoking '1 ./x.sh'");
        assert_eq!(text("FOO=1 ./x.sh"), "Event 'FOO' invoking '1 ./x.sh'");
    }

    fn webhook(text: &str) -> WebhookUrl {
        match HandlerSpec::parse(text).unwrap().action().clone() {
            Action::Webhook(url) => url,
            Action::Script(script) => panic!("a script: {script}"),
        }
    }

    #[test]
    fn http_addresses_are_webhooks_with_or_without_a_filter() {
        let url = webhook("member-failed=http://127.0.0.1:81/a?b=c");
        assert_eq!((url.host.as_str(), url.port, url.target.as_str()), ("127.0.0.1", 81, "/a?b=c"));
        let url = webhook("http://[::1]/?b=c");
        assert_eq!((url.host.as_str(), url.port, url.target.as_str()), ("::1", 80, "/?b=c"));
        assert_eq!(webhook("user=http://h").target, "/");
    }

    #[test]
    fn addresses_nobody_can_post_to_are_refused() {
        assert!(matches!(HandlerSpec::parse("user=https://h/"), Err(SpecError::Https(_))));
        for address in ["http://", "http:///x", "http://u:p@h/", "http://h:99999/", "http://a b/"] {
            assert_eq!(HandlerSpec::parse(address), Err(SpecError::Address(address.to_owned())));
        }
    }
}
