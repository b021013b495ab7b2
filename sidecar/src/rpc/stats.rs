//! `stats` (section 7.5): every value is text, and no key may be missing. The group `raft` is ours, and there only with
//! `-raft`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use folkmoot_proto::{ResponseHeader, StatsResponse, Text};
use folkmoot_serf::Stats;

use super::session::{Fault, Session};
use crate::handle::{NodeStats, Question};

pub(super) async fn stats(session: &Session, seq: u64) -> Result<(), Fault> {
    let stats = session.node().ask(|reply| Question::Stats { reply }).await?;
    let settings = &session.context().settings;
    let mut body = body(stats, settings.handlers.by_filter());
    if let Some(raft) = settings.coordination.stats() {
        body.0.insert(Text::from("raft"), section(raft));
    }
    Ok(session.answer_with(&ResponseHeader::ok(seq), &body).await?)
}

fn body(stats: NodeStats, handlers: BTreeMap<String, String>) -> StatsResponse {
    let handlers = handlers.into_iter().map(|(event, script)| (Text::from(event), Text::from(script)));
    StatsResponse(BTreeMap::from([
        (Text::from("agent"), BTreeMap::from([(Text::from("name"), stats.name.0)])),
        (Text::from("runtime"), section(runtime())),
        (Text::from("serf"), section(serf(&stats.serf))),
        (Text::from("tags"), stats.tags.0),
        (Text::from("event_handlers"), handlers.collect()),
    ]))
}

fn section(values: Vec<(&'static str, String)>) -> BTreeMap<Text, Text> {
    values.into_iter().map(|(key, value)| (Text::from(key), Text::from(value))).collect()
}

/// What Go reports of its runtime, as far as we have one: tasks stand in for goroutines.
fn runtime() -> Vec<(&'static str, String)> {
    let metrics = tokio::runtime::Handle::current().metrics();
    vec![
        ("os", std::env::consts::OS.to_string()),
        ("arch", go_architecture(std::env::consts::ARCH).to_string()),
        ("version", format!("folkmoot{}", env!("CARGO_PKG_VERSION"))),
        ("max_procs", metrics.num_workers().to_string()),
        ("goroutines", metrics.num_alive_tasks().to_string()),
        ("cpu_count", PROCESSORS.to_string()),
    ]
}

/// Go's name for a processor family, where it differs.
fn go_architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}

fn serf(stats: &Stats) -> Vec<(&'static str, String)> {
    let mut values = vec![
        ("members", stats.members.to_string()),
        ("failed", stats.failed.to_string()),
        ("left", stats.left.to_string()),
        ("health_score", stats.health_score.to_string()),
        ("member_time", stats.member_time.to_string()),
        ("event_time", stats.event_time.to_string()),
        ("query_time", stats.query_time.to_string()),
        ("intent_queue", stats.intent_queue.to_string()),
        ("event_queue", stats.event_queue.to_string()),
        ("query_queue", stats.query_queue.to_string()),
        ("encrypted", stats.encrypted.to_string()),
    ];
    values.extend(stats.coordinate_resets.map(|resets| ("coordinate_resets", resets.to_string())));
    values
}

/// Looked up once: the system's answer takes several file reads.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
