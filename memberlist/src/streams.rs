//! The TCP streams that are open, and what each is waiting for. Answers to Go `handleConn`, `sendAndReceiveState`,
//! `sendPingAndWaitForAck` and `sendUserMsg` in `net.go`, spec 2.8 and 12.
//!
//! One request per stream, at most one answer. The engine keeps every time limit itself. Not here: how bytes become
//! messages (`stream_codec.rs`), and what an exchange of state does (`push_pull.rs`).

use std::net::{IpAddr, SocketAddr};

use folkmoot_wire::{Blob, Text};
use tracing::{debug, error, warn};

use crate::counters::{add, count};
use crate::limits::{INBOUND_BYTES, INBOUND_STREAMS, INBOUND_STREAMS_PER_SOURCE};
use crate::members::Liveness;
use crate::messages::PushPull;
use crate::probe::OneWay;
use crate::stream_codec::{StreamDecoder, StreamRole, seal_stream};
use crate::{
    Ack, Event, Host, Instant, Io, LOG, Memberlist, NodeName, Output, Ping, StreamError, StreamId, StreamInput,
    StreamMessage, Timer,
};

/// Failed exchanges with a living member after which the log says what to open. One may be a crash that nobody has noticed.
const EXCHANGES_FAILED_TOLD: u8 = 2;

/// An open stream.
#[derive(Debug)]
pub(crate) enum Stream {
    /// We dialled and do not know yet whether it works.
    Dialling { to: SocketAddr, errand: Errand },
    /// We have sent our state and wait for theirs.
    AwaitingState { exchange: Exchange, decoder: StreamDecoder },
    /// We have sent a ping and wait for its ack.
    AwaitingAck { ping: Ping, decoder: StreamDecoder },
    /// Somebody dialled us and has not said all of it yet.
    Inbound { from: SocketAddr, decoder: StreamDecoder },
}

/// What we dial for.
#[derive(Debug)]
pub(crate) enum Errand {
    Exchange(Exchange),
    Ping { ping: Ping },
    UserMessage(Blob),
}

/// A push/pull that we began.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) to: SocketAddr,
    /// Empty where the caller gave only an address.
    pub(crate) name: NodeName,
    pub(crate) join: bool,
}

/// Why an exchange with a peer came to nothing. `Display` is Go's text (newest source).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The shell's words, which are Go's: `dial tcp 127.0.0.1:7946: connect: connection refused`.
    #[error("{0}")]
    Transport(String),
    /// The connection did not come about in time.
    #[error("dial tcp {to}: i/o timeout")]
    DialTimeout {
        /// Whom we dialled.
        to: SocketAddr,
    },
    /// The answer did not come in time.
    #[error("read tcp {to}: i/o timeout")]
    ReadTimeout {
        /// Whom we asked.
        to: SocketAddr,
    },
    /// The peer closed without an answer.
    #[error("EOF")]
    Closed,
    /// The answer cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StreamError),
    /// The peer could not read our request, and says why.
    #[error("remote error: {0}")]
    Remote(Text),
    /// The answer is of another kind.
    #[error("received invalid msgType ({number}), expected pushPullMsg (6) from={from}")]
    Unexpected {
        /// Its type byte.
        number: u8,
        /// Whom we asked.
        from: SocketAddr,
    },
    /// The states cannot be merged.
    #[error(transparent)]
    Merge(#[from] crate::MergeError),
}

/// Why a join did not work. `Display` is Go's whole text for one address: `failed to join 127.0.0.1:7946: ` and the
/// reason; the layer above only puts several of them together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to join {peer}: {reason}")]
pub struct JoinError {
    /// Whom we tried.
    pub peer: SocketAddr,
    /// What was wrong.
    pub reason: ExchangeError,
}

impl Memberlist {
    /// Dials; the stream has until `deadline` to be connected.
    pub(crate) fn dial(&mut self, to: SocketAddr, errand: Errand, deadline: Instant) -> StreamId {
        let stream = self.next_stream_id();
        count(&mut self.counters.streams_dialled);
        self.streams.insert(stream, Stream::Dialling { to, errand });
        self.timers.set(Timer::Stream(stream), deadline);
        self.outputs.push_back(Output::Io(Io::Connect { stream, to }));
        stream
    }

    pub(crate) fn on_stream(&mut self, now: Instant, id: StreamId, input: StreamInput<'_>, host: &mut impl Host) {
        if let StreamInput::Accepted { from } = input {
            self.on_accepted(now, id, from);
            return;
        }
        let Some(stream) = self.streams.remove(&id) else { return };
        match input {
            StreamInput::Accepted { .. } => {}
            StreamInput::Connected => self.on_connected(now, id, stream, host),
            StreamInput::Bytes(bytes) => self.on_bytes(now, id, stream, bytes, host),
            StreamInput::Finished => self.on_finished(id, stream),
            StreamInput::Failed { reason } => {
                self.timers.cancel(&Timer::Stream(id));
                self.report_failure(id, stream, ExchangeError::Transport(reason.to_owned()));
            }
        }
    }

    /// A stream has used up its time.
    pub(crate) fn on_stream_timeout(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(&id) else { return };
        let reason = match &stream {
            Stream::Dialling { to, .. } => ExchangeError::DialTimeout { to: *to },
            Stream::AwaitingState { exchange, .. } => ExchangeError::ReadTimeout { to: exchange.to },
            Stream::AwaitingAck { .. } => ExchangeError::Closed,
            Stream::Inbound { from, .. } => ExchangeError::ReadTimeout { to: *from },
        };
        self.outputs.push_back(Output::Io(Io::Close { stream: id }));
        self.report_failure(id, stream, reason);
    }

    /// Closes a stream and forgets it; nothing more is heard of it.
    pub(crate) fn close_stream(&mut self, id: StreamId) {
        self.streams.remove(&id);
        self.timers.cancel(&Timer::Stream(id));
        self.outputs.push_back(Output::Io(Io::Close { stream: id }));
    }

    fn on_accepted(&mut self, now: Instant, id: StreamId, from: SocketAddr) {
        debug!(target: LOG, "Stream connection from={from}");
        count(&mut self.counters.streams_accepted);
        let total = self.inbound().count();
        let same_source = self.inbound().filter(|(source, _)| *source == from.ip()).count();
        if total >= INBOUND_STREAMS || same_source >= INBOUND_STREAMS_PER_SOURCE {
            count(&mut self.counters.streams_refused);
            error!(target: LOG, "Too many pending push/pull requests");
            self.close_stream(id);
            return;
        }
        self.streams.insert(id, Stream::Inbound { from, decoder: StreamDecoder::new(StreamRole::Acceptor) });
        self.timers.set(Timer::Stream(id), now.after(self.config.tcp_timeout));
    }

    /// The streams others opened: from where, and what they have said so far.
    fn inbound(&self) -> impl Iterator<Item = (IpAddr, &StreamDecoder)> {
        self.streams.values().filter_map(|stream| match stream {
            Stream::Inbound { from, decoder } => Some((from.ip(), decoder)),
            Stream::Dialling { .. } | Stream::AwaitingState { .. } | Stream::AwaitingAck { .. } => None,
        })
    }

    fn on_connected(&mut self, now: Instant, id: StreamId, stream: Stream, host: &mut impl Host) {
        let (to, errand) = match stream {
            Stream::Dialling { to, errand } => (to, errand),
            Stream::AwaitingState { .. } | Stream::AwaitingAck { .. } | Stream::Inbound { .. } => {
                self.streams.insert(id, stream);
                return;
            }
        };
        let decoder = StreamDecoder::new(StreamRole::Initiator);
        match errand {
            Errand::Exchange(exchange) => {
                debug!(target: LOG, "Initiating push/pull sync with: {} {to}", exchange.name);
                let state = self.local_state(exchange.join, host);
                self.write(id, StreamRole::Initiator, &StreamMessage::PushPull(state));
                self.timers.set(Timer::Stream(id), now.after(self.config.tcp_timeout));
                self.streams.insert(id, Stream::AwaitingState { exchange, decoder });
            }
            Errand::Ping { ping } => {
                self.write(id, StreamRole::Initiator, &StreamMessage::Ping(ping.clone()));
                self.streams.insert(id, Stream::AwaitingAck { ping, decoder });
            }
            Errand::UserMessage(payload) => {
                self.write(id, StreamRole::Initiator, &StreamMessage::User(payload.0));
                self.close_stream(id);
            }
        }
    }

    fn on_bytes(&mut self, now: Instant, id: StreamId, mut stream: Stream, bytes: &[u8], host: &mut impl Host) {
        let decoder = match &mut stream {
            Stream::AwaitingState { decoder, .. }
            | Stream::AwaitingAck { decoder, .. }
            | Stream::Inbound { decoder, .. } => decoder,
            // A peer that talks before we know that we are connected: the shell would not report it in this order.
            Stream::Dialling { .. } => {
                self.streams.insert(id, stream);
                return;
            }
        };
        let message = match decoder.push(&self.layers(), bytes) {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.on_incomplete(id, stream);
                return;
            }
            Err(reason) => {
                self.on_unreadable(id, stream, reason);
                return;
            }
        };
        add(&mut self.counters.members_malformed, decoder.dropped_nodes());
        match stream {
            Stream::AwaitingState { exchange, .. } => self.on_answer(now, id, &exchange, message, host),
            Stream::AwaitingAck { ping, .. } => {
                match message {
                    StreamMessage::Ack(ref ack) if ack.sequence == ping.sequence => self.on_tcp_ack(ack.sequence),
                    StreamMessage::Ack(_)
                    | StreamMessage::Ping(_)
                    | StreamMessage::PushPull(_)
                    | StreamMessage::User(_)
                    | StreamMessage::Error(_) => {
                        let number = message.number();
                        error!(target: LOG, "Failed fallback TCP ping: unexpected answer of type {number} from {}", ping.node);
                    }
                }
                self.close_stream(id);
            }
            Stream::Inbound { from, .. } => self.on_request(now, id, from, message, host),
            Stream::Dialling { .. } => {}
        }
    }

    /// More bytes are needed. Strangers may make us wait only for so many.
    fn on_incomplete(&mut self, id: StreamId, stream: Stream) {
        if let Stream::Inbound { decoder, .. } = &stream {
            let others = self.inbound().map(|(_, decoder)| decoder.held());
            let bytes = others.fold(decoder.held(), usize::saturating_add);
            if bytes > INBOUND_BYTES {
                self.on_unreadable(id, stream, StreamError::Overload { bytes });
                return;
            }
        }
        self.streams.insert(id, stream);
    }

    fn on_finished(&mut self, id: StreamId, mut stream: Stream) {
        let fault = match &mut stream {
            Stream::AwaitingState { decoder, .. }
            | Stream::AwaitingAck { decoder, .. }
            | Stream::Inbound { decoder, .. } => decoder.finish(),
            Stream::Dialling { .. } => None,
        };
        match (fault, &stream) {
            (Some(fault), _) => self.on_unreadable(id, stream, fault),
            (None, Stream::Inbound { .. }) => self.close_stream(id),
            (None, Stream::Dialling { .. } | Stream::AwaitingState { .. } | Stream::AwaitingAck { .. }) => {
                self.close_stream(id);
                self.report_failure(id, stream, ExchangeError::Closed);
            }
        }
    }

    /// What came cannot be read. An acceptor says so if Go would.
    fn on_unreadable(&mut self, id: StreamId, stream: Stream, reason: StreamError) {
        if let (Stream::Inbound { .. }, Some(answer)) = (&stream, reason.answer()) {
            self.write(id, StreamRole::Acceptor, &StreamMessage::Error(answer.into()));
        }
        self.close_stream(id);
        self.report_failure(id, stream, reason.into());
    }

    /// A whole request from somebody who dialled us.
    fn on_request(
        &mut self,
        now: Instant,
        id: StreamId,
        from: SocketAddr,
        message: StreamMessage,
        host: &mut impl Host,
    ) {
        match message {
            StreamMessage::User(payload) => {
                self.close_stream(id);
                if !payload.is_empty() {
                    self.event(Event::UserMessage(payload));
                }
            }
            StreamMessage::PushPull(theirs) => self.on_push_pull(now, id, from, theirs, host),
            StreamMessage::Ping(ping) => {
                if self.is_for_us(&ping) {
                    let ack = Ack { payload: None, sequence: ping.sequence };
                    self.write(id, StreamRole::Acceptor, &StreamMessage::Ack(ack));
                } else {
                    warn!(target: LOG, "Got ping for unexpected node {} from={from}", ping.node);
                }
                self.close_stream(id);
            }
            StreamMessage::Ack(_) | StreamMessage::Error(_) => {
                error!(target: LOG, "Received invalid msgType ({}) from={from}", message.number());
                self.close_stream(id);
            }
        }
    }

    /// The acceptor's half of an exchange: our state as it is before theirs is merged, then the merge.
    fn on_push_pull(&mut self, now: Instant, id: StreamId, from: SocketAddr, theirs: PushPull, host: &mut impl Host) {
        let ours = self.local_state(theirs.join, host);
        self.write(id, StreamRole::Acceptor, &StreamMessage::PushPull(ours));
        self.close_stream(id);
        let join = theirs.join;
        if let Err(reason) = self.merge(now, theirs, join, host) {
            error!(target: LOG, "Failed push/pull merge: {reason} from={from}");
        }
    }

    /// The answer to an exchange we began. It is merged with our own join flag.
    fn on_answer(
        &mut self,
        now: Instant,
        id: StreamId,
        exchange: &Exchange,
        message: StreamMessage,
        host: &mut impl Host,
    ) {
        self.close_stream(id);
        let result = match message {
            StreamMessage::PushPull(theirs) => {
                self.merge(now, theirs, exchange.join, host).map_err(ExchangeError::from)
            }
            StreamMessage::Error(reason) => Err(ExchangeError::Remote(reason)),
            StreamMessage::Ping(_) | StreamMessage::Ack(_) | StreamMessage::User(_) => {
                Err(ExchangeError::Unexpected { number: message.number(), from: exchange.to })
            }
        };
        match result {
            Ok(()) if exchange.join => self.event(Event::JoinFinished { stream: id, result: Ok(()) }),
            Ok(()) => {
                if let Some(record) = self.members.get_mut(&exchange.name) {
                    record.exchanges_failed = 0;
                }
            }
            Err(reason) => self.report_exchange_failure(id, exchange, reason),
        }
    }

    /// A stream came to nothing: tell whoever waits for it.
    fn report_failure(&mut self, id: StreamId, stream: Stream, reason: ExchangeError) {
        match stream {
            Stream::Dialling { errand: Errand::Exchange(exchange), .. } | Stream::AwaitingState { exchange, .. } => {
                self.report_exchange_failure(id, &exchange, reason);
            }
            Stream::Dialling { errand: Errand::Ping { ping }, .. } => {
                count(&mut self.counters.streams_failed);
                debug!(target: LOG, "No TCP contact with {}: {reason}", ping.node);
            }
            Stream::AwaitingAck { ping, .. } => {
                count(&mut self.counters.streams_failed);
                error!(target: LOG, "Failed fallback TCP ping: {}: {reason}", ping.node);
            }
            Stream::Dialling { to, errand: Errand::UserMessage(_) } => {
                count(&mut self.counters.streams_failed);
                warn!(target: LOG, "Failed to send user message to {to}: {reason}");
            }
            Stream::Inbound { from, .. } => {
                count(&mut self.counters.streams_failed);
                error!(target: LOG, "failed to receive: {reason} from={from}");
            }
        }
    }

    fn report_exchange_failure(&mut self, id: StreamId, exchange: &Exchange, reason: ExchangeError) {
        count(&mut self.counters.streams_failed);
        if exchange.join {
            let result = Err(JoinError { peer: exchange.to, reason });
            self.event(Event::JoinFinished { stream: id, result });
        } else {
            error!(target: LOG, "Push/Pull with {} failed: {reason}", exchange.name);
            if matches!(reason, ExchangeError::DialTimeout { .. } | ExchangeError::Transport(_)) {
                self.note_unreached(exchange);
            }
        }
    }

    /// Whom TCP does not reach time after time, a push/pull interval apart, while nobody suspects it: UDP reaches it.
    fn note_unreached(&mut self, exchange: &Exchange) {
        let Some(record) = self.members.get_mut(&exchange.name) else { return };
        record.exchanges_failed = record.exchanges_failed.saturating_add(1);
        if record.exchanges_failed >= EXCHANGES_FAILED_TOLD && *record.liveness() == Liveness::Alive {
            self.tell_one_way(&exchange.name, exchange.to, OneWay::UdpOnly);
        }
    }

    fn write(&mut self, stream: StreamId, role: StreamRole, message: &StreamMessage) {
        let nonce = self.random.nonce();
        let bytes = seal_stream(&self.layers(), role, message, nonce);
        self.outputs.push_back(Output::Io(Io::Write { stream, bytes }));
    }
}

impl StreamMessage {
    /// Its type byte, for the log.
    fn number(&self) -> u8 {
        match self {
            Self::Ping(_) => 0,
            Self::Ack(_) => 2,
            Self::PushPull(_) => 6,
            Self::User(_) => 8,
            Self::Error(_) => 13,
        }
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
