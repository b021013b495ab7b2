//! Keys, collections, queues and the group: what nobody holds.

use folkmoot_client::{
    Client, Compare, Entry, Error, Life, Operation, Outcome, RaftMember, RaftPeer, Swap, Text, Transaction,
};
use serde_json::{Value, json};

use super::arguments::Arguments;

pub fn string(text: &Text) -> Value {
    text.to_string().into()
}

pub fn bytes(bytes: impl AsRef<[u8]>) -> Value {
    String::from_utf8_lossy(bytes.as_ref()).into()
}

pub async fn kv(client: &Client, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (kv, key) = (client.kv(), arguments.text("key"));
    Ok(match verb {
        "get" => kv.get(key).await?.as_ref().map_or(Value::Null, entry),
        "put" => kv.put(key, arguments.string("value"), life(arguments)).await?.into(),
        "compare_and_set" => {
            let expected = arguments.get("expected").as_u64();
            match kv.compare_and_set(key, expected, arguments.string("value"), life(arguments)).await? {
                Swap::Written(revision) => json!({"written": revision, "found": null}),
                Swap::Differs(found) => json!({"written": null, "found": found.as_ref().map(entry)}),
            }
        }
        "delete" => kv.delete(key).await?.into(),
        "delete_prefix" => kv.delete_prefix(arguments.text("prefix")).await?.into(),
        "list" => {
            let after = arguments.maybe("after").map(Into::into);
            let page = kv.list(arguments.text("prefix"), after, arguments.small("limit", 0)).await?;
            json!({"entries": page.entries.iter().map(entry).collect::<Vec<_>>(), "more": page.more})
        }
        "list_all" => kv.list_all(arguments.text("prefix")).await?.iter().map(entry).collect(),
        "transaction" => transaction(client, arguments).await?,
        _ => panic!("no call kv.{verb}"),
    })
}

async fn transaction(client: &Client, arguments: &Arguments) -> Result<Value, Error> {
    let rows = |name| arguments.get(name).as_array().into_iter().flatten();
    let text = |row: &Value, place: usize| row[place].as_str().unwrap().to_owned();
    let compare = |row: &Value| match (text(row, 0).as_str(), text(row, 1).into()) {
        ("exists", key) => Compare::Exists(key),
        ("absent", key) => Compare::Absent(key),
        ("version", key) => Compare::Version(key, row[2].as_u64().unwrap()),
        ("value", key) => Compare::Value(key, text(row, 2).into()),
        _ => panic!("no compare {row}"),
    };
    let operation = |row: &Value| match (text(row, 0).as_str(), text(row, 1).into()) {
        ("get", key) => Operation::Get(key),
        ("put", key) => Operation::Put(key, text(row, 2).into(), Life::Unlimited),
        ("delete", key) => Operation::Delete(key),
        _ => panic!("no operation {row}"),
    };
    let transaction = Transaction {
        compares: rows("compares").map(compare).collect(),
        then: rows("then").map(operation).collect(),
        otherwise: rows("else").map(operation).collect(),
    };
    let done = client.kv().transaction(&transaction).await?;
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Found(found) => found.as_ref().map_or(Value::Null, entry),
        Outcome::Written => "written".into(),
        Outcome::Deleted(deleted) => (*deleted).into(),
    };
    let outcomes: Vec<Value> = done.outcomes.iter().map(outcome).collect();
    Ok(json!({"succeeded": done.succeeded, "outcomes": outcomes}))
}

fn life(arguments: &Arguments) -> Life<'_> {
    match (arguments.span("ttl_ms"), arguments.get("session").as_u64()) {
        (Some(ttl), _) => Life::Ttl(ttl),
        (None, Some(session)) => Life::SessionId(session),
        (None, None) => Life::Unlimited,
    }
}

fn entry(entry: &Entry) -> Value {
    let Entry { key, value, created, modified, version, session, expires } = entry;
    json!({
        "key": key.to_string(),
        "value": bytes(value),
        "created": created,
        "modified": modified,
        "version": version,
        "session": session,
        "expires": expires,
    })
}

pub async fn collection(client: &Client, object: &str, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let name = arguments.text("name");
    match object {
        "counter" => counter(client, name, verb, arguments).await,
        "set" => set(client, name, verb, arguments).await,
        _ => list(client, name, verb, arguments).await,
    }
}

async fn counter(client: &Client, name: Text, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let counter = client.counter(name);
    Ok(match verb {
        "get" => counter.get().await?.into(),
        "set" => counter.set(arguments.integer("value")).await?.into(),
        "add" => counter.add(arguments.integer("by")).await?.into(),
        "delete" => counter.delete().await?.into(),
        _ => panic!("no call counter.{verb}"),
    })
}

async fn set(client: &Client, name: Text, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (set, element) = (client.set(name), arguments.string("element"));
    Ok(match verb {
        "reset" => set.reset(arguments.texts("elements")).await?.into(),
        "add" => set.add(arguments.texts("elements")).await?.into(),
        "remove" => set.remove(element).await.map(|()| Value::Null)?,
        "discard" => set.discard(element).await?.into(),
        "pop" => bytes(set.pop().await?),
        "contains" => set.contains(element).await?.into(),
        "length" => set.length().await?.into(),
        "elements" => set.elements().await?.iter().map(bytes).collect(),
        _ => panic!("no call set.{verb}"),
    })
}

async fn list(client: &Client, name: Text, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (list, element) = (client.list(name), arguments.string("element"));
    let position = arguments.integer("position");
    Ok(match verb {
        "reset" => list.reset(arguments.texts("elements")).await?.into(),
        "extend" => list.extend(arguments.texts("elements")).await?.into(),
        "insert" => list.insert(position, element).await.map(|()| Value::Null)?,
        "set" => list.set(position, element).await.map(|()| Value::Null)?,
        "remove" => list.remove(element).await.map(|()| Value::Null)?,
        "pop" => bytes(list.pop(arguments.get("position").as_i64()).await?),
        "sort" => list.sort(arguments.flag("descending")).await.map(|()| Value::Null)?,
        "get" => list.get(position).await?.map_or(Value::Null, bytes),
        "find" => list.find(element).await?.into(),
        "length" => list.length().await?.into(),
        "elements" => list.elements().await?.iter().map(bytes).collect(),
        _ => panic!("no call list.{verb}"),
    })
}

pub async fn queue(client: &Client, object: &str, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let name = arguments.text("name");
    let queue = if object == "queue" { client.queue(name) } else { client.priority_queue(name) };
    Ok(match verb {
        "put" => {
            let queue = queue.bounded(arguments.small("bound", 0));
            queue.put_at(arguments.integer("priority"), arguments.string("value")).await?;
            Value::Null
        }
        "get" => queue.get(arguments.wait()).await?.map_or(Value::Null, bytes),
        "info" => {
            let state = queue.info().await?;
            json!({"length": state.length, "waiting": state.waiting, "next": state.next.map(|next| bytes(next.0))})
        }
        _ => panic!("no call {object}.{verb}"),
    })
}

pub async fn group(client: &Client, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (group, member) = (client.group(), arguments.text("member"));
    let peer = |peer: &RaftPeer| json!({"name": peer.name.to_string(), "address": peer.address.to_string()});
    let row = |one: RaftMember| json!({"name": one.name.to_string(), "voter": one.voter, "leader": one.leader});
    match verb {
        "status" => {
            let state = group.status().await?;
            return Ok(json!({
                "role": state.role.as_str(),
                "quorum": state.quorum.as_str(),
                "voters": state.voters.iter().map(peer).collect::<Vec<_>>(),
                "learners": state.learners.iter().map(peer).collect::<Vec<_>>(),
                "leader": state.leader.as_ref().map(peer),
            }));
        }
        "members" => return Ok(group.members().await?.into_iter().map(row).collect()),
        "add" => group.add(member).await?,
        "remove" => group.remove(member).await?,
        "promote" => group.promote(member).await?,
        "demote" => group.demote(member).await?,
        "transfer" => group.transfer(Some(member)).await?,
        _ => panic!("no call group.{verb}"),
    }
    Ok(Value::Null)
}
