//! An agent for tests: answers what it is told to, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use folkmoot_proto::coordination::{ClientRegistered, CoordinationCommand, CoordinationRequest};
use folkmoot_proto::{Command, Encode, FrameReader, Header, ResponseHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::client::Client;
use crate::options::ConnectOptions;

/// What is done about a request.
pub(crate) enum Act {
    /// Answered with this body.
    Answer(Vec<u8>),
    /// Answered with this error.
    Refuse(&'static str),
    /// The same, and then the connection closes.
    RefuseAndClose(&'static str),
    /// The same, and then the connection is reset, once the next request is under way or the other end has closed it.
    RefuseAndReset(&'static str),
    /// Answered with a header alone, then these records.
    Open(Vec<Vec<u8>>),
    /// The same, and then the connection closes.
    OpenAndClose(Vec<Vec<u8>>),
    /// The connection closes.
    Close,
    /// The same, and no other is accepted.
    Leave,
    /// Nothing, for the time being.
    Keep,
    /// The last one that was kept is answered with the first body, this one with the second.
    AnswerBoth(Vec<u8>, Vec<u8>),
}

/// A body.
pub(crate) fn answer(body: &impl Encode) -> Act {
    Act::Answer(encoded(body))
}

pub(crate) fn encoded(body: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    body.encode(&mut out);
    out
}

/// Registered clients are numbered from 1; all else is as the script says, request by request.
#[derive(Clone)]
pub(crate) struct FakeAgent {
    address: String,
    state: Arc<Mutex<State>>,
    asked: Arc<Notify>,
    /// Nothing is read and nothing answered while it is true; connections stay.
    silent: watch::Sender<bool>,
    /// No connection is accepted any more.
    gone: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    script: VecDeque<Act>,
    seen: Vec<CoordinationRequest>,
    registered: u64,
    connections: u32,
}

impl FakeAgent {
    pub(crate) async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.36.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State { script: script.into_iter().collect(), ..State::default() };
        let agent = Self {
            address,
            state: Arc::new(Mutex::new(state)),
            asked: Arc::default(),
            silent: watch::Sender::new(false),
            gone: watch::Sender::new(false),
        };
        let accepting = agent.clone();
        tokio::spawn(async move {
            let mut gone = accepting.gone.subscribe();
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    accepting.state.lock().unwrap().connections += 1;
                    tokio::spawn(accepting.clone().serve(stream));
                }
            };
            tokio::select! {
                _ = gone.wait_for(|gone| *gone) => {}
                () = accept => {}
            }
        });
        agent
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions::new(&self.address)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.options()).await.unwrap()
    }

    pub(crate) fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    pub(crate) fn speak_again(&self) {
        self.silent.send_replace(false);
    }

    pub(crate) fn connections(&self) -> u32 {
        self.state.lock().unwrap().connections
    }

    /// What was asked so far, but for registrations.
    pub(crate) fn seen(&self) -> Vec<CoordinationRequest> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Waits until so much was asked.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<CoordinationRequest> {
        loop {
            let asked = self.asked.notified();
            let seen = self.seen();
            if seen.len() >= count {
                return seen;
            }
            asked.await;
        }
    }

    async fn serve(self, mut stream: TcpStream) {
        let (mut frames, mut header, mut kept) = (FrameReader::for_requests(), Header::default(), 0);
        while let Some(object) = next(&mut frames, &mut stream).await {
            header.update(&object).unwrap();
            let mut silent = self.silent.subscribe();
            silent.wait_for(|silent| !silent).await.unwrap();
            let Some(command) = Command::parse(header.command.as_bytes()) else { return };
            let body = if command.has_body() { next(&mut frames, &mut stream).await } else { None };
            let seq = header.seq;
            let bytes = match command {
                Command::Handshake | Command::Auth | Command::Agent(_) => ResponseHeader::ok(seq).to_bytes(),
                Command::Coordination(command) => match self.act(command, &body.unwrap()) {
                    Act::Answer(body) => [ResponseHeader::ok(seq).to_bytes(), body].concat(),
                    Act::Refuse(text) => ResponseHeader::refused(seq, text).to_bytes(),
                    Act::RefuseAndClose(text) => {
                        let _ = stream.write_all(&ResponseHeader::refused(seq, text).to_bytes()).await;
                        return;
                    }
                    Act::RefuseAndReset(text) => {
                        let _ = stream.write_all(&ResponseHeader::refused(seq, text).to_bytes()).await;
                        next(&mut frames, &mut stream).await;
                        stream.set_zero_linger().unwrap();
                        return;
                    }
                    Act::Open(records) => opened(seq, records),
                    Act::OpenAndClose(records) => {
                        let _ = stream.write_all(&opened(seq, records)).await;
                        return;
                    }
                    Act::Close => return,
                    Act::Leave => {
                        self.gone.send_replace(true);
                        return;
                    }
                    Act::Keep => {
                        kept = seq;
                        continue;
                    }
                    Act::AnswerBoth(first, second) => {
                        let first = [ResponseHeader::ok(kept).to_bytes(), first];
                        [first.concat(), ResponseHeader::ok(seq).to_bytes(), second].concat()
                    }
                },
            };
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    fn act(&self, command: CoordinationCommand, body: &[u8]) -> Act {
        let mut state = self.state.lock().unwrap();
        if command == CoordinationCommand::ClientRegister {
            state.registered += 1;
            return answer(&ClientRegistered { client: state.registered });
        }
        state.seen.push(CoordinationRequest::decode(command, body).unwrap());
        self.asked.notify_waiters();
        state.script.pop_front().unwrap_or(Act::Refuse("refused: the script is over"))
    }
}

fn opened(seq: u64, records: Vec<Vec<u8>>) -> Vec<u8> {
    let header = || ResponseHeader::ok(seq).to_bytes();
    let records = records.into_iter().flat_map(|record| [header(), record]);
    std::iter::once(header()).chain(records).collect::<Vec<_>>().concat()
}

pub(crate) async fn next(frames: &mut FrameReader, stream: &mut TcpStream) -> Option<bytes::Bytes> {
    loop {
        if let Some(object) = frames.next().unwrap() {
            return Some(object);
        }
        let mut space = frames.space();
        if !matches!(stream.read_buf(&mut space).await, Ok(1..)) {
            return None;
        }
    }
}
