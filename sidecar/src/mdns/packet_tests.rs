use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/rpc/mdns.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(vector: &Value) -> Vec<u8> {
    let text = vector["hex"].as_str().unwrap();
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(&text[place..place + 2], 16).unwrap()).collect()
}

/// What the recorded agent announced.
fn service() -> Service {
    Service {
        service: Name::of("_serf_demo._tcp.local."),
        instance: Name::of("one._serf_demo._tcp.local."),
        host: Name::of("host-one."),
        ip: "10.13.0.1".parse().unwrap(),
        port: 7946,
        text: "Serf 'demo' cluster".into(),
    }
}

fn questions(packet: &[u8]) -> (u16, Vec<Question>) {
    match read(packet) {
        Some(Packet::Question { id, questions }) => (id, questions),
        other => panic!("{other:?}"),
    }
}

fn records(packet: &[u8]) -> Vec<Record> {
    match read(packet) {
        Some(Packet::Answer(records)) => records,
        other => panic!("{other:?}"),
    }
}

#[test]
fn our_question_is_the_go_agents() {
    assert_eq!(ask_for_instances(0x5942, &service().service), bytes(&vectors()["query"]));
}

#[test]
fn our_answer_to_the_go_agents_question_is_the_go_agents() {
    let vectors = vectors();
    let (id, questions) = questions(&bytes(&vectors["query"]));
    assert_eq!(service().answer(id, &questions), [bytes(&vectors["response"])]);
}

#[test]
fn the_go_agents_answer_is_read() {
    let of = |name: &str, data| Record { name: Name::of(name), data };
    let service = service();
    assert_eq!(
        records(&bytes(&vectors()["response"])),
        [
            of("_serf_demo._tcp.local.", Data::Instance(service.instance)),
            of("one._SERF_demo._tcp.local.", Data::Place { host: service.host, port: 7946 }),
            of("host-one.", Data::Address(service.ip)),
            of("one._serf_demo._tcp.local.", Data::Text),
        ]
    );
}

#[test]
fn an_instance_asked_for_by_name_says_all_but_its_service() {
    let (id, asked) = questions(&ask_for_instance(7, &service().instance));
    let answers = service().answer(id, &asked);
    assert_eq!(answers.len(), 1);
    let kinds: Vec<_> = records(&answers[0]).into_iter().map(|record| record.data).collect();
    assert!(matches!(kinds[..], [Data::Place { .. }, Data::Address(_), Data::Text]), "{kinds:?}");
}

#[test]
fn a_question_that_wants_unicast_is_answered_under_its_number() {
    let mut packet = ask_for_instances(0x1234, &service().service);
    let class = packet.len() - 2;
    packet[class] |= 0x80;
    let (id, asked) = questions(&packet);
    assert_eq!(service().answer(id, &asked)[0][..2], [0x12, 0x34]);
}

#[test]
fn an_ipv6_address_goes_out_as_such() {
    let service = Service { ip: "fd00::7".parse().unwrap(), ..service() };
    let (id, asked) = questions(&ask_for_instances(1, &service.service));
    let addresses: Vec<_> = records(&service.answer(id, &asked)[0]);
    assert!(addresses.contains(&Record { name: service.host.clone(), data: Data::Address(service.ip) }));
}

#[test]
fn questions_for_others_are_not_answered() {
    for name in ["_serf_other._tcp.local.", "two._serf_demo._tcp.local.", "local.", "."] {
        let (id, asked) = questions(&ask_for_instances(1, &Name::of(name)));
        assert!(service().answer(id, &asked).is_empty(), "{name}");
    }
}

#[test]
fn names_that_no_packet_can_carry_are_known() {
    assert!(Name::of("a.b").is_valid());
    assert!(!Name::of(&"a".repeat(64)).is_valid());
    assert!(!Name::of(&"abc.".repeat(64)).is_valid());
    assert!(!Name::of("").is_valid());
}

#[test]
fn a_record_whose_name_leads_nowhere_or_around_is_left_out() {
    let head = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    for name in [&[0xc0, 0x0c][..], &[0xc0, 0x20], &[0xc0], &[1, b'a', 0xc0, 0x0e], &[0x80, 0]] {
        let packet: Vec<u8> = head.iter().chain(name).chain(&[0, 12, 0, 1]).copied().collect();
        assert_eq!(records(&packet), [], "{name:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(Packet::Question { id, questions }) = read(&packet) {
            let _ = service().answer(id, &questions);
        }
    }

    #[test]
    fn a_damaged_answer_is_read_or_refused(place in 0_usize..140, byte: u8, cut in 0_usize..140) {
        let mut packet = bytes(&vectors()["response"]);
        let length = packet.len();
        packet[place % length] = byte;
        packet.truncate(length - cut % length);
        let _ = read(&packet);
    }
}
