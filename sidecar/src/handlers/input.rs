//! What a script reads on its standard input (section 4.2), byte for byte.

use folkmoot_serf::{Event, Member, Tags, Text, WireAddress};

/// One line for each member, or the payload, which gets a final newline if it has none and is not empty.
pub(super) fn stdin(event: &Event) -> Vec<u8> {
    let payload = match event {
        Event::Members(event) => return event.members.iter().flat_map(|member| line(member)).collect(),
        Event::User(event) => &event.payload,
        Event::Query(query) => &query.payload,
    };
    let mut input = payload.as_ref().map(|payload| payload.to_vec()).unwrap_or_default();
    if input.last().is_some_and(|last| *last != b'\n') {
        input.push(b'\n');
    }
    input
}

/// Name, address, role and tags behind tabs. Go has the tags in random order, we have them sorted.
fn line(member: &Member) -> Vec<u8> {
    let role = member.tags.0.get(&Text::from("role")).map_or(&b""[..], Text::as_bytes);
    let mut line = clean(member.name.0.as_bytes());
    line.push(b'\t');
    line.extend(address(&member.address).bytes());
    line.push(b'\t');
    line.extend(clean(role));
    line.push(b'\t');
    line.extend(clean(&tags(&member.tags)));
    line.push(b'\n');
    line
}

fn tags(tags: &Tags) -> Vec<u8> {
    let pairs: Vec<Vec<u8>> =
        tags.0.iter().map(|(key, value)| [key.as_bytes(), b"=", value.as_bytes()].concat()).collect();
    pairs.join(&b","[..])
}

/// Go's `net.IP.String`.
pub(super) fn address(address: &WireAddress) -> String {
    match address.ip() {
        Some(ip) => ip.to_string(),
        None if address.as_bytes().is_empty() => "<nil>".to_owned(),
        None => {
            let digits: String = address.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("?{digits}")
        }
    }
}

/// Go's `eventClean`: tabs and newlines, which separate, become two characters.
fn clean(text: &[u8]) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'\t' => cleaned.extend(b"\\t"),
            b'\n' => cleaned.extend(b"\\n"),
            _ => cleaned.push(byte),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use folkmoot_serf::{LamportTime, UserEvent};

    use super::*;

    fn user(payload: Option<&'static [u8]>) -> Vec<u8> {
        let payload = payload.map(Bytes::from_static);
        stdin(&Event::User(UserEvent { ltime: LamportTime(1), name: "x".into(), payload, coalesce: false }))
    }

    #[test]
    fn a_payload_ends_in_a_newline_unless_it_is_empty() {
        assert_eq!(user(None), b"");
        assert_eq!(user(Some(b"")), b"");
        assert_eq!(user(Some(b"v1")), b"v1\n");
        assert_eq!(user(Some(b"v1\n")), b"v1\n");
        assert_eq!(user(Some(b"\0\xff\nx")), b"\0\xff\nx\n");
    }

    #[test]
    fn what_separates_is_escaped() {
        assert_eq!(clean(b"a\tb,c=d\n\\"), b"a\\tb,c=d\\n\\");
    }

    #[test]
    fn addresses_look_as_in_go() {
        let shown = |bytes: &'static [u8]| address(&WireAddress::from_bytes(Bytes::from_static(bytes)));
        assert_eq!(shown(&[127, 0, 13, 1]), "127.0.13.1");
        assert_eq!(shown(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1]), "10.0.0.1");
        assert_eq!(shown(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "fe80::1");
        assert_eq!(shown(&[]), "<nil>");
        assert_eq!(shown(&[1, 0xab]), "?01ab");
    }
}
