//! The machine of [`super`]: one call per thing that happens, then [`Founding::poll`] until it has nothing more to say.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::{Answer, Note, Output, PATIENCE, PAUSE, Proposal, RETRY, Record, Refusal, Request, Rule, SETTLE, Seen};
use crate::peer::{ClusterId, NodeId, Peer};

/// One member's part in founding a group. Times are since any moment that stays the same.
#[derive(Debug)]
pub struct Founding {
    me: Peer,
    rule: Rule,
    record: Record,
    /// A record on its way to the disk; until it is there nothing else is done.
    keeping: Option<Keeping>,
    seen: Vec<Seen>,
    /// Since when the same members are in sight.
    same_since: Duration,
    /// Who has promised our own proposal, in this life.
    promises: BTreeSet<NodeId>,
    /// When we began to ask for it, in this life.
    began: Duration,
    /// When the next round of requests is due.
    ask_at: Duration,
    /// Not before then do we propose.
    propose_after: Duration,
    told: Option<Note>,
    halted: bool,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Keeping {
    record: Record,
    /// A question whose answer is a promise.
    question: Option<u64>,
}

impl Founding {
    /// A member with what it has bound itself to.
    pub fn new(now: Duration, me: Peer, rule: Rule, record: Record) -> Self {
        let mut founding = Self {
            me,
            rule,
            record,
            keeping: None,
            seen: Vec::new(),
            same_since: now,
            promises: BTreeSet::new(),
            began: now,
            ask_at: now,
            propose_after: now,
            told: None,
            halted: false,
            outputs: VecDeque::new(),
        };
        founding.tell_group();
        founding
    }

    /// What it has bound itself to, on disk.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The next thing to be done.
    #[must_use]
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Time has passed, or gossip has news: `seen` are all others with `-raft` that gossip knows and that have not left.
    /// Several times a second is enough. `fresh` is a random number nobody has drawn before, for a proposal.
    pub fn look(&mut self, now: Duration, seen: &[Seen], fresh: ClusterId) {
        if self.seen != seen {
            self.seen = seen.to_vec();
            self.same_since = now;
        }
        if self.keeping.is_some() || self.halted {
            return;
        }
        match self.record.clone() {
            Record::Free => self.look_around(now, fresh),
            Record::Promised(proposal) if proposal.proposer == self.me.id => self.pursue(now, proposal),
            Record::Promised(proposal) => self.wait_for_outcome(now, proposal),
            Record::Founded(_) | Record::Joined(_) => {}
        }
    }

    /// Member `from` asks; the answer comes as [`Output::Reply`] with the same number.
    pub fn asked(&mut self, from: NodeId, question: u64, request: Request) {
        if self.keeping.is_some() || self.halted {
            self.reply(question, Answer::Busy);
            return;
        }
        match request {
            Request::Promise(proposal) => self.asked_to_promise(from, question, proposal),
            Request::Exists(proposal) => {
                self.reply(question, Answer::Pending);
                if self.record == Record::Promised(proposal.clone()) && from == proposal.proposer {
                    self.keep(Record::Founded(proposal), None);
                }
            }
            Request::Outcome(cluster) => {
                let answer = match &self.record {
                    Record::Founded(proposal) if proposal.cluster == cluster => Answer::Exists(proposal.clone()),
                    Record::Promised(proposal) if proposal.cluster == cluster => Answer::Pending,
                    Record::Joined(joined) if *joined == cluster => Answer::Pending,
                    // We are asked because we proposed it; we hold something else, so we gave it up.
                    Record::Free | Record::Promised(_) | Record::Founded(_) | Record::Joined(_) => Answer::GivenUp,
                };
                self.reply(question, answer);
            }
        }
    }

    /// Member `from` answered what we asked it about `cluster`; `None`: it did not.
    pub fn answered(&mut self, now: Duration, from: NodeId, cluster: ClusterId, answer: Option<Answer>) {
        let (Some(answer), Record::Promised(proposal)) = (answer, &self.record) else { return };
        if self.keeping.is_some() || self.halted || proposal.cluster != cluster || !proposal.names(from) {
            return;
        }
        let proposal = proposal.clone();
        if proposal.proposer == self.me.id {
            self.hear_voter(now, from, proposal, answer);
        } else if from == proposal.proposer {
            match answer {
                Answer::Exists(existing) if existing == proposal => self.keep(Record::Founded(proposal), None),
                Answer::GivenUp => self.keep(Record::Free, None),
                Answer::Promised | Answer::Refused(_) | Answer::Pending | Answer::Exists(_) | Answer::Busy => {}
            }
        }
    }

    /// The record of [`Output::Keep`] is durable, or nobody knows: then we take no further part until a restart, which
    /// reads what is there.
    pub fn kept(&mut self, now: Duration, result: Result<(), String>) {
        let Some(Keeping { record, question }) = self.keeping.take() else { return };
        if let Err(reason) = result {
            self.halted = true;
            self.tell(Note::Halted(reason));
            return;
        }
        let was_ours = matches!(&self.record, Record::Promised(proposal) if proposal.proposer == self.me.id);
        self.record = record;
        self.ask_at = now;
        self.began = now;
        self.promises = BTreeSet::from([self.me.id]);
        if let Some(question) = question {
            self.reply(question, Answer::Promised);
        }
        match &self.record {
            Record::Founded(proposal) if was_ours => {
                let others: Vec<Peer> = proposal.voters.iter().filter(|peer| peer.id != self.me.id).cloned().collect();
                let request = Request::Exists(proposal.clone());
                for to in others {
                    self.outputs.push_back(Output::Ask { to, request: request.clone() });
                }
            }
            Record::Free if was_ours => {
                let rank = self.candidates().iter().filter(|peer| peer.id < self.me.id).count();
                let rank = u32::try_from(rank).unwrap_or(u32::MAX).saturating_add(1);
                self.propose_after = now.saturating_add(PAUSE.saturating_mul(rank));
            }
            Record::Free | Record::Promised(_) | Record::Founded(_) | Record::Joined(_) => {}
        }
        self.tell_group();
    }

    /// Free: is there a group to join, or one to propose?
    fn look_around(&mut self, now: Duration, fresh: ClusterId) {
        let settled = now.saturating_sub(self.same_since) >= SETTLE;
        let mut groups = self.groups(true);
        match (groups.pop_first(), groups.pop_first()) {
            (Some(one), Some(two)) => return self.tell(Note::TwoGroups(one, two)),
            (Some(group), None) if settled => return self.keep(Record::Joined(group), None),
            (Some(_), None) => return,
            (None, _) => {}
        }
        let Some(expect) = self.rule.expect else {
            if self.rule.alone {
                let voters = vec![self.me.clone()];
                let proposal = Proposal { cluster: fresh, proposer: self.me.id, voters };
                return self.keep(Record::Founded(proposal), None);
            }
            return self.tell(Note::NobodyThere);
        };
        // Members of a group have failed, but they may come back.
        if !self.groups(false).is_empty() {
            return self.tell(Note::NobodyThere);
        }
        let mut candidates = self.candidates();
        if candidates.len() < usize::from(expect) {
            return self.tell_waiting(expect, candidates.len());
        }
        if self.is_minority(usize::from(expect)) {
            let members = self.seen.len().saturating_add(1);
            return self.tell(Note::ExpectTooLow { expect, members });
        }
        let lowest = candidates.first().cloned().unwrap_or_else(|| self.me.clone());
        if lowest.id != self.me.id {
            return self.tell(Note::WaitingFor(lowest));
        }
        if settled && now >= self.propose_after {
            candidates.truncate(usize::from(expect));
            let proposal = Proposal { cluster: fresh, proposer: self.me.id, voters: candidates };
            self.keep(Record::Promised(proposal), None);
        }
    }

    /// Our own proposal: ask whoever has not promised.
    fn pursue(&mut self, now: Duration, proposal: Proposal) {
        self.promises.insert(self.me.id);
        let missing: Vec<Peer> =
            proposal.voters.iter().filter(|voter| !self.promises.contains(&voter.id)).cloned().collect();
        let Some(first) = missing.first() else {
            return self.keep(Record::Founded(proposal), None);
        };
        if let Some(group) = self.groups(false).first() {
            let reason = format!("members of group {group} are in sight");
            return self.give_up(first.clone(), reason);
        }
        if now.saturating_sub(self.began) >= PATIENCE {
            return self.give_up(first.clone(), format!("no answer within {} s", PATIENCE.as_secs()));
        }
        if now < self.ask_at {
            return;
        }
        self.ask_at = now.saturating_add(RETRY);
        for voter in &missing {
            let (to, request) = (self.place_of(voter), Request::Promise(proposal.clone()));
            self.outputs.push_back(Output::Ask { to, request });
        }
        if now > self.began {
            self.tell(Note::Missing(missing));
        }
    }

    fn hear_voter(&mut self, now: Duration, from: NodeId, proposal: Proposal, answer: Answer) {
        match answer {
            Answer::Promised => {
                self.promises.insert(from);
                if proposal.voters.iter().all(|voter| self.promises.contains(&voter.id)) {
                    self.pursue(now, proposal);
                }
            }
            Answer::Refused(refusal) => {
                if let Some(peer) = proposal.voter(from) {
                    self.give_up(peer.clone(), refusal.to_string());
                }
            }
            Answer::Pending | Answer::Exists(_) | Answer::GivenUp | Answer::Busy => {}
        }
    }

    /// Another's proposal: it exists once somebody is in its group; else its proposer knows.
    fn wait_for_outcome(&mut self, now: Duration, proposal: Proposal) {
        if self.groups(false).contains(&proposal.cluster) {
            return self.keep(Record::Founded(proposal), None);
        }
        if now < self.ask_at {
            return;
        }
        self.ask_at = now.saturating_add(RETRY);
        let Some(proposer) = proposal.voter(proposal.proposer) else { return };
        let gone = !self.seen.iter().any(|seen| seen.alive && seen.peer.id == proposer.id);
        let to = self.place_of(proposer);
        if now.saturating_sub(self.began) >= PATIENCE {
            self.tell(Note::Promised { to: to.clone(), gone });
        }
        self.outputs.push_back(Output::Ask { to, request: Request::Outcome(proposal.cluster) });
    }

    fn asked_to_promise(&mut self, from: NodeId, question: u64, proposal: Proposal) {
        let refusal = match &self.record {
            Record::Promised(held) if *held == proposal => return self.reply(question, Answer::Promised),
            Record::Founded(held) if *held == proposal => return self.reply(question, Answer::Promised),
            Record::Promised(held) => Some(Refusal::Promised(held.cluster)),
            Record::Founded(held) => Some(Refusal::InGroup(held.cluster)),
            Record::Joined(cluster) => Some(Refusal::InGroup(*cluster)),
            Record::Free => self.reason_against(from, &proposal),
        };
        match refusal {
            Some(refusal) => self.reply(question, Answer::Refused(refusal)),
            None => self.keep(Record::Promised(proposal), Some(question)),
        }
    }

    fn reason_against(&self, from: NodeId, proposal: &Proposal) -> Option<Refusal> {
        let members = self.seen.len().saturating_add(1);
        if !proposal.is_sound() || from != proposal.proposer || from == self.me.id || !proposal.names(self.me.id) {
            return Some(Refusal::Unsound);
        }
        if self.rule.expect.map(usize::from) != Some(proposal.voters.len()) {
            return Some(Refusal::Expects(self.rule.expect));
        }
        if let Some(group) = self.groups(false).first() {
            return Some(Refusal::SeesGroup(*group));
        }
        self.is_minority(proposal.voters.len()).then(|| Refusal::Minority(u32::try_from(members).unwrap_or(u32::MAX)))
    }

    fn give_up(&mut self, peer: Peer, reason: String) {
        self.tell(Note::GivenUp { peer, reason });
        self.keep(Record::Free, None);
    }

    fn keep(&mut self, record: Record, question: Option<u64>) {
        self.outputs.push_back(Output::Keep(record.clone()));
        self.keeping = Some(Keeping { record, question });
    }

    fn reply(&mut self, question: u64, answer: Answer) {
        self.outputs.push_back(Output::Reply { question, answer });
    }

    fn tell_group(&mut self) {
        match &self.record {
            Record::Founded(proposal) => self.outputs.push_back(Output::Found(proposal.clone())),
            Record::Joined(cluster) => self.outputs.push_back(Output::Join(*cluster)),
            Record::Free | Record::Promised(_) => {}
        }
    }

    fn tell_waiting(&mut self, expect: u8, met: usize) {
        let differs = self.seen.iter().find(|seen| seen.alive && seen.expect != Some(expect));
        let note = match differs.filter(|_| self.seen.iter().filter(|seen| seen.alive).count() >= usize::from(expect)) {
            Some(seen) => Note::ExpectDiffers { peer: seen.peer.clone(), theirs: seen.expect },
            None => Note::Waiting { met, expect },
        };
        self.tell(note);
    }

    fn tell(&mut self, note: Note) {
        if self.told.as_ref() != Some(&note) {
            self.told = Some(note.clone());
            self.outputs.push_back(Output::Tell(note));
        }
    }

    /// Groups in sight; of living members only, or of those that failed as well.
    fn groups(&self, living: bool) -> BTreeSet<ClusterId> {
        self.seen.iter().filter(|seen| seen.alive || !living).filter_map(|seen| seen.cluster).collect()
    }

    /// Who could found a group with us, ourselves included, ascending by id.
    fn candidates(&self) -> Vec<Peer> {
        let fits = |seen: &&Seen| seen.alive && seen.cluster.is_none() && seen.expect == self.rule.expect;
        let others = self.seen.iter().filter(fits).map(|seen| seen.peer.clone());
        let mut candidates: Vec<Peer> = others.chain([self.me.clone()]).collect();
        candidates.sort_by_key(|peer| peer.id);
        candidates.dedup_by_key(|peer| peer.id);
        candidates
    }

    /// Whether a set of this size is not more than half of all members in sight.
    fn is_minority(&self, size: usize) -> bool {
        size.saturating_mul(2) <= self.seen.len().saturating_add(1)
    }

    /// Where a member is: gossip knows better than a proposal.
    fn place_of(&self, peer: &Peer) -> Peer {
        let seen = self.seen.iter().find(|seen| seen.alive && seen.peer.id == peer.id);
        seen.map_or_else(|| peer.clone(), |seen| seen.peer.clone())
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
