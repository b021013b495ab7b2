//! What a connection does, with a stand-in behind the handle: framing, header reuse, stages, queues, closing. Here stand
//! the server and the client of these tests, which stand by subject in files of their own. The transcripts that need a
//! real agent are replayed in `tests/rpc_vectors.rs`.

#[path = "rpc_tests/coordination.rs"]
mod coordination_calls;
#[path = "rpc_tests/coordination_commands.rs"]
mod coordination_commands;
#[path = "rpc_tests/coordination_streams.rs"]
mod coordination_streams;
#[path = "rpc_tests/lone.rs"]
mod lone;
#[path = "rpc_tests/queries.rs"]
mod queries;
#[path = "rpc_tests/replies.rs"]
mod replies;
#[path = "rpc_tests/streams.rs"]
mod streams;
#[path = "rpc_tests/transcripts.rs"]
mod transcripts;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use folkmoot_proto::{
    AgentRequest, AuthRequest, CoordinateRequest, Decode, EventRecord, EventRequest, FrameReader, HandshakeRequest,
    JoinRequest, JoinResponse, LogRecord, MembersFilteredRequest, MembersResponse, MonitorRequest, QueryRecord,
    QueryRecordType, QueryRequest, Request, RespondRequest, ResponseHeader, StopRequest, StreamRequest, Text, texts,
};
use folkmoot_serf::{
    Completion, Event, KeyResponse, LamportTime, Member, MemberStatus, NodeName, QueryAnswer, QueryEvent, QueryKey,
    Stats, Tags, UserEvent, Versions, WireAddress,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::coordination::Coordination;
use crate::handle::{Delivered, MembersView, NodeStats, Question, Subscriber, SubscriptionId};
use crate::handlers::Handlers;
use crate::logging::Level;

/// Longest any awaited thing may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections the servers of these tests allow.
const CONNECTIONS: usize = 3;

/// A server with a stand-in node, and the log both write to.
struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    logs: LogHub,
    stop: watch::Sender<bool>,
    shutdown: Arc<Notify>,
    serving: JoinHandle<()>,
    _log_guard: tracing::subscriber::DefaultGuard,
}

/// What the stand-in was asked.
#[derive(Default)]
struct State {
    subscribers: BTreeMap<SubscriptionId, Subscriber>,
    queries: Vec<mpsc::Sender<QueryAnswer>>,
    /// Logical times of the queries responded to.
    responded: Vec<u64>,
    unanswered: Vec<Question>,
}

impl Server {
    async fn start(auth_key: Option<String>, stall: Duration) -> Self {
        Self::with_greeting(auth_key, stall, limits::GREETING).await
    }

    async fn with_greeting(auth_key: Option<String>, stall: Duration, greeting: Duration) -> Self {
        Self::with(auth_key, stall, greeting, None).await
    }

    async fn with_coordinator(coordinator: Option<Arc<dyn coordination::Coordinator>>) -> Self {
        Self::with(None, limits::STALL, limits::GREETING, coordinator).await
    }

    async fn with(
        auth_key: Option<String>,
        stall: Duration,
        greeting: Duration,
        coordinator: Option<Arc<dyn coordination::Coordinator>>,
    ) -> Self {
        let logs = LogHub::silent(Level::Debug);
        let log_guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(logs.layer()));
        let listener = TcpListener::bind("127.0.25.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (node, questions) = NodeHandle::new(64);
        let state = Arc::new(Mutex::new(State::default()));
        tokio::spawn(stand_in(questions, Arc::clone(&state)));
        let (stop, stopped) = watch::channel(false);
        let shutdown = Arc::new(Notify::new());
        let settings = RpcSettings {
            auth_key,
            shutdown: Arc::clone(&shutdown),
            telemetry: Telemetry::in_memory(),
            handlers: Handlers::default(),
            coordination: Coordination::absent(),
            handlers_change: false,
            coordinator,
        };
        let context = Context {
            node,
            logs: logs.clone(),
            settings,
            stall,
            greeting,
            large: Arc::new(Semaphore::new(1)),
            calls: Arc::new(Semaphore::new(limits::CALL_KIB)),
            backups: Arc::new(Semaphore::new(1)),
            restores: Arc::new(Semaphore::new(1)),
            connections: CONNECTIONS,
        };
        let serving = tokio::spawn(listener::run(RpcListener::Tcp(listener), Arc::new(context), stopped));
        Self { address, state, logs, stop, shutdown, serving, _log_guard: log_guard }
    }

    async fn connect(&self) -> Client {
        let socket = timeout(PATIENCE, TcpStream::connect(self.address)).await.unwrap().unwrap();
        Client { socket, frames: FrameReader::for_responses() }
    }

    async fn greet(&self) -> Client {
        let mut client = self.connect().await;
        client.send_request(0, Request::Handshake(HandshakeRequest { version: 1 })).await;
        assert_eq!(client.header().await, ResponseHeader::ok(0));
        client
    }

    fn events(&self) -> Vec<Subscriber> {
        self.state.lock().unwrap().subscribers.values().cloned().collect()
    }

    fn deliver(&self, delivered: &Delivered) {
        self.state.lock().unwrap().subscribers.retain(|_, subscriber| subscriber.deliver(delivered));
    }

    async fn answer_query(&self, answer: QueryAnswer) {
        let answers = self.state.lock().unwrap().queries.last().cloned().unwrap();
        answers.send(answer).await.unwrap();
    }

    async fn until_nobody_listens(&self) {
        self.until(|state| state.subscribers.is_empty()).await;
    }

    async fn until(&self, condition: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.state.lock().unwrap()) {
            assert!(Instant::now() < deadline, "it never came to that");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a line with this in it is in the log.
    async fn logged(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (queue, _lines) = mpsc::channel(1);
            let (backlog, _subscription) = self.logs.subscribe(Level::Debug, queue, String::new());
            if backlog.iter().any(|line| line.text.contains(part)) {
                return;
            }
            assert!(Instant::now() < deadline, "never logged: {part}; only {backlog:#?}");
            tokio::task::yield_now().await;
        }
    }
}

async fn stand_in(mut questions: mpsc::Receiver<Question>, state: Arc<Mutex<State>>) {
    let mut next = 0;
    while let Some(question) = questions.recv().await {
        let mut state = state.lock().unwrap();
        match question {
            Question::Members { reply } => drop(reply.send(view())),
            Question::MoveTo { reply, .. } | Question::ReportMetrics { reply } => reply.send(()).unwrap(),
            Question::WatchMembers { .. } => unreachable!("RPC does not watch members"),
            Question::SetCapability { reply, .. } => reply.send(Ok(())).unwrap(),
            Question::Stats { reply } => drop(reply.send(stats())),
            Question::Coordinate { reply, .. } => drop(reply.send(None)),
            Question::Join { ref addresses, .. } if addresses.iter().any(|address| address == "never") => {
                state.unanswered.push(question);
            }
            Question::Join { addresses, reply, .. } => drop(reply.send(Ok(joined(&addresses)))),
            Question::Leave { reply }
            | Question::ForceLeave { reply, .. }
            | Question::SetTags { reply, .. }
            | Question::UserEvent { reply, .. } => drop(reply.send(Ok(()))),
            Question::Query { answers, reply, .. } => {
                state.queries.push(answers);
                drop(reply.send(Ok(QueryKey { ltime: LamportTime(1), id: 1 })));
            }
            Question::Respond { query, reply, .. } => {
                state.responded.push(query.ltime.0);
                drop(reply.send(Ok(())));
            }
            Question::Subscribe { subscriber, reply } => {
                next += 1;
                state.subscribers.insert(SubscriptionId(next), subscriber);
                let _ = reply.send(SubscriptionId(next));
            }
            Question::Unsubscribe { id } => drop(state.subscribers.remove(&id)),
            Question::ChangeKeys { reply, .. } => drop(reply.send(no_keyring())),
        }
    }
}

fn view() -> MembersView {
    let member = |name: &str, last: u8, tags: &[(&str, &str)]| {
        Arc::new(Member {
            name: NodeName(Text::from(name)),
            address: WireAddress::from_ip(IpAddr::V4(Ipv4Addr::new(127, 0, 13, last))),
            port: 7946,
            tags: Tags(tags.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect()),
            status: MemberStatus::Alive,
            versions: Versions {
                protocol_min: 1,
                protocol_max: 5,
                protocol_cur: 2,
                delegate_min: 2,
                delegate_max: 5,
                delegate_cur: 5,
            },
            capability: None,
        })
    };
    let members = [member("alpha", 1, &[("role", "web"), ("dc", "east")]), member("beta", 2, &[("role", "db")])];
    MembersView { revision: 1, encoded: members::encode_body(&members), members: Arc::new(members) }
}

fn stats() -> NodeStats {
    NodeStats { name: NodeName(Text::from("alpha")), tags: Tags::default(), serf: Stats::default() }
}

fn joined(addresses: &[String]) -> Completion {
    let (bad, good): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| *address == "bad");
    let errors = bad.iter().map(|address| format!("failed to join {address}")).collect();
    Completion::Join { contacted: good.len(), errors }
}

fn no_keyring() -> KeyResponse {
    let message = "Keyring is empty (encryption not enabled)".to_string();
    let node = |name: &str| (NodeName(Text::from(name)), message.clone());
    KeyResponse {
        messages: BTreeMap::from([node("alpha"), node("beta")]),
        num_nodes: 2,
        num_resp: 2,
        num_err: 2,
        error: Some("2/2 nodes reported failure".to_string()),
        ..KeyResponse::default()
    }
}

/// The other end of a connection.
struct Client {
    socket: TcpStream,
    frames: FrameReader,
}

impl Client {
    async fn send(&mut self, seq: u64, request: AgentRequest) {
        self.send_request(seq, Request::Agent(request)).await;
    }

    async fn send_request(&mut self, seq: u64, request: Request) {
        self.socket.write_all(&request.to_bytes(seq)).await.unwrap();
    }

    /// The next object; `None` once the server has closed.
    async fn object(&mut self) -> Option<Bytes> {
        loop {
            if let Some(object) = self.frames.next().unwrap() {
                return Some(object);
            }
            let read = timeout(PATIENCE, self.socket.read_buf(&mut self.frames.space())).await.expect("no answer");
            match read {
                Ok(0) => {
                    assert!(self.frames.is_at_boundary());
                    return None;
                }
                Ok(_) => {}
                // A server that closes with input unread resets the connection.
                Err(_) => return None,
            }
        }
    }

    async fn header(&mut self) -> ResponseHeader {
        self.body().await
    }

    async fn body<T: Decode>(&mut self) -> T {
        T::decode(&self.object().await.expect("closed")).unwrap()
    }

    async fn open_stream(&mut self, seq: u64, filter: &str) {
        self.send(seq, stream_request(filter)).await;
        assert_eq!(self.header().await, ResponseHeader::ok(seq));
    }

    /// Reads records until one ends with this text.
    async fn until_log(&mut self, seq: u64, text: &str) {
        loop {
            assert_eq!(self.header().await, ResponseHeader::ok(seq));
            if self.body::<LogRecord>().await.log.to_string().ends_with(text) {
                return;
            }
        }
    }

    /// The next thing to come is the reply to a request sent only here: the header is the handshake's, whatever the
    /// stage, so the answer shows that the connection lives.
    async fn assert_open_and_silent(&mut self, name: &str) {
        self.send_request(77, Request::Handshake(HandshakeRequest { version: 9 })).await;
        assert_eq!(self.header().await, ResponseHeader::refused(77, texts::UNSUPPORTED_VERSION), "{name}");
    }
}

fn coordinate() -> AgentRequest {
    AgentRequest::GetCoordinate(CoordinateRequest { node: Text::from("zz") })
}

fn stream_request(filter: &str) -> AgentRequest {
    AgentRequest::Stream(StreamRequest { r#type: Text::from(filter) })
}

fn monitor_request(level: &str) -> AgentRequest {
    AgentRequest::Monitor(MonitorRequest { log_level: Text::from(level) })
}

fn query(name: &str) -> QueryRequest {
    QueryRequest { name: Text::from(name), ..QueryRequest::default() }
}

fn filter(name: &str, status: &str, tags: &[(&str, &str)]) -> MembersFilteredRequest {
    MembersFilteredRequest {
        name: Text::from(name),
        status: Text::from(status),
        tags: tags.iter().map(|(tag, pattern)| (Text::from(*tag), Text::from(*pattern))).collect(),
    }
}

fn names(response: &MembersResponse) -> Vec<String> {
    response.members.iter().map(|member| member.name.to_string()).collect()
}

fn user(time: u64, name: &str) -> Delivered {
    let event =
        UserEvent { ltime: LamportTime(time), name: Text::from(name), payload: Some(Bytes::new()), coalesce: false };
    Delivered { event: Arc::new(Event::User(event)), answer_by: None }
}

fn query_event(time: u64, answer_by: Instant) -> Delivered {
    let event = QueryEvent {
        key: QueryKey { ltime: LamportTime(time), id: 1 },
        name: Text::from("load"),
        payload: None,
        source: NodeName::default(),
        deadline: folkmoot_serf::Instant::default(),
    };
    Delivered { event: Arc::new(Event::Query(event)), answer_by: Some(answer_by) }
}
