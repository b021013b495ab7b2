//! A story of the table: steps, one after the other, over one client. Each names a call and its arguments, and says either
//! what the answer `is` or with which word it `fails`; `as` keeps what is held or streamed, `on` goes on with it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use folkmoot_client::{
    Change, Client, ConnectOptions, Error, EventRecord, Guard, Item, Leaders, Passage, QueryAnswers, Session,
    Subscription, Term, Text, Watch,
};
use serde_json::Value;
use tokio::time::timeout;

use super::arguments::Arguments;
use super::pattern::{Names, compare, shape};
use super::support::Agent;
use super::{held, objects, serf};

/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Story {
    pub name: String,
    agent: String,
    pub steps: Vec<Value>,
}

/// What came of a step, less what two agents may differ in.
pub type Answer = (String, Result<Value, &'static str>);

/// What a step has kept for later ones.
pub enum Handle {
    Events(Subscription<EventRecord>),
    Logs(Subscription<Text>),
    Answers(QueryAnswers),
    Guard(Guard),
    Term(Term),
    Item(Item),
    Passage(Passage),
    Session(Session),
    Leaders(Leaders),
    Watch(Watch, VecDeque<Change>),
}

/// A client in the middle of a story.
pub struct Teller {
    pub client: Client,
    handles: BTreeMap<String, Handle>,
    /// Under which the next handle is kept.
    keeps: Option<String>,
}

impl Teller {
    /// Keeps something for later steps, if this one says so.
    pub fn keep(&mut self, handle: Handle) {
        if let Some(name) = self.keeps.take() {
            self.handles.insert(name, handle);
        }
    }

    pub fn handle(&mut self, name: &str) -> &mut Handle {
        self.handles.get_mut(name).unwrap_or_else(|| panic!("nothing is called {name}"))
    }

    /// Hands a handle over to a call that ends it.
    pub fn take(&mut self, name: &str) -> Handle {
        self.handles.remove(name).unwrap_or_else(|| panic!("nothing is called {name}"))
    }

    async fn call(&mut self, call: &str, arguments: &Arguments) -> Result<Value, Error> {
        let (object, verb) = call.split_once('.').unwrap_or(("", call));
        match object {
            "kv" => objects::kv(&self.client, verb, arguments).await,
            "counter" | "set" | "list" => objects::collection(&self.client, object, verb, arguments).await,
            "queue" | "priority_queue" => objects::queue(&self.client, object, verb, arguments).await,
            "lock" | "semaphore" | "rwlock" | "guard" => held::lock(self, object, verb, arguments).await,
            "barrier" | "gate" | "passage" => held::barrier(self, object, verb, arguments).await,
            "election" | "term" => held::election(self, object, verb, arguments).await,
            "work" => held::work(self, verb, arguments).await,
            "item" => held::item(self, verb, arguments).await,
            "group" => objects::group(&self.client, verb, arguments).await,
            "" | "session" if call.starts_with("session") => held::session(self, verb, arguments).await,
            "watch" | "" if call.starts_with("watch") => held::watch(self, verb, arguments).await,
            "stream" | "query" => serf::stream(self, object, verb, arguments).await,
            _ => serf::call(self, call, arguments).await,
        }
    }
}

pub fn read() -> Vec<Story> {
    let table: Value = serde_json::from_str(include_str!("../../../vectors/calls.json")).unwrap();
    let story = |story: &Value| Story {
        name: story["name"].as_str().unwrap().to_owned(),
        agent: story["agent"].as_str().unwrap().to_owned(),
        steps: story["steps"].as_array().unwrap().clone(),
    };
    table["stories"].as_array().unwrap().iter().map(story).collect()
}

/// The stories for this kind of agent.
pub fn stories(agent: &str) -> Vec<Story> {
    read().into_iter().filter(|story| story.agent == agent).collect()
}

/// Tells a story, and holds each answer against the table.
pub async fn tell(story: &Story, agent: &Agent) -> Vec<Answer> {
    let client = Client::connect(&ConnectOptions::new(agent.rpc_address().to_string())).await.unwrap();
    let mut teller = Teller { client, handles: BTreeMap::new(), keeps: None };
    let mut names = Names::from([
        ("node".to_owned(), Value::from(agent.name.as_str())),
        ("address".to_owned(), Value::from(agent.gossip())),
    ]);
    let mut answers = Vec::new();
    for (number, step) in story.steps.iter().enumerate() {
        let at = format!("{} agent, {}[{number}]: {step}", agent.kind.program(), story.name);
        let arguments = Arguments::of(step, &names);
        teller.keeps = step["as"].as_str().map(str::to_owned);
        let call = step["call"].as_str().unwrap_or_else(|| panic!("{at}: no call"));
        let answer = timeout(PATIENCE, teller.call(call, &arguments)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{at}: no answer in {PATIENCE:?}"));
        judge(step, &answer, &mut names).unwrap_or_else(|fault| panic!("{at}: {fault}"));
        answers.push((call.to_owned(), answer.map(|answer| shape(&answer)).map_err(|error| word(&error))));
    }
    answers
}

fn judge(step: &Value, answer: &Result<Value, Error>, names: &mut Names) -> Result<(), String> {
    match (step.get("is"), step["fails"].as_str(), answer) {
        (Some(pattern), None, Ok(answer)) => compare(pattern, answer, names),
        (None, Some(expected), Err(error)) if word(error) == expected => match step["text"].as_str() {
            Some(text) if text != error.to_string() => Err(format!("failed with {:?}", error.to_string())),
            Some(_) | None => Ok(()),
        },
        _ => Err(format!("answered with {answer:?}")),
    }
}

/// The word of the table for a fault.
fn word(error: &Error) -> &'static str {
    match error {
        Error::Connect(_) => "connect",
        Error::Auth { .. } => "auth",
        Error::Remote { .. } => "remote",
        Error::Keys { .. } => "keys",
        Error::Closed => "closed",
        Error::Protocol { .. } => "protocol",
        Error::Timeout { .. } => "timeout",
        Error::Unsupported { .. } => "unsupported",
        Error::NoGroup { .. } => "no-group",
        Error::NoQuorum { .. } => "no-quorum",
        Error::Unavailable { .. } => "unavailable",
        Error::ClientExpired => "client-expired",
        Error::Refused(refusal) => refusal.code.as_str(),
        Error::LeaseLost(_) => "lease-lost",
        Error::Read { .. } => "read",
        Error::TooManyCalls => "too-many-calls",
    }
}
