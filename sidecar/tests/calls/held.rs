//! What is held (locks, offices, sessions, items, places in a gate), and watches.

use folkmoot_client::{
    Bond, Change, Changes, Claim, Error, Guard, Item, Line, NewItem, SessionOptions, Term, WatchOptions, WorkEnd,
    WorkInfo,
};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::objects::bytes;
use super::table::{Handle, Teller};

pub async fn lock(teller: &mut Teller, object: &str, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (client, name, wait) = (teller.client.clone(), arguments.text("name"), arguments.wait());
    let capacity = arguments.small("capacity", 1);
    let held = match (object, verb) {
        ("guard", "release") => {
            let Handle::Guard(guard) = teller.take(&arguments.on) else { panic!("{} is no guard", arguments.on) };
            return guard.release().await.map(|()| Value::Null);
        }
        ("guard", "is_held") => {
            let Handle::Guard(guard) = teller.handle(&arguments.on) else { panic!("{} is no guard", arguments.on) };
            return Ok(guard.is_held().into());
        }
        ("lock", "info") => return Ok(line(&client.lock(name).info().await?)),
        ("semaphore", "info") => return Ok(line(&client.semaphore(name, capacity).info().await?)),
        ("rwlock", "info") => return Ok(line(&client.read_write_lock(name).info().await?)),
        ("lock", "acquire") => match bond(teller, arguments) {
            Some(bond) => client.lock(name).with_session(bond).acquire_within(wait).await?,
            None => client.lock(name).acquire_within(wait).await?,
        },
        ("semaphore", "acquire") => {
            client.semaphore(name, capacity).acquire_within(arguments.small("permits", 1), wait).await?
        }
        ("rwlock", "read") => client.read_write_lock(name).read_within(wait).await?,
        ("rwlock", "write") => client.read_write_lock(name).write_within(wait).await?,
        _ => panic!("no call {object}.{verb}"),
    };
    let said = held.as_ref().map_or(Value::Null, guard);
    held.into_iter().for_each(|held| teller.keep(Handle::Guard(held)));
    Ok(said)
}

/// The session of the handle that is named, if one is.
fn bond(teller: &mut Teller, arguments: &Arguments) -> Option<Bond> {
    arguments.maybe("session").map(|name| match teller.handle(&name) {
        Handle::Session(session) => (&*session).into(),
        _ => panic!("{name} is no session"),
    })
}

fn guard(guard: &Guard) -> Value {
    json!({"token": guard.token(), "hold": guard.hold(), "is_held": guard.is_held()})
}

fn line(line: &Line) -> Value {
    let holds = line.holds.iter().map(|hold| {
        json!({"hold": hold.hold, "token": hold.token, "permits": hold.permits, "value": bytes(hold.value.as_bytes())})
    });
    json!({"capacity": line.capacity, "holds": holds.collect::<Vec<_>>(), "waiting": line.waiting})
}

pub async fn barrier(teller: &mut Teller, object: &str, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (client, name, wait) = (teller.client.clone(), arguments.text("name"), arguments.wait());
    match (object, verb) {
        ("barrier", "raise") => client.barrier(name).raise().await?,
        ("barrier", "lift") => client.barrier(name).lift().await?,
        ("barrier", "wait") => return Ok(client.barrier(name).wait(wait).await?.into()),
        ("barrier", "info") => {
            let state = client.barrier(name).info().await?;
            return Ok(json!({"raised": state.raised, "waiting": state.waiting}));
        }
        ("gate", "enter") => {
            let passage = client.gate(name, arguments.small("count", 0)).enter(wait).await?;
            let said = if passage.is_some() { json!({}) } else { Value::Null };
            passage.into_iter().for_each(|passage| teller.keep(Handle::Passage(passage)));
            return Ok(said);
        }
        ("passage", "leave") => {
            let Handle::Passage(passage) = teller.take(&arguments.on) else { panic!("{} is none", arguments.on) };
            return Ok(passage.leave(wait).await?.into());
        }
        _ => panic!("no call {object}.{verb}"),
    }
    Ok(Value::Null)
}

pub async fn election(teller: &mut Teller, object: &str, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let election = teller.client.election(arguments.text("name"));
    let value = arguments.string("value");
    match (object, verb) {
        ("election", "observe") => teller.keep(Handle::Leaders(election.observe().await?)),
        ("election", "info") => return Ok(line(&election.info().await?)),
        ("election", "campaign") => {
            let elected = election.campaign_within(value, arguments.wait()).await?;
            let said = elected.as_ref().map_or(Value::Null, term);
            elected.into_iter().for_each(|term| teller.keep(Handle::Term(term)));
            return Ok(said);
        }
        ("term", "proclaim") => match teller.handle(&arguments.on) {
            Handle::Term(term) => term.proclaim(value).await?,
            _ => panic!("{} is no term", arguments.on),
        },
        ("term", "resign") => match teller.take(&arguments.on) {
            Handle::Term(term) => term.resign().await?,
            _ => panic!("{} is no term", arguments.on),
        },
        _ => panic!("no call {object}.{verb}"),
    }
    Ok(Value::Null)
}

fn term(term: &Term) -> Value {
    json!({"token": term.token(), "hold": term.hold(), "is_held": term.is_held()})
}

pub async fn session(teller: &mut Teller, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (client, number) = (teller.client.clone(), arguments.number("session"));
    match verb {
        "session" => {
            let ttl = arguments.span("ttl_ms").unwrap();
            let session = client.session(SessionOptions { ttl, ..SessionOptions::default() }).await?;
            let said = json!({"id": session.id(), "is_held": session.is_held()});
            teller.keep(Handle::Session(session));
            return Ok(said);
        }
        "info" => {
            let info = client.session_info(number).await?;
            return Ok(json!({"session": info.session, "ttl_ms": info.ttl}));
        }
        "renew" => client.renew_session(number).await?,
        "destroy" => match teller.take(&arguments.on) {
            Handle::Session(session) => session.destroy().await?,
            _ => panic!("{} is no session", arguments.on),
        },
        _ => panic!("no call session.{verb}"),
    }
    Ok(Value::Null)
}

pub async fn work(teller: &mut Teller, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (queue, number) = (teller.client.work_queue(arguments.text("name")), arguments.number("item"));
    match verb {
        "put" => {
            let put = queue.put(new_item(arguments)).await?;
            return Ok(json!({"item": put.item, "duplicate": put.duplicate, "pressure": put.pressure}));
        }
        "claim" => {
            let capabilities = arguments.texts("capabilities").into_iter().map(Into::into).collect();
            let claimed = queue.claim(&Claim { capabilities, ..Claim::default() }, arguments.wait()).await?.pop();
            let said = claimed.as_ref().map_or(Value::Null, described);
            claimed.into_iter().for_each(|item| teller.keep(Handle::Item(item)));
            return Ok(said);
        }
        "get" => return Ok(info(&queue.get(number).await?)),
        "dead" => return Ok(queue.dead().await?.iter().map(info).collect()),
        "redrive" => return Ok(queue.redrive(Some(number)).await?.into()),
        "history" => return Ok(queue.history().await?.iter().map(end).collect()),
        "stats" => return stats(teller, arguments).await,
        "cancel" => queue.cancel(number).await?,
        "configure" => queue.configure(arguments.number("soft"), arguments.number("hard")).await?,
        _ => panic!("no call work.{verb}"),
    }
    Ok(Value::Null)
}

async fn stats(teller: &Teller, arguments: &Arguments) -> Result<Value, Error> {
    let numbers = teller.client.work_queue(arguments.text("name")).stats().await?;
    let totals = &numbers.totals;
    Ok(json!({
        "ready": numbers.ready,
        "claimed": numbers.claimed,
        "delayed": numbers.delayed,
        "blocked": numbers.blocked,
        "dead": numbers.dead,
        "totals": {
            "put": totals.put,
            "claimed": totals.claimed,
            "completed": totals.completed,
            "cancelled": totals.cancelled,
            "failed": totals.failed,
            "redriven": totals.redriven,
            "released": totals.released,
        },
    }))
}

fn new_item(arguments: &Arguments) -> NewItem {
    let numbers = arguments.get("depends_on").as_array().into_iter().flatten();
    NewItem {
        priority: arguments.small("priority", 50),
        dedupe: arguments.maybe("dedupe").map(Into::into),
        depends_on: numbers.map(|item| item.as_u64().unwrap()).collect(),
        max_attempts: arguments.small("max_attempts", 0),
        requires: arguments.texts("requires").into_iter().map(Into::into).collect(),
        ..NewItem::new(arguments.string("payload"))
    }
}

pub async fn item(teller: &mut Teller, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    let Handle::Item(item) = teller.take(&arguments.on) else { panic!("{} is no item", arguments.on) };
    match verb {
        "complete" => item.complete(arguments.string("result")).await?,
        "fail" => {
            item.fail(arguments.string("reason"), arguments.span("retry_after_ms").unwrap_or_default()).await?;
        }
        "release" => item.release().await?,
        _ => panic!("no call item.{verb}"),
    }
    Ok(Value::Null)
}

fn described(item: &Item) -> Value {
    json!({
        "id": item.id(),
        "token": item.token(),
        "payload": bytes(item.payload()),
        "priority": item.priority(),
        "attempts": item.attempts(),
        "is_held": item.is_held(),
    })
}

fn info(info: &WorkInfo) -> Value {
    json!({
        "item": info.item,
        "state": info.state.as_str(),
        "payload": bytes(info.payload.as_bytes()),
        "priority": info.priority,
        "attempts": info.attempts,
        "last_error": bytes(info.last_error.as_bytes()),
        "waits_for": info.waits_for,
    })
}

fn end(end: &WorkEnd) -> Value {
    let result = bytes(end.result.as_bytes());
    json!({"item": end.item, "state": end.state.as_str(), "result": result, "attempts": end.attempts})
}

pub async fn watch(teller: &mut Teller, verb: &str, arguments: &Arguments) -> Result<Value, Error> {
    if verb == "watch" {
        let (prefix, after) = (arguments.text("prefix"), arguments.get("after").as_u64());
        let watch = teller.client.watch(WatchOptions { prefix, after, ..WatchOptions::keys() }).await?;
        teller.keep(Handle::Watch(watch, Default::default()));
        return Ok(Value::Null);
    }
    let Handle::Watch(watch, ready) = teller.handle(&arguments.on) else { panic!("{} is no watch", arguments.on) };
    loop {
        if let Some(change) = ready.pop_front() {
            return Ok(changed(&change));
        }
        match watch.next().await? {
            Changes::These(changes) => ready.extend(changes),
            Changes::Compacted { through } => return Ok(json!({"what": "compacted", "revision": through})),
        }
    }
}

fn changed(change: &Change) -> Value {
    json!({
        "what": change.what.as_str(),
        "key": change.key.to_string(),
        "value": bytes(change.value.as_bytes()),
        "revision": change.revision,
        "version": change.version,
        "cause": change.cause.as_str(),
    })
}
