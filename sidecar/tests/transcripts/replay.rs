//! Replays one case on a stage: sends what the client sent, lets others do what the notes say they did, and compares.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::case::{Case, Step, from_json};
use super::compare::{Freedom, Message, conversations, messages};
use super::stage::{ASKED_FOR, Stage};
use crate::support::rpc::Received;
use crate::support::{Kind, PATIENCE, Rpc, Signal, Value, eventually};

/// Runs of a case until two agents do at once what they are to do at once.
const RUNS_MAX: usize = 20;
const NOT_AT_ONCE: &str = "gossip was faster than the second of two clients";

/// Replays `case`; an error says what differed.
pub fn replay(stage: &mut Stage, file: &str, case: &Case) -> Result<(), String> {
    let mut runs = (0..RUNS_MAX).map(|_| replay_once(stage, file, case));
    let counts = |result: &Result<(), String>| result.as_ref().err().is_none_or(|why| why != NOT_AT_ONCE);
    runs.find(counts).unwrap_or_else(|| Err(NOT_AT_ONCE.to_owned()))
}

fn replay_once(stage: &mut Stage, file: &str, case: &Case) -> Result<(), String> {
    let mut run = Run {
        rpc: Rpc::connect_raw(stage.agents[stage.client_of].rpc_address()),
        expected: Vec::new(),
        received: Vec::new(),
        received_at: Instant::now(),
        fired: Vec::new(),
        at_once: true,
        last_note: String::new(),
        case,
        file,
        go: stage.kind == Kind::Go,
    };
    before(stage, &case.id);
    for step in &case.steps {
        run.step(stage, step)?;
    }
    let freedom = Freedom::of(case, file);
    let result = conversations(&run.counted(&run.expected), &run.counted(&run.received), &freedom);
    run.rpc.finish();
    result
}

/// What the notes take for granted.
fn before(stage: &mut Stage, id: &str) {
    match id {
        "member-failed-prune" => {
            stage.add("gamma", 3, &["-tag=role=cache"]);
            stage.settle();
        }
        "query-acks-and-responses" | "query-empty-response" => stage.listen(),
        "leave-in-progress" => {}
        _ => {}
    }
}

struct Run<'a> {
    rpc: Rpc,
    expected: Vec<Value>,
    received: Vec<Value>,
    /// When the last of them was.
    received_at: Instant,
    /// Events and queries that have been fired because the recording shows them arriving.
    fired: Vec<String>,
    last_note: String,
    /// What the recording shows happening at once did.
    at_once: bool,
    case: &'a Case,
    file: &'a str,
    go: bool,
}

impl Run<'_> {
    fn step(&mut self, stage: &mut Stage, step: &Step) -> Result<(), String> {
        match step {
            Step::Send { bytes, bytewise } => {
                if *bytewise {
                    bytes.iter().for_each(|byte| self.rpc.send_bytes(&[*byte]));
                } else {
                    self.rpc.send_bytes(bytes);
                }
                Ok(())
            }
            Step::Expect(objects) => {
                // What others are to cause can be heard only once the replies before it have come.
                let (before, objects) = objects.split_at(self.before_first_event(objects));
                self.expected.extend(before.iter().cloned());
                self.receive_as_many_as_expected()?;
                self.cause(stage, objects);
                if !self.at_once {
                    return Err(NOT_AT_ONCE.to_owned());
                }
                self.expected.extend(objects.iter().cloned());
                self.receive_as_many_as_expected()
            }
            Step::Closed => self.receive_end(),
            Step::Quiet(time) => {
                self.disturb(stage);
                self.receive_nothing(*time)
            }
            Step::Note { text, data } => {
                text.clone_into(&mut self.last_note);
                self.note(stage, text, data)
            }
        }
    }

    /// Messages that count: a case may say that some come or do not.
    fn counted(&self, objects: &[Value]) -> Vec<Message> {
        let name = |message: &Message| message.body.as_ref().map(|body| body.get("Name").clone());
        let empty = |message: &Message| {
            let body = message.body.as_ref();
            body.is_some_and(|body| *body.get("From") == Value::text("") && *body.get("Type") != Value::text("done"))
        };
        let free = |message: &Message| match self.case.id.as_str() {
            // Go may send empty records at the deadline (docs/spec/rpc.md 8.4); ours may not.
            _ if self.go && empty(message) => true,
            // "whether event records appear"
            "leave-two" => message.sequence == 3 && message.body.is_some(),
            // "whether acks slip in"
            "query-negative-timeout" => {
                message.body.as_ref().is_some_and(|body| *body.get("Type") == Value::text("ack"))
            }
            // The session's own coalesced events arrive when they like.
            _ if self.file.starts_with("19-") => {
                message.sequence >= 12 && name(message).is_some_and(|name| name == Value::text("deploy"))
            }
            _ => false,
        };
        messages(objects).into_iter().filter(|message| !free(message)).collect()
    }

    /// Objects in messages that count.
    fn count(&self, objects: &[Value]) -> usize {
        self.counted(objects).iter().map(|message| 1 + usize::from(message.body.is_some())).sum()
    }

    fn receive_as_many_as_expected(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while self.count(&self.received) < self.count(&self.expected) {
            match self.rpc.receive(deadline.saturating_duration_since(Instant::now())) {
                Received::Object(object) => {
                    self.received.push(object);
                    self.received_at = Instant::now();
                }
                other => return Err(format!("{other:?}; expected {:?}, received {:?}", self.expected, self.received)),
            }
        }
        Ok(())
    }

    fn receive_end(&mut self) -> Result<(), String> {
        match self.rpc.receive(PATIENCE) {
            Received::Closed => Ok(()),
            Received::Object(object) => {
                self.received.push(object);
                self.receive_end()
            }
            other => Err(format!("the agent should close; {other:?}")),
        }
    }

    fn receive_nothing(&mut self, time: Duration) -> Result<(), String> {
        match self.rpc.receive(time) {
            Received::Silence => Ok(()),
            other => Err(format!("nothing should come for {time:?}; {other:?}")),
        }
    }

    /// How many objects stand before the first event or query that somebody else fires; 0 without one.
    fn before_first_event(&self, objects: &[Value]) -> usize {
        let caused = |message: &Message| {
            message.body.as_ref().is_some_and(|body| {
                let event = body.get("Event");
                *event == Value::text("query") || *event == Value::text("user") && !self.own(body.get("Name"))
            })
        };
        let messages = messages(objects);
        let first = messages.iter().position(caused).unwrap_or(0);
        messages[..first].iter().map(|message| 1 + usize::from(message.body.is_some())).sum()
    }

    /// Somebody else fires the events and queries whose records come next.
    fn cause(&mut self, stage: &mut Stage, objects: &[Value]) {
        if self.case.id == "leave-in-progress" {
            return;
        }
        for message in messages(objects) {
            let Some(body) = message.body else { continue };
            let record = body.get("Event");
            let key = format!("{}/{:?}/{:?}", record_text(record), body.get("Name"), body.get("Payload"));
            if *record == Value::text("user") && !self.own(body.get("Name")) && !self.fired.contains(&key) {
                self.fired.push(key);
                self.fire(stage, &body);
            } else if *record == Value::text("query") && !self.fired.contains(&key) {
                self.fired.push(key);
                let on = if self.last_note.contains("alpha") { "alpha" } else { "beta" };
                stage.ask(on, body.get("Name"), body.get("Payload"));
            } else if *body.get("Type") == Value::text("response") {
                stage.answer(&body.get("From").as_text(), body.get("Payload"));
            }
        }
    }

    /// True for events the recorded client fired itself.
    fn own(&self, name: &Value) -> bool {
        match self.case.id.as_str() {
            "stream-and-event-same-connection" | "event-payload-int-array" => true,
            _ => self.file.starts_with("19-") && !name.as_text().starts_with('s'),
        }
    }

    fn fire(&mut self, stage: &mut Stage, record: &Value) {
        let (name, coalesce) = (record.get("Name"), record.get("Coalesce"));
        let on = if self.last_note.contains("on beta") { "beta" } else { "alpha" };
        match self.case.id.as_str() {
            "stream-user-duplicate" if *name == Value::text("dup") => self.at_once = fire_at_once(stage, record),
            "stream-user-duplicate" => fire_one_after_the_other(stage, record),
            "stream-user-coalesced" => {
                stage.fire_coalesced(on, name, (0..5).map(|payload| Value::text(&payload.to_string())));
            }
            "stream-user-named" => {
                stage.fire(on, &Value::text("other"), &Value::Nil, coalesce);
                stage.fire(on, name, record.get("Payload"), coalesce);
            }
            _ => {
                let payload = match &self.last_note {
                    note if note.contains("nil payload") => Value::Nil,
                    note if note.contains("empty bin") => Value::Bin(Vec::new()),
                    note if note.contains("empty str") => Value::text(""),
                    _ => record.get("Payload").clone(),
                };
                stage.fire(on, name, &payload, coalesce);
            }
        }
    }

    /// Where a recording shows that a stopped stream stays silent, there has to be something it could have sent.
    fn disturb(&self, stage: &mut Stage) {
        if matches!(self.case.id.as_str(), "stream-stop-reuse" | "stream-seq-0" | "monitor-and-stream-same-seq") {
            let first = stage.agents[0].name.clone();
            stage.fire(&first, &Value::text("unheard"), &Value::Nil, &Value::Bool(false));
        }
    }

    fn note(&mut self, stage: &mut Stage, text: &str, data: &serde_json::Value) -> Result<(), String> {
        match text {
            "client shut down its sending side" => self.rpc.half_close(),
            "another client sends an unknown command" => send_unknown_command(stage),
            "gamma joined" | "gamma started and joined again" => stage.add("gamma", 3, &["-tag=role=cache"]),
            "gamma changed its tags" => {
                stage.rpc("gamma").set_tags(&[("role", "cache2"), ("x", "1")], &[]).unwrap();
            }
            "gamma left gracefully (SIGINT)" => stage.end("gamma", Signal::Interrupt),
            "gamma killed with SIGKILL; detection takes a few seconds" | "gamma killed" => {
                stage.end("gamma", Signal::Kill);
            }
            "force-leave gamma" => stage.rpc("alpha").force_leave("gamma", false).unwrap(),
            "force-leave -prune gamma (already left)" => stage.rpc("alpha").force_leave("gamma", true).unwrap(),
            "delta and epsilon joined within the quiescent period" => {
                stage.add_both(["delta", "epsilon"], [3, 4], &["-tag=role=cache"]);
            }
            "3 s later" => stage.wait_for_status("delta", "alive"),
            "after the query deadline" => {
                stage.answers = stage.asker.take().map(|mut rpc| rpc.answers());
                // The agent's own deadline began when the query arrived there, which was before its record came here.
                let over = self.received_at + ASKED_FOR + Duration::from_millis(200);
                return self.receive_nothing(over.saturating_duration_since(Instant::now()));
            }
            "another client sent leave 0.3 s ago" => {
                let mark = stage.agents[0].mark();
                stage.rpc("alpha").send("leave", None);
                stage.agents[0].wait_for_line_from(mark, "requesting graceful leave");
            }
            "beta was killed just now, not yet detected as failed" => stage.end("beta", Signal::Kill),
            "beta sees alpha as left" => {
                let mut rpc = stage.rpc("beta");
                eventually(text, || match rpc.statuses().get("alpha") {
                    Some(status) if status == "left" => Ok(()),
                    other => Err(format!("{other:?}")),
                });
            }
            _ if text.contains("exit code of the agent process: 0") => {
                let status = stage.agents[0].wait_for_exit();
                if status.code() != Some(0) {
                    return Err(format!("the agent ended with {status}"));
                }
            }
            "SIGHUP sent to the agent" => {
                let mark = stage.agents[0].mark();
                stage.agents[0].signal(Signal::Hangup);
                stage.agents[0].wait_for_line_from(mark, "Reloading configuration");
            }
            _ if !data["mode"].is_null() && !data["tags_file"].is_null() => return tags_file(stage, data),
            _ if text.contains("keyring files now") => return keyring_files(stage, data),
            _ if text.starts_with("what the asking client") => return asker(stage, data),
            // Causes of what comes next, read in `fire`; and remarks.
            _ => {}
        }
        Ok(())
    }
}

fn record_text(record: &Value) -> String {
    if *record == Value::Nil { String::new() } else { record.as_text() }
}

/// Event clocks of alpha and beta, once they show the same time.
fn event_time(stage: &mut Stage) -> i128 {
    let mut connections = [stage.rpc("alpha"), stage.rpc("beta")];
    let time = eventually("both event clocks show the same", || {
        let stats = connections.each_mut().map(|rpc| rpc.ask("stats", None).unwrap());
        let [one, other] = stats.map(|stats| stats.get("serf").get("event_time").as_text().parse().unwrap());
        if one == other { Ok(one) } else { Err(format!("{one} and {other}")) }
    });
    connections.into_iter().for_each(Rpc::finish);
    time
}

/// The same event on both agents, meant to come before gossip can carry it: both give it the same Lamport time. False if
/// gossip was faster, and they gave it two.
fn fire_at_once(stage: &mut Stage, record: &Value) -> bool {
    let before = event_time(stage);
    let body = Value::map([("Name", record.get("Name").clone()), ("Payload", record.get("Payload").clone())]);
    let mut connections = [stage.rpc("alpha"), stage.rpc("beta")];
    for rpc in &mut connections {
        rpc.send("event", Some(body.clone()));
    }
    connections.into_iter().for_each(Rpc::finish);
    event_time(stage) == before + 1
}

/// The same event on both agents, the second when it has heard the first: two Lamport times.
fn fire_one_after_the_other(stage: &mut Stage, record: &Value) {
    let mut heard = stage.rpc("beta");
    heard.stream("user");
    let coalesce = Value::Bool(false);
    stage.fire("alpha", record.get("Name"), record.get("Payload"), &coalesce);
    heard.record(PATIENCE).expect("beta hears the event of alpha");
    heard.finish();
    stage.fire("beta", record.get("Name"), record.get("Payload"), &coalesce);
}

fn send_unknown_command(stage: &mut Stage) {
    let mut rpc = stage.agents[0].rpc();
    let refused = rpc.call("nope", None);
    assert_eq!(refused, Err("Unsupported command".to_owned()));
    rpc.finish();
}

fn keyring_files(stage: &Stage, data: &serde_json::Value) -> Result<(), String> {
    for name in ["alpha", "beta"] {
        let Some(expected) = data[name].as_str() else { continue };
        let content = std::fs::read_to_string(stage.folder.join(format!("{name}.keyring"))).unwrap();
        if content != expected {
            return Err(format!("keyring file of {name}: expected {expected}, it is {content}"));
        }
    }
    Ok(())
}

fn tags_file(stage: &Stage, data: &serde_json::Value) -> Result<(), String> {
    let file = stage.folder.join("solo.tags");
    let expected = (data["tags_file"].as_str().unwrap().to_owned(), data["mode"].as_str().unwrap().to_owned());
    eventually("the tags file is as recorded", || {
        let mode = std::fs::metadata(&file).map_err(|error| error.to_string())?.permissions().mode() & 0o777;
        let found = (std::fs::read_to_string(&file).unwrap(), format!("0o{mode:o}"));
        if found == expected { Ok(()) } else { Err(format!("{found:?}, not {expected:?}")) }
    });
    Ok(())
}

/// What the asking client got: its reply, then acks and responses in any order, then `done`.
fn asker(stage: &mut Stage, data: &serde_json::Value) -> Result<(), String> {
    let asked = stage.asker.take().map(|mut rpc| rpc.answers());
    let mut answers = stage.answers.take().or(asked).expect("somebody asked");
    let objects: Vec<Value> = data["asker_objects"].as_array().unwrap().iter().map(from_json).collect();
    let pick = |kind: &str| {
        let of_kind = |body: &Value| *body.get("Type") == Value::text(kind);
        let bodies = messages(&objects).into_iter().filter_map(|message| message.body).filter(of_kind);
        let mut picked: Vec<_> =
            bodies.map(|body| (body.get("From").as_text(), body.get("Payload").as_bytes())).collect();
        picked.sort();
        picked
    };
    answers.acks.sort();
    answers.responses.sort();
    let acks: Vec<String> = pick("ack").into_iter().map(|(from, _)| from).collect();
    if answers.acks == acks && answers.responses == pick("response") {
        Ok(())
    } else {
        Err(format!("the asking client got {answers:?}, expected {acks:?} and {:?}", pick("response")))
    }
}
