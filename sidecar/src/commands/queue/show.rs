//! What operators look at: items, numbers, history.

use folkmoot_client::{WorkEnd, WorkInfo, WorkItem, WorkNumbers, WorkState};
use serde_json::{Map, Value, json};

use super::super::columns::columns;
use super::super::coordination::{Format, json_text, pretty, put_value, shown, while_};
use super::super::failure::Failure;
use super::super::output::Output;
use super::of;
use crate::flags::Parsed;

pub(super) fn claimed(items: &[WorkItem], session: u64, format: Format, out: &mut Output) -> Result<(), Failure> {
    match format {
        Format::Text => items.iter().try_for_each(|item| {
            let numbers = format!("item {}, token {}: ", item.item, item.token);
            out.line([numbers.as_bytes(), &shown(item.payload.as_bytes())].concat())
        }),
        Format::Json => {
            let items = items.iter().map(|item| {
                let mut object = Map::new();
                object.insert("item".to_owned(), json!(item.item));
                object.insert("token".to_owned(), json!(item.token));
                object.insert("priority".to_owned(), json!(item.priority));
                object.insert("attempts".to_owned(), json!(item.attempts));
                put_value(&mut object, "payload", item.payload.as_bytes());
                Value::Object(object)
            });
            out.line(pretty(&json!({"session": session, "items": items.collect::<Vec<_>>()})))
        }
    }
}

pub(super) async fn stats(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let format = Format::of(flags)?;
    let ([queue], work) = of(flags, "one queue").await?;
    let numbers = work.stats().await.map_err(while_(format!("reading the numbers of queue '{queue}'")))?;
    let groups = groups(&numbers);
    match format {
        Format::Json => {
            let object = |names: &[(&str, u64)]| {
                Value::Object(names.iter().map(|(name, number)| ((*name).to_owned(), json!(number))).collect())
            };
            let [now, limits, totals] = &groups;
            out.line(pretty(&json!({"now": object(now), "limits": object(limits), "totals": object(totals)})))
        }
        Format::Text => groups.iter().zip(["now", "limits", "so far"]).try_for_each(|(names, title)| {
            let words: Vec<String> = names.iter().map(|(name, number)| format!("{name} {number}")).collect();
            out.line(format!("{title}: {}", words.join(", ")))
        }),
    }
}

fn groups(numbers: &WorkNumbers) -> [Vec<(&'static str, u64)>; 3] {
    let totals = &numbers.totals;
    [
        vec![
            ("ready", numbers.ready),
            ("claimed", numbers.claimed),
            ("delayed", numbers.delayed),
            ("blocked", numbers.blocked),
            ("dead", numbers.dead),
            ("waiting_workers", numbers.waiting),
        ],
        vec![("soft", numbers.soft), ("hard", numbers.hard)],
        vec![
            ("put", totals.put),
            ("claimed", totals.claimed),
            ("completed", totals.completed),
            ("failed", totals.failed),
            ("lost", totals.lost),
            ("released", totals.released),
            ("died", totals.died),
            ("redriven", totals.redriven),
            ("cancelled", totals.cancelled),
        ],
    ]
}

pub(super) async fn list(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let format = Format::of(flags)?;
    let state = flags.text("state").unwrap_or_default();
    let state = WorkState::parse(state.as_bytes())
        .ok_or_else(|| Failure::message(format!("Invalid value for -state: '{state}' is no state of an item.")))?;
    let ([queue], work) = of(flags, "one queue").await?;
    let mut all: Vec<WorkInfo> = Vec::new();
    loop {
        let page = work.list(all.last().map_or(0, |info| info.item), state).await;
        let page = page.map_err(while_(format!("listing queue '{queue}'")))?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    items(&all, format, out)
}

pub(super) async fn dead(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let format = Format::of(flags)?;
    let ([queue], work) = of(flags, "one queue").await?;
    let all = work.dead().await.map_err(while_(format!("listing dead items of queue '{queue}'")))?;
    items(&all, format, out)
}

fn items(all: &[WorkInfo], format: Format, out: &mut Output) -> Result<(), Failure> {
    match format {
        Format::Json => out.line(pretty(&Value::Array(all.iter().map(described).collect()))),
        Format::Text => all.iter().try_for_each(|info| {
            let head = format!(
                "{}  {}  priority {}  attempts {}  ",
                info.item,
                info.state.as_str(),
                info.priority,
                info.attempts
            );
            let reason = match info.last_error.as_bytes() {
                [] => Vec::new(),
                reason => [&b"  last error: "[..], &shown(reason)].concat(),
            };
            out.line([head.into_bytes(), shown(info.payload.as_bytes()), reason].concat())
        }),
    }
}

fn described(info: &WorkInfo) -> Value {
    let mut object = Map::new();
    object.insert("item".to_owned(), json!(info.item));
    object.insert("state".to_owned(), json!(info.state.as_str()));
    object.insert("priority".to_owned(), json!(info.priority));
    object.insert("attempts".to_owned(), json!(info.attempts));
    object.insert("put_at_ms".to_owned(), json!(info.put_at));
    object.insert("waits_for".to_owned(), json!(info.waits_for));
    object.insert("last_error".to_owned(), json!(String::from_utf8_lossy(info.last_error.as_bytes())));
    object.insert("node".to_owned(), json_text(&info.node));
    put_value(&mut object, "payload", info.payload.as_bytes());
    Value::Object(object)
}

pub(super) async fn history(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let format = Format::of(flags)?;
    let ([queue], work) = of(flags, "one queue").await?;
    let ends = work.history().await.map_err(while_(format!("reading the history of queue '{queue}'")))?;
    match format {
        Format::Json => out.line(pretty(&Value::Array(ends.iter().map(described_end).collect()))),
        Format::Text if ends.is_empty() => Ok(()),
        Format::Text => out.line(columns(&ends.iter().map(row).collect::<Vec<_>>())),
    }
}

fn row(end: &WorkEnd) -> Vec<u8> {
    let head = format!("{}|{}|attempts {}|", end.item, end.state.as_str(), end.attempts);
    [head.as_bytes(), end.node.as_bytes(), b"|", &shown(end.result.as_bytes())].concat()
}

fn described_end(end: &WorkEnd) -> Value {
    let mut object = Map::new();
    object.insert("item".to_owned(), json!(end.item));
    object.insert("state".to_owned(), json!(end.state.as_str()));
    object.insert("attempts".to_owned(), json!(end.attempts));
    object.insert("node".to_owned(), json_text(&end.node));
    object.insert("at_ms".to_owned(), json!(end.at));
    put_value(&mut object, "result", end.result.as_bytes());
    Value::Object(object)
}
