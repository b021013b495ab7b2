//! Queries: asking, receiving, collecting answers.
//!
//! Answers to `docs/spec/serf-gossip.md` 6.1 to 6.3 and 6.6 (Go `query.go`, `serf.go` Query, handleQuery,
//! handleQueryResponse). Acks, answers and relays of ours stand in `responses.rs`. With F3 (a collector per time and id)
//! and F18 (ending early, on request).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::Timer;
use crate::limits::{
    ANSWERS_PER_QUERY_MAX, NODE_NAME_BYTES_MAX, OPEN_QUERIES_MAX, PATTERNS_PER_SECOND_MAX, RUNNING_QUERIES_MAX,
};
use crate::memberlist::retransmit_limit;
use crate::membership::witness;
use crate::messages::{FLAG_ACK, Filter, QueryMessage, QueryResponseMessage, TagFilter};
use crate::pattern::PatternCache;
use crate::responses::{Asker, Budget, Open};
use crate::ring::{Ring, Verdict};
use crate::{
    Event, Instant, LamportTime, MemberStatus, NodeName, Output, QueryAnswer, QueryEvent, QueryKey, QueryRequest,
    RequestError, Serf, Tags, Text,
};

/// What is known of queries.
pub(crate) struct Queries {
    ring: Ring<u32>,
    running: BTreeMap<QueryKey, Running>,
    /// Queries that may still be answered.
    pub(crate) open: BTreeMap<QueryKey, Open>,
    /// What we still pass on for others.
    pub(crate) relay_budget: Budget,
    /// Expressions we still compile for others.
    pattern_budget: Budget,
    /// Queries that did not match because that budget was spent.
    pub(crate) patterns_refused: u64,
    patterns: PatternCache,
}

/// Where a query comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We ask: our own ack and answer need no packet.
    Own,
    /// Somebody else asks.
    Remote,
}

/// Who wants the answers of a query of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client.
    Client,
    /// The vote about our name.
    Conflict,
    /// The running key operation.
    Keys,
}

/// A query of ours that collects answers.
struct Running {
    purpose: Purpose,
    deadline: Instant,
    /// Who has confirmed; `None`: nobody was asked to.
    acks: Option<BTreeSet<NodeName>>,
    responses: BTreeSet<NodeName>,
    /// Who has to answer before it may end early; `None`: it ends at the deadline only.
    expected: Option<BTreeSet<NodeName>>,
}

impl Queries {
    pub(crate) fn new(length: usize, floor: LamportTime) -> Self {
        Self {
            ring: Ring::new(length, floor),
            running: BTreeMap::new(),
            open: BTreeMap::new(),
            relay_budget: Budget::default(),
            pattern_budget: Budget::default(),
            patterns_refused: 0,
            patterns: PatternCache::default(),
        }
    }

    /// The time to answer a query is over.
    pub(crate) fn close(&mut self, key: QueryKey) {
        self.open.remove(&key);
    }

    /// Whether every filter matches a node of this name with these tags (6.3). What cannot be read does not match (F1).
    fn matches(&mut self, now: Instant, filters: &[bytes::Bytes], name: &NodeName, tags: &Tags) -> bool {
        filters.iter().all(|bytes| match Filter::decode(bytes) {
            Ok(Filter::Nodes(names)) => names.contains(name),
            Ok(Filter::Tag(TagFilter { tag, expression })) => {
                let value = tags.get(&tag).map(|value| value.as_bytes()).unwrap_or_default();
                if !self.patterns.knows(&expression) && !self.pattern_budget.spend(now, PATTERNS_PER_SECOND_MAX) {
                    self.patterns_refused = self.patterns_refused.saturating_add(1);
                    return false;
                }
                match self.patterns.search(&expression) {
                    Ok(pattern) => pattern.is_match(value),
                    Err(error) => {
                        tracing::warn!(target: "serf", "failed to compile filter regex ({expression}): {error}");
                        false
                    }
                }
            }
            Err(error) => {
                tracing::warn!(target: "serf", "query has unrecognized filter: {error}");
                false
            }
        })
    }
}

impl Serf {
    /// Asks a query; answers come as [`Output::Answer`].
    ///
    /// # Errors
    /// It is longer than configured or than any gossip packet (F7), our protocol has no queries, or too many run.
    pub fn query(&mut self, now: Instant, request: QueryRequest) -> Result<QueryKey, RequestError> {
        let key = self.ask(now, request, Purpose::Client)?;
        self.absorb(now);
        Ok(key)
    }

    /// See [`Serf::query`].
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        request: QueryRequest,
        purpose: Purpose,
    ) -> Result<QueryKey, RequestError> {
        if self.config.protocol_version < FIRST_PROTOCOL_WITH_QUERIES {
            return Err(RequestError::FeatureNotSupported);
        }
        if self.is_shut_down() {
            return Err(RequestError::Shutdown);
        }
        if self.queries.running.len() >= RUNNING_QUERIES_MAX {
            return Err(RequestError::TooMany(RUNNING_QUERIES_MAX));
        }
        let finish_early = request.finish_early;
        let message = self.query_message(request);
        let encoded = message.encode();
        if encoded.len() > self.config.query_size_limit {
            return Err(RequestError::QueryTooLong(self.config.query_size_limit));
        }
        let ceiling = self.gossip_ceiling();
        if encoded.len() > ceiling {
            return Err(RequestError::NeverGossiped { length: encoded.len(), ceiling });
        }
        let key = QueryKey { ltime: message.ltime, id: message.id };
        let deadline = deadline_of(now, message.timeout_ns);
        let running = Running {
            purpose,
            deadline,
            acks: message.wants_ack().then(BTreeSet::new),
            responses: BTreeSet::new(),
            expected: finish_early.then(|| self.expected_answers(now, &message.filters)),
        };
        self.queries.running.insert(key, running);
        self.timers.set(Timer::RunningQuery(key), deadline);
        // Receiving it advances the clock past its time, so no other query of ours can have the same (F3).
        self.on_query(now, &message, Origin::Own);
        self.core.broadcasts.queue_query(encoded);
        self.core.broadcasts.prune(&self.config, self.core.table.len());
        Ok(key)
    }

    fn query_message(&mut self, request: QueryRequest) -> QueryMessage {
        let timeout = request.timeout.unwrap_or_else(|| self.default_query_timeout());
        let mut filters = Vec::new();
        if !request.filter_nodes.is_empty() {
            filters.push(Filter::Nodes(request.filter_nodes).encode());
        }
        for (tag, expression) in request.filter_tags {
            filters.push(Filter::Tag(TagFilter { tag, expression }).encode());
        }
        let own = self.memberlist.local_member();
        QueryMessage {
            ltime: self.core.query_clock.time(),
            id: self.random.query_id(),
            address: Some(bytes::Bytes::copy_from_slice(own.address.as_bytes())),
            port: own.port,
            source_node: self.core.name.clone(),
            filters,
            flags: if request.request_ack { FLAG_ACK } else { 0 },
            relay_factor: request.relay_factor,
            timeout_ns: i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX),
            name: request.name,
            payload: request.payload,
        }
    }

    /// Go's `DefaultQueryTimeout`: gossip interval * multiplier * ceil(log10(N + 1)).
    pub(crate) fn default_query_timeout(&self) -> Duration {
        let digits = u32::try_from(retransmit_limit(1, self.memberlist.alive_count())).unwrap_or(u32::MAX);
        let factor = self.config.query_timeout_mult.saturating_mul(digits);
        self.config.memberlist.gossip_interval.saturating_mul(factor)
    }

    /// Living members the filters match, as far as we know their tags.
    fn expected_answers(&mut self, now: Instant, filters: &[bytes::Bytes]) -> BTreeSet<NodeName> {
        let (queries, table) = (&mut self.queries, &self.core.table);
        let living = table.entries().map(|entry| &entry.member).filter(|member| member.status == MemberStatus::Alive);
        living
            .filter(|member| queries.matches(now, filters, &member.name, &member.tags))
            .map(|member| member.name.clone())
            .collect()
    }

    /// A query, ours or another's (6.2). Says whether it is to be passed on.
    pub(crate) fn on_query(&mut self, now: Instant, message: &QueryMessage, origin: Origin) -> bool {
        let (ltime, id) = (message.ltime, message.id);
        if !witness(&mut self.core.query_clock, ltime, "query", &mut self.counters.times_refused) {
            return false;
        }
        let current = self.core.query_clock.time();
        match self.queries.ring.admit(ltime, current, id, 0, |one, two| one == two) {
            Verdict::New => {}
            Verdict::TooOld => {
                tracing::warn!(
                    target: "serf", "received old query {} from time {ltime} (current: {current})", message.name
                );
                return false;
            }
            Verdict::Full => {
                self.counters.queries_refused = self.counters.queries_refused.saturating_add(1);
                return false;
            }
            Verdict::Known | Verdict::BelowFloor => return false,
        }
        self.counters.queries = self.counters.queries.saturating_add(1);
        if self.queries.matches(now, &message.filters, &self.core.name, &self.core.tags) {
            self.take_part(now, message, origin);
        }
        message.is_broadcast()
    }

    /// The query is for us: confirm it, and hand it to whoever answers.
    fn take_part(&mut self, now: Instant, message: &QueryMessage, origin: Origin) {
        let key = QueryKey { ltime: message.ltime, id: message.id };
        let asker = Asker {
            own: origin == Origin::Own,
            address: message.source_address(),
            name: bounded_name(&message.source_node),
            relay_factor: message.relay_factor,
        };
        if message.wants_ack() {
            self.confirm(now, key, &asker);
        }
        if message.name.as_bytes().starts_with(INTERNAL_PREFIX) {
            let record = self.recorder.on_query(key.ltime);
            self.outputs.extend(record.map(Output::Record));
            self.on_internal_query(now, key, message, &asker);
            return;
        }
        let deadline = deadline_of(now, message.timeout_ns);
        if deadline > now {
            if self.queries.open.len() >= OPEN_QUERIES_MAX
                && let Some((oldest, _)) = self.queries.open.pop_first()
            {
                self.timers.cancel(&Timer::OpenQuery(oldest));
                self.counters.queries_forgotten = self.counters.queries_forgotten.saturating_add(1);
            }
            self.queries.open.insert(key, Open { asker, deadline, answered: false });
            self.timers.set(Timer::OpenQuery(key), deadline);
        }
        let event = QueryEvent {
            key,
            name: message.name.clone(),
            payload: message.payload.clone(),
            source: message.source_node.clone(),
            deadline,
        };
        self.emit(now, Event::Query(event));
    }

    /// An ack or an answer to a query of ours (6.6).
    pub(crate) fn on_query_response(&mut self, now: Instant, message: QueryResponseMessage) {
        let key = QueryKey { ltime: message.ltime, id: message.id };
        let Some(running) = self.queries.running.get_mut(&key) else {
            self.warn_of_stray(&message);
            return;
        };
        if now >= running.deadline {
            return;
        }
        let is_ack = message.is_ack();
        let from = message.from;
        let heard = match (is_ack, running.acks.as_mut()) {
            (true, Some(acks)) => acks,
            (true, None) => return,
            (false, _) => &mut running.responses,
        };
        if heard.contains(&from) {
            let duplicates = if is_ack {
                &mut self.counters.query_duplicate_acks
            } else {
                &mut self.counters.query_duplicate_responses
            };
            *duplicates = duplicates.saturating_add(1);
            return;
        }
        if heard.len() >= ANSWERS_PER_QUERY_MAX || from.0.len() > NODE_NAME_BYTES_MAX {
            self.counters.answers_refused = self.counters.answers_refused.saturating_add(1);
            return;
        }
        heard.insert(from.clone());
        let complete = running.is_complete();
        let purpose = running.purpose;
        if is_ack {
            self.counters.query_acks = self.counters.query_acks.saturating_add(1);
            self.deliver_answer(now, key, purpose, QueryAnswer::Ack { from });
        } else {
            self.counters.query_responses = self.counters.query_responses.saturating_add(1);
            self.deliver_answer(now, key, purpose, QueryAnswer::Response { from, payload: message.payload });
        }
        if complete {
            self.finish_query(now, key);
        }
    }

    /// A query of ours is over: at its deadline, or because nobody is left who could answer.
    pub(crate) fn finish_query(&mut self, now: Instant, key: QueryKey) {
        self.timers.cancel(&Timer::RunningQuery(key));
        if let Some(running) = self.queries.running.remove(&key) {
            self.deliver_answer(now, key, running.purpose, QueryAnswer::Done);
        }
    }

    fn deliver_answer(&mut self, now: Instant, query: QueryKey, purpose: Purpose, answer: QueryAnswer) {
        match purpose {
            Purpose::Client => self.outputs.push_back(Output::Answer { query, answer }),
            Purpose::Conflict => self.on_vote(now, query, answer),
            Purpose::Keys => self.on_key_answer(now, query, answer),
        }
    }

    fn warn_of_stray(&mut self, message: &QueryResponseMessage) {
        self.counters.answers_stray = self.counters.answers_stray.saturating_add(1);
        let (ltime, id) = (message.ltime, message.id);
        let same_time = QueryKey { ltime, id: 0 }..=QueryKey { ltime, id: u32::MAX };
        match self.queries.running.range(same_time).next() {
            Some((local, _)) => {
                let local = local.id;
                tracing::warn!(target: "serf", "query reply ID mismatch (Local: {local}, Response: {id})");
            }
            None => {
                let from = &message.from.0;
                tracing::warn!(target: "serf", "reply for non-running query (LTime: {ltime}, ID: {id}) From: {from}");
            }
        }
    }
}

impl Running {
    fn is_complete(&self) -> bool {
        self.expected.as_ref().is_some_and(|expected| {
            expected.is_subset(&self.responses) && self.acks.as_ref().is_none_or(|acks| expected.is_subset(acks))
        })
    }
}

/// Queries of this prefix are Serf's own (Go `InternalQueryPrefix`).
pub(crate) const INTERNAL_PREFIX: &[u8] = b"_serf_";
/// Go `ProtocolVersion` 4 brought queries.
const FIRST_PROTOCOL_WITH_QUERIES: u8 = 4;

/// The name, unless it is too long for a member's: it is kept as long as the query can be answered.
fn bounded_name(name: &NodeName) -> NodeName {
    if name.0.len() <= NODE_NAME_BYTES_MAX { name.clone() } else { NodeName::default() }
}

/// When a query of this timeout is over; a negative one is over at once.
fn deadline_of(now: Instant, timeout_ns: i64) -> Instant {
    now.after(Duration::from_nanos(u64::try_from(timeout_ns).unwrap_or(0)))
}

/// A query of Serf's own with its payload, and nothing else.
pub(crate) fn internal_request(name: &str, payload: bytes::Bytes) -> QueryRequest {
    QueryRequest { name: Text::from(name), payload: Some(payload), ..QueryRequest::default() }
}
