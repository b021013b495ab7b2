use folkmoot_proto::{AgentCommand, Encode, texts};

use super::*;

type Answer = oneshot::Receiver<Result<Reply, Unanswered>>;

fn call(table: &Table, command: AgentCommand) -> (u64, Answer) {
    let (reply, answer) = oneshot::channel();
    (table.register(Waiter::Call { command: Command::Agent(command), reply }).unwrap(), answer)
}

fn query(table: &Table, capacity: usize) -> (u64, mpsc::Receiver<QueryAnswer>, Arc<Progress>) {
    let (reply, _answer) = oneshot::channel();
    let (queue, answers) = mpsc::channel(capacity);
    let progress = Arc::new(Progress::default());
    let waiter = Waiter::Opening { reply, sink: Sink::Answers(queue), progress: Arc::clone(&progress) };
    let seq = table.register(waiter).unwrap();
    feed(table, &[ResponseHeader::ok(seq).to_bytes()]);
    (seq, answers, progress)
}

fn feed(table: &Table, objects: &[Vec<u8>]) {
    let last = objects.iter().fold(Expected::Header, |expected, object| table.take(expected, object).unwrap());
    assert!(matches!(last, Expected::Header), "a body is missing");
}

fn encoded(body: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    body.encode(&mut out);
    out
}

fn record(from: &str, r#type: QueryRecordType) -> Vec<u8> {
    encoded(&QueryRecord { from: from.into(), payload: None, r#type })
}

#[test]
fn numbers_start_at_one_and_replies_find_their_callers_in_any_order() {
    let table = Table::default();
    let (first, mut first_answer) = call(&table, AgentCommand::Event);
    let (second, mut second_answer) = call(&table, AgentCommand::Event);
    assert_eq!((first, second), (1, 2));
    feed(&table, &[ResponseHeader::refused(second, "no").to_bytes()]);
    assert_eq!(second_answer.try_recv().unwrap().unwrap().error, "no");
    assert!(first_answer.try_recv().is_err());
    feed(&table, &[ResponseHeader::ok(first).to_bytes()]);
    assert_eq!(first_answer.try_recv().unwrap().unwrap().error, "");
}

#[test]
fn a_body_is_awaited_with_every_error_but_the_missing_key_and_the_unknown_command() {
    let table = Table::default();
    let body = encoded(&folkmoot_proto::JoinResponse { num: 3 });
    let (seq, mut answer) = call(&table, AgentCommand::Join);
    feed(&table, &[ResponseHeader::refused(seq, "1 error occurred").to_bytes(), body.clone()]);
    assert_eq!(answer.try_recv().unwrap().unwrap().body.unwrap(), body);
    let (seq, mut answer) = call(&table, AgentCommand::Join);
    feed(&table, &[ResponseHeader::refused(seq, texts::AUTHENTICATION_REQUIRED).to_bytes()]);
    assert!(answer.try_recv().unwrap().unwrap().body.is_none());
    let (seq, mut answer) = call(&table, AgentCommand::HandlersList);
    feed(&table, &[ResponseHeader::refused(seq, texts::UNSUPPORTED_COMMAND).to_bytes()]);
    assert!(answer.try_recv().unwrap().unwrap().body.is_none());
}

#[test]
fn nothing_behind_an_unknown_command_is_read_and_nothing_more_is_sent() {
    let table = Table::default();
    let (before, mut before_answer) = call(&table, AgentCommand::Event);
    let (unknown, mut unknown_answer) = call(&table, AgentCommand::Event);
    let (_, mut behind_answer) = call(&table, AgentCommand::Event);
    feed(&table, &[ResponseHeader::refused(unknown, texts::UNSUPPORTED_COMMAND).to_bytes()]);
    assert_eq!(unknown_answer.try_recv().unwrap().unwrap().error, texts::UNSUPPORTED_COMMAND);
    assert!(matches!(behind_answer.try_recv().unwrap(), Err(Unanswered::Unread)));
    let (reply, _answer) = oneshot::channel();
    assert!(matches!(table.register(Waiter::Call { command: Command::Handshake, reply }), Err(Error::Closed)));
    feed(&table, &[ResponseHeader::ok(before).to_bytes()]);
    assert_eq!(before_answer.try_recv().unwrap().unwrap().error, "");
}

#[test]
fn objects_nobody_waits_for_are_passed_over() {
    let table = Table::default();
    let (seq, mut answer) = call(&table, AgentCommand::Event);
    let log = encoded(&LogRecord { log: "[INFO] late".into() });
    feed(&table, &[ResponseHeader::ok(99).to_bytes(), log, ResponseHeader::ok(seq).to_bytes()]);
    assert!(answer.try_recv().unwrap().is_ok());
}

#[test]
fn zero_records_before_done_are_passed_over() {
    let table = Table::default();
    let (seq, mut answers, progress) = query(&table, 8);
    let header = || ResponseHeader::ok(seq).to_bytes();
    feed(&table, &[header(), record("a", QueryRecordType::Ack), header(), record("", QueryRecordType::Ack)]);
    feed(&table, &[header(), record("", QueryRecordType::Response), header(), record("b", QueryRecordType::Ack)]);
    assert!(!progress.finished.load(Ordering::Acquire));
    feed(&table, &[header(), record("", QueryRecordType::Done)]);
    assert_eq!(answers.try_recv(), Ok(QueryAnswer::Ack { from: "a".into() }));
    assert_eq!(answers.try_recv(), Ok(QueryAnswer::Ack { from: "b".into() }));
    assert_eq!(answers.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    assert!(progress.finished.load(Ordering::Acquire));
}

#[test]
fn a_slow_reader_loses_the_newest_records_but_not_the_end() {
    let table = Table::default();
    let (seq, mut answers, progress) = query(&table, 1);
    let header = || ResponseHeader::ok(seq).to_bytes();
    feed(&table, &[header(), record("a", QueryRecordType::Ack), header(), record("b", QueryRecordType::Ack)]);
    feed(&table, &[header(), record("", QueryRecordType::Done)]);
    assert_eq!(progress.dropped.load(Ordering::Relaxed), 1);
    assert_eq!(answers.try_recv(), Ok(QueryAnswer::Ack { from: "a".into() }));
    assert_eq!(answers.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
}

#[test]
fn a_refused_subscription_is_over() {
    let table = Table::default();
    let (reply, mut answer) = oneshot::channel();
    let (queue, mut lines) = mpsc::channel(1);
    let waiter = Waiter::Opening { reply, sink: Sink::Logs(queue), progress: Arc::default() };
    let seq = table.register(waiter).unwrap();
    feed(&table, &[ResponseHeader::refused(seq, "Unknown log level: X").to_bytes()]);
    assert_eq!(answer.try_recv().unwrap().unwrap().error, "Unknown log level: X");
    assert_eq!(lines.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
}

#[test]
fn the_end_of_the_connection_reaches_everybody() {
    let table = Table::default();
    let (_, mut answer) = call(&table, AgentCommand::Event);
    let (_, mut answers, progress) = query(&table, 1);
    table.end(&Error::Closed);
    assert!(matches!(answer.try_recv().unwrap(), Err(Unanswered::Lost(Error::Closed))));
    assert_eq!(answers.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    assert!(!progress.finished.load(Ordering::Acquire));
    let (reply, _answer) = oneshot::channel();
    let late = table.register(Waiter::Call { command: Command::Handshake, reply });
    assert!(matches!(late, Err(Error::Closed)));
}

#[test]
fn what_is_no_header_ends_the_connection() {
    assert!(matches!(Table::default().take(Expected::Header, &[0xc1]), Err(Error::Protocol { .. })));
    assert!(matches!(Table::default().take(Expected::Header, b"\xa3abc"), Err(Error::Protocol { .. })));
}

#[test]
fn open_calls_are_bounded() {
    let table = Table::default();
    for _ in 0..MAX_OPEN {
        call(&table, AgentCommand::Leave);
    }
    let (reply, _answer) = oneshot::channel();
    let refused = table.register(Waiter::Call { command: Command::Handshake, reply });
    assert!(matches!(refused, Err(Error::TooManyCalls)));
}
