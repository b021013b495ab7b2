//! What a webhook is posted: the facts a script finds in its environment and on its standard input, as JSON
//! (`docs/rpc.md`, Webhooks). Text that is not UTF-8 has U+FFFD in its place; the payload is there in base64 as well.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use folkmoot_serf::{Event, Member, Text};
use serde::Serialize;

use super::{Invocation, input};

#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    #[serde(rename = "self")]
    local: Local,
    #[serde(flatten)]
    facts: Facts<'a>,
}

#[derive(Serialize)]
struct Local {
    name: String,
    role: String,
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Facts<'a> {
    Members { members: Vec<MemberBody> },
    Named { name: String, ltime: u64, payload: String, payload_text: Option<&'a str> },
}

#[derive(Serialize)]
struct MemberBody {
    name: String,
    address: String,
    role: String,
    tags: BTreeMap<String, String>,
}

/// The document for one event.
pub(super) fn json(invocation: &Invocation) -> Bytes {
    let local = &invocation.local;
    let body = Body {
        event: invocation.kind(),
        local: Local {
            name: text(&local.name),
            role: String::from_utf8_lossy(local.role()).into_owned(),
            tags: tags(&local.tags),
        },
        facts: match &*invocation.event {
            Event::Members(event) => Facts::Members { members: event.members.iter().map(|one| member(one)).collect() },
            Event::User(event) => named(&event.name, event.ltime.0, event.payload.as_deref()),
            Event::Query(query) => named(&query.name, query.key.ltime.0, query.payload.as_deref()),
        },
    };
    #[expect(clippy::expect_used, reason = "texts, numbers, lists and maps with text keys can all be written")]
    let document = serde_json::to_vec(&body).expect("every field has a JSON form");
    document.into()
}

fn named<'a>(name: &Text, ltime: u64, payload: Option<&'a [u8]>) -> Facts<'a> {
    let payload = payload.unwrap_or_default();
    Facts::Named {
        name: text(name),
        ltime,
        payload: STANDARD.encode(payload),
        payload_text: std::str::from_utf8(payload).ok(),
    }
}

fn member(member: &Member) -> MemberBody {
    MemberBody {
        name: text(&member.name.0),
        address: input::address(&member.address),
        role: member.tags.0.get(&Text::from("role")).map(text).unwrap_or_default(),
        tags: tags(&member.tags.0),
    }
}

fn tags(tags: &BTreeMap<Text, Text>) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn text(text: &Text) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use folkmoot_serf::{LamportTime, UserEvent};
    use serde_json::json;

    use super::super::{Invocation, Local};
    use super::*;

    fn posted(payload: Option<&'static [u8]>) -> serde_json::Value {
        let local = Local { name: "alpha".into(), tags: [("role".into(), "web".into())].into() };
        let payload = payload.map(Bytes::from_static);
        let event = Event::User(UserEvent { ltime: LamportTime(7), name: "deploy".into(), payload, coalesce: false });
        let invocation = Invocation { event: Arc::new(event), answer_by: None, local };
        serde_json::from_slice(&super::json(&invocation)).unwrap()
    }

    #[test]
    fn a_user_event_has_name_time_payload_and_who_we_are() {
        let local = json!({"name": "alpha", "role": "web", "tags": {"role": "web"}});
        let expected = json!({
            "event": "user", "self": local, "name": "deploy", "ltime": 7, "payload": "djE=", "payload_text": "v1",
        });
        assert_eq!(posted(Some(b"v1")), expected);
    }

    #[test]
    fn a_payload_that_is_no_text_is_there_in_base64_only() {
        let body = posted(Some(b"\xff"));
        assert_eq!((&body["payload"], &body["payload_text"]), (&json!("/w=="), &json!(null)));
        let body = posted(None);
        assert_eq!((&body["payload"], &body["payload_text"]), (&json!(""), &json!("")));
    }
}
