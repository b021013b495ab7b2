//! Serf's own commands.

use std::collections::BTreeMap;
use std::net::IpAddr;

use folkmoot_client::{
    Client, Coalesce, Error, EventRecord, Member, MembersFilteredRequest, Prune, QueryAnswer, QueryRequest,
    TagsRequest, Text,
};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::objects::string;
use super::table::{Handle, Teller};

pub async fn call(teller: &mut Teller, call: &str, arguments: &Arguments) -> Result<Value, Error> {
    let client = teller.client.clone();
    match call {
        "stream" => teller.keep(Handle::Events(client.stream(arguments.text("filter")).await?)),
        "monitor" => teller.keep(Handle::Logs(client.monitor(arguments.text("level")).await?)),
        "query" => teller.keep(Handle::Answers(client.query(query(arguments)).await?)),
        _ => return question(&client, call, arguments).await,
    }
    Ok(Value::Null)
}

async fn question(client: &Client, call: &str, arguments: &Arguments) -> Result<Value, Error> {
    match call {
        "members" => return Ok(members(client, arguments).await?.iter().map(member).collect()),
        "join" => {
            return Ok(client.join(arguments.texts("addresses"), arguments.flag("replay")).await?.into());
        }
        "force_leave" => {
            let prune = if arguments.flag("prune") { Prune::Erase } else { Prune::Keep };
            client.force_leave(arguments.text("node"), prune).await?;
        }
        "event" => {
            let coalesce = if arguments.flag("coalesce") { Coalesce::Newest } else { Coalesce::Every };
            let payload = arguments.maybe("payload").map(Into::into);
            client.event(arguments.text("name"), payload, coalesce).await?;
        }
        "respond" => {
            client.respond(arguments.number("id"), arguments.maybe("payload").map(Into::into)).await?;
        }
        "tags" => {
            let delete_tags = arguments.texts("delete").into_iter().map(Into::into).collect();
            client.tags(TagsRequest { tags: map(arguments.get("set")), delete_tags }).await?;
        }
        "stats" => {
            let group = |(name, values): (Text, BTreeMap<Text, Text>)| {
                let values: serde_json::Map<_, _> =
                    values.iter().map(|(key, value)| (key.to_string(), string(value))).collect();
                (name.to_string(), Value::from(values))
            };
            return Ok(client.stats().await?.0.into_iter().map(group).collect::<serde_json::Map<_, _>>().into());
        }
        "coordinate" => {
            let found = client.coordinate(arguments.text("node")).await?;
            return Ok(found.map_or(Value::Null, |found| {
                json!({"adjustment": found.adjustment, "error": found.error, "height": found.height, "vec": found.vec})
            }));
        }
        "list_keys" => drop(client.list_keys().await?),
        "install_key" => drop(client.install_key(arguments.text("key")).await?),
        "use_key" => drop(client.use_key(arguments.text("key")).await?),
        "remove_key" => drop(client.remove_key(arguments.text("key")).await?),
        _ => panic!("no call {call}"),
    }
    Ok(Value::Null)
}

/// What comes over something that was opened before.
pub async fn stream(teller: &mut Teller, object: &str, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    match (object, verb) {
        (_, "stop") => match teller.take(&arguments.on) {
            Handle::Events(events) => events.stop().await?,
            Handle::Logs(logs) => logs.stop().await?,
            _ => panic!("{} cannot be stopped", arguments.on),
        },
        ("query", "rest") => {
            let Handle::Answers(answers) = teller.handle(&arguments.on) else { panic!("{} is no query", arguments.on) };
            let mut all = Vec::new();
            while let Some(one) = answers.next().await? {
                all.push(answer(one));
            }
            return Ok(all.into());
        }
        (_, "next") => {
            return Ok(match teller.handle(&arguments.on) {
                Handle::Events(events) => events.next().await?.map_or(Value::Null, event),
                Handle::Logs(logs) => logs.next().await?.map_or(Value::Null, |line| string(&line)),
                Handle::Answers(answers) => answers.next().await?.map_or(Value::Null, answer),
                Handle::Leaders(leaders) => {
                    let leader = leaders.next().await?;
                    let value = String::from_utf8_lossy(&leader.value);
                    json!({"hold": leader.hold, "token": leader.token, "value": value, "revision": leader.revision})
                }
                _ => panic!("{} is no stream", arguments.on),
            });
        }
        _ => panic!("no call {object}.{verb}"),
    }
    Ok(Value::Null)
}

async fn members(client: &Client, arguments: &Arguments) -> Result<Vec<Member>, Error> {
    if ["name", "status", "tags"].iter().all(|filter| arguments.get(filter).is_null()) {
        return client.members().await;
    }
    let (name, status, tags) = (arguments.text("name"), arguments.text("status"), map(arguments.get("tags")));
    client.members_filtered(MembersFilteredRequest { name, status, tags }).await
}

fn query(arguments: &Arguments) -> QueryRequest {
    QueryRequest {
        name: arguments.text("name"),
        payload: arguments.maybe("payload").map(Into::into),
        request_ack: arguments.flag("ack"),
        filter_nodes: arguments.texts("nodes").into_iter().map(Into::into).collect(),
        timeout: arguments.integer("timeout_ms") * 1_000_000,
        ..QueryRequest::default()
    }
}

fn map(object: &Value) -> BTreeMap<Text, Text> {
    let fields = object.as_object().into_iter().flatten();
    fields.map(|(key, value)| (key.as_str().into(), value.as_str().unwrap().into())).collect()
}

fn member(member: &Member) -> Value {
    let ip: Option<IpAddr> = match member.addr.len() {
        4 => <[u8; 4]>::try_from(&*member.addr).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(&*member.addr).ok().map(|ip| IpAddr::from(ip).to_canonical()),
    };
    let tags: serde_json::Map<_, _> = member.tags.iter().map(|(key, tag)| (key.to_string(), string(tag))).collect();
    let address = ip.map(|ip| format!("{ip}:{}", member.port));
    json!({"name": member.name.to_string(), "address": address, "status": member.status.to_string(), "tags": tags})
}

fn answer(answer: QueryAnswer) -> Value {
    match answer {
        QueryAnswer::Ack { from } => json!({"kind": "ack", "from": from.to_string(), "payload": null}),
        QueryAnswer::Response { from, payload } => {
            json!({"kind": "response", "from": from.to_string(), "payload": String::from_utf8_lossy(&payload)})
        }
    }
}

fn event(event: EventRecord) -> Value {
    let text = |payload: Option<bytes::Bytes>| String::from_utf8_lossy(&payload.unwrap_or_default()).into_owned();
    match event {
        EventRecord::Members(event) => {
            json!({"event": event.event.to_string(), "members": event.members.iter().map(member).collect::<Vec<_>>()})
        }
        EventRecord::User(event) => json!({
            "event": "user",
            "name": event.name.to_string(),
            "payload": text(event.payload),
            "coalesce": event.coalesce,
            "ltime": event.ltime,
        }),
        EventRecord::Query(event) => json!({
            "event": "query",
            "id": event.id,
            "name": event.name.to_string(),
            "payload": text(event.payload),
            "ltime": event.ltime,
        }),
    }
}
