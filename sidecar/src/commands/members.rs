//! `members`: lists the members (`docs/spec/agent-cli.md` 2.1).

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};

use folkmoot_client::{Member, MembersFilteredRequest};

use super::columns::columns;
use super::connect::{connect, parse_tags, with_connection};
use super::definition::Definition;
use super::failure::Failure;
use super::info::invalid_format;
use super::output::Output;
use crate::flags::FlagDefinition;
use crate::go_json::Json;

pub(super) const DEFINITION: Definition = Definition {
    name: "members",
    line: "Lists the members of the cluster",
    usage: "[options]",
    about: "Lists the members that the agent knows: name, address, status, tags. A member has to match all filters; an expression has to match the whole value.",
    flags: || {
        with_connection(&[
            FlagDefinition::boolean("detailed", "Show protocol versions too (text only)."),
            FlagDefinition::text("format", "=text|json", "Form of the output; default: text."),
            FlagDefinition::text("name", "=REGEXP", "Filter by name."),
            FlagDefinition::text("role", "=REGEXP", "Old form of -tag role=REGEXP."),
            FlagDefinition::text("status", "=REGEXP", "Filter by status: alive, leaving, left or failed."),
            FlagDefinition::list("tag", " KEY=REGEXP", "Filter by tag. Can be repeated."),
        ])
    },
};

pub(super) async fn run(arguments: &[OsString], out: &mut Output) -> Result<(), Failure> {
    let flags = DEFINITION.parse(arguments)?;
    let role = flags.text("role").filter(|role| !role.is_empty()).map(|role| format!("role={role}"));
    if role.is_some() {
        out.line("Deprecation warning: 'Role' has been replaced with 'Tags'")?;
    }
    let filter = MembersFilteredRequest {
        name: flags.text("name").unwrap_or_default().into(),
        status: flags.text("status").unwrap_or_default().into(),
        tags: parse_tags(flags.list("tag").iter().chain(&role).map(String::as_str))?,
    };
    let client = connect(&flags).await?;
    let listed = client.members_filtered(filter).await;
    let mut members = listed.map_err(Failure::during("Error retrieving members"))?;
    members.sort_by(|one, other| one.name.cmp(&other.name));
    match flags.text("format").unwrap_or("text") {
        "text" => {
            let detail = if flags.boolean("detailed") == Some(true) { Detail::Protocols } else { Detail::None };
            out.line(columns(&members.iter().map(|member| row(member, detail)).collect::<Vec<_>>()))
        }
        "json" => out.line(json(&members)),
        other => Err(invalid_format(other)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    None,
    Protocols,
}

/// Cells separated by `|`. One within a value makes a cell of its own, as in Go.
fn row(member: &Member, detail: Detail) -> Vec<u8> {
    let tag = |(key, value): (&folkmoot_client::Text, &folkmoot_client::Text)| {
        [key.as_bytes(), b"=", value.as_bytes()].concat()
    };
    let tags: Vec<Vec<u8>> = member.tags.iter().map(tag).collect();
    let address = address(member);
    let mut row = [member.name.as_bytes(), address.as_bytes(), member.status.as_bytes()].join(&b'|');
    row.push(b'|');
    row.extend(tags.join(&b','));
    if detail == Detail::Protocols {
        let (current, lowest, highest) = (member.delegate_cur, member.delegate_min, member.delegate_max);
        let protocols = format!("|Protocol Version: {current}|Available Protocol Range: [{lowest}, {highest}]");
        row.extend(protocols.into_bytes());
    }
    row
}

/// As Go prints an address of 4, 16, no, or any other number of bytes.
fn address(member: &Member) -> String {
    let bytes: &[u8] = &member.addr;
    let ip = match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(octets), _) => IpAddr::from(octets),
        (_, Ok(octets)) => IpAddr::from(octets).to_canonical(),
        _ if bytes.is_empty() => return format!(":{}", member.port),
        _ => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            return format!("?{digits}:{}", member.port);
        }
    };
    SocketAddr::new(ip, member.port).to_string()
}

/// `null` instead of an empty list.
fn json(members: &[Member]) -> String {
    let addresses: Vec<String> = members.iter().map(address).collect();
    let list: Vec<Json<'_>> =
        members.iter().zip(&addresses).map(|(member, address)| json_member(member, address)).collect();
    let list = if list.is_empty() { Json::Null } else { Json::List(list) };
    Json::Object(vec![(b"members", list)]).print()
}

fn json_member<'a>(member: &'a Member, address: &'a str) -> Json<'a> {
    let tags = member.tags.iter().map(|(key, value)| (key.as_bytes(), Json::Text(value.as_bytes())));
    let number = |number: u8| Json::Number(number.into());
    Json::Object(vec![
        (b"name", Json::Text(member.name.as_bytes())),
        (b"addr", Json::Text(address.as_bytes())),
        (b"port", Json::Number(member.port.into())),
        (b"tags", Json::Object(tags.collect())),
        (b"status", Json::Text(member.status.as_bytes())),
        (
            b"protocol",
            Json::Object(vec![
                (b"max", number(member.delegate_max)),
                (b"min", number(member.delegate_min)),
                (b"version", number(member.delegate_cur)),
            ]),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(addr: &'static [u8]) -> Member {
        Member { addr: addr.into(), port: 7946, name: "n".into(), status: "alive".into(), ..Default::default() }
    }

    #[test]
    fn addresses_are_printed_by_their_length() {
        for (bytes, text) in [
            (&[127, 0, 0, 1][..], "127.0.0.1:7946"),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1], "10.0.0.1:7946"),
            (&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "[::1]:7946"),
            (&[], ":7946"),
            (&[1, 0xab], "?01ab:7946"),
        ] {
            assert_eq!(address(&member(bytes)), text);
        }
    }

    #[test]
    fn a_bar_in_a_tag_makes_a_column() {
        let tags = [("a".into(), "x|y".into()), ("b".into(), "1".into())].into();
        let member = Member { tags, ..member(&[10, 0, 0, 1]) };
        assert_eq!(columns(&[row(&member, Detail::None)]), b"n  10.0.0.1:7946  alive  a=x  y,b=1");
    }

    #[test]
    fn no_members_are_null_and_no_tags_are_an_object() {
        assert_eq!(json(&[]), "{\n  \"members\": null\n}");
        assert!(json(&[member(&[10, 0, 0, 1])]).contains("\"tags\": {},\n"));
    }
}
