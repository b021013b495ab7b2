//! `monitor`: shows log lines and events as they come (`docs/spec/agent-cli.md` 2.7).

use std::ffi::OsString;
use std::future::pending;

use folkmoot_client::{EventRecord, Member, Subscription, Text};

use super::connect::{connect, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::interrupt::Interrupt;
use super::output::Output;
use crate::flags::FlagDefinition;
use crate::go_text::{byte_list, quote};

pub(super) const DEFINITION: Definition = Definition {
    name: "monitor",
    line: "Shows the agent's log and events as they come",
    usage: "[options]",
    about: "Shows the last lines of the agent's log, then new ones and events as they come, until it is interrupted. The level may be lower than the agent's own.",
    flags: || {
        with_connection(&[FlagDefinition::text(
            "log-level",
            "=trace|debug|info|warn|err",
            "Lowest level shown; default: info.",
        )])
    },
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let level = flags.text("log-level").unwrap_or("INFO").to_uppercase();
    let client = connect(&flags).await?;
    let interrupt = Interrupt::new();
    let events = client.stream("*").await.map_err(Failure::during("Error starting stream"))?;
    let logs = client.monitor(level).await.map_err(Failure::during("Error starting monitor"))?;
    follow(events, logs, interrupt, out).await
}

const REMOTE_ENDED: &str =
    "\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.";

/// Prints until it is interrupted, or both subscriptions have ended with the connection and are read to the end.
async fn follow(
    mut events: Subscription<EventRecord>,
    mut logs: Subscription<Text>,
    mut interrupt: Interrupt,
    out: &mut Output,
) -> Result<(), Failure> {
    let (mut events_open, mut logs_open) = (true, true);
    while events_open || logs_open {
        tokio::select! {
            event = next(&mut events, events_open) => match event {
                Some(event) => out.line(describe(&event))?,
                None => events_open = false,
            },
            line = next(&mut logs, logs_open) => match line {
                Some(line) => out.line(line.as_bytes())?,
                None => logs_open = false,
            },
            () = interrupt.wait() => {
                // The agent may be gone meanwhile: what is stopped then is stopped.
                let _ = logs.stop().await;
                let _ = events.stop().await;
                return Ok(());
            }
        }
    }
    Err(Failure::message(REMOTE_ENDED))
}

/// The next record; `None` when there will be none. One that is over never speaks again.
async fn next<T>(subscription: &mut Subscription<T>, open: bool) -> Option<T> {
    if open { subscription.next().await.ok().flatten() } else { pending().await }
}

/// `Event Info:` and a line per field, values as Go prints them.
fn describe(event: &EventRecord) -> String {
    let fields: Vec<(&str, String)> = match event {
        EventRecord::Members(record) => vec![
            ("Event", quote(record.event.as_bytes())),
            ("Members", format!("[]interface {{}}{{{}}}", listed(record.members.iter().map(describe_member)))),
        ],
        EventRecord::User(record) => vec![
            ("Coalesce", record.coalesce.to_string()),
            ("Event", quote(b"user")),
            ("LTime", number(record.ltime)),
            ("Name", quote(record.name.as_bytes())),
            ("Payload", describe_payload(record.payload.as_deref())),
        ],
        EventRecord::Query(record) => vec![
            ("Event", quote(b"query")),
            ("ID", number(record.id)),
            ("LTime", number(record.ltime)),
            ("Name", quote(record.name.as_bytes())),
            ("Payload", describe_payload(record.payload.as_deref())),
        ],
    };
    let lines: String = fields.iter().map(|(key, value)| format!("\n\t{key}: {value}")).collect();
    format!("Event Info:{lines}")
}

fn describe_member(member: &Member) -> String {
    let tag = |(key, value): (&Text, &Text)| format!("{}:{}", quote(key.as_bytes()), quote(value.as_bytes()));
    let fields = [
        ("Addr", format!("[]uint8{}", byte_list(&member.addr))),
        ("DelegateCur", number(member.delegate_cur.into())),
        ("DelegateMax", number(member.delegate_max.into())),
        ("DelegateMin", number(member.delegate_min.into())),
        ("Name", quote(member.name.as_bytes())),
        ("Port", number(member.port.into())),
        ("ProtocolCur", number(member.protocol_cur.into())),
        ("ProtocolMax", number(member.protocol_max.into())),
        ("ProtocolMin", number(member.protocol_min.into())),
        ("Status", quote(member.status.as_bytes())),
        ("Tags", format!("map[interface {{}}]interface {{}}{{{}}}", listed(member.tags.iter().map(tag)))),
    ];
    let fields = listed(fields.iter().map(|(key, value)| format!("{}:{value}", quote(key.as_bytes()))));
    format!("map[interface {{}}]interface {{}}{{{fields}}}")
}

fn describe_payload(payload: Option<&[u8]>) -> String {
    payload.map_or_else(|| "<nil>".to_owned(), |bytes| format!("[]byte{}", byte_list(bytes)))
}

/// Go's decoder takes numbers of one byte for signed and others for unsigned, which `%#v` prints in hexadecimal.
fn number(number: u64) -> String {
    if number < 0x80 { number.to_string() } else { format!("{number:#x}") }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use folkmoot_client::{MemberEventRecord, QueryEventRecord, UserEventRecord};

    use super::*;

    #[test]
    fn user_events_and_queries_are_printed_as_go_prints_them() {
        let payload = Some(b"v1"[..].into());
        let event = UserEventRecord { coalesce: false, ltime: 5, name: "a\"b".into(), payload };
        let expected = "Event Info:\n\tCoalesce: false\n\tEvent: \"user\"\n\tLTime: 5\n\tName: \"a\\\"b\"\n\tPayload: []byte{0x76, 0x31}";
        assert_eq!(describe(&EventRecord::User(event)), expected);
        let query = QueryEventRecord { id: 1, ltime: 200, name: "load".into(), payload: None };
        let expected = "Event Info:\n\tEvent: \"query\"\n\tID: 1\n\tLTime: 0xc8\n\tName: \"load\"\n\tPayload: <nil>";
        assert_eq!(describe(&EventRecord::Query(query)), expected);
    }

    #[test]
    fn members_are_printed_as_go_prints_them() {
        let member = Member {
            addr: vec![127, 0, 13, 1].into(),
            delegate_cur: 5,
            delegate_max: 5,
            delegate_min: 2,
            name: "alpha".into(),
            port: 7946,
            protocol_cur: 2,
            protocol_max: 5,
            protocol_min: 1,
            status: "alive".into(),
            tags: [("dc".into(), "east".into()), ("role".into(), "web".into())].into(),
        };
        let record = MemberEventRecord { event: "member-update".into(), members: vec![member] };
        let expected = "Event Info:\n\tEvent: \"member-update\"\n\tMembers: []interface {}{map[interface {}]interface {}{\"Addr\":[]uint8{0x7f, 0x0, 0xd, 0x1}, \"DelegateCur\":5, \"DelegateMax\":5, \"DelegateMin\":2, \"Name\":\"alpha\", \"Port\":0x1f0a, \"ProtocolCur\":2, \"ProtocolMax\":5, \"ProtocolMin\":1, \"Status\":\"alive\", \"Tags\":map[interface {}]interface {}{\"dc\":\"east\", \"role\":\"web\"}}}";
        assert_eq!(describe(&EventRecord::Members(record)), expected);
    }
}
