//! mDNS packets as Go's agent has them (`docs/spec/agent-cli.md` 3.8, `vectors/rpc/mdns.json`): the one question it asks,
//! the answers it gives, and the records it reads. Pure.
//!
//! Only as much of DNS (RFC 1035, 2782, 6762) as that needs. Answers to hashicorp/mdns' `zone.go` and `server.go`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::{Name, NameReader, NameWriter};
use crate::limits::MDNS_RECORDS;

/// Time to live of every record, in seconds. Go: `defaultTTL`.
const TTL_SECONDS: u32 = 120;

/// Priority and weight of the SRV record, as Go's.
const PRIORITY: u16 = 10;
const WEIGHT: u16 = 1;

const CLASS_IN: u16 = 1;
/// In a question: the answer is to come by unicast. In a record: others of this name are to be forgotten.
const CLASS_TOP_BIT: u16 = 0x8000;
const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
/// Opcode, truncation, response code: what has one of these is no plain question.
const NOT_PLAIN: u16 = 0x7a0f;

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const TYPE_ANY: u16 = 255;

/// What one agent announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `_serf_NAME._tcp.local.`
    pub service: Name,
    /// The node's name in front of it.
    pub instance: Name,
    /// The machine's name.
    pub host: Name,
    /// The advertised address.
    pub ip: IpAddr,
    /// The advertised port.
    pub port: u16,
    /// `Serf 'NAME' cluster`
    pub text: String,
}

/// Lists all services there are, for browsers of services (RFC 6763 section 9).
const ENUMERATION: &str = "_services._dns-sd._udp.local.";

/// One record that says something of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Of whom.
    pub name: Name,
    /// What.
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An instance of the service.
    Instance(Name),
    /// Where an instance is.
    Place {
        /// The name of its machine.
        host: Name,
        /// Its port.
        port: u16,
    },
    /// The address of a machine.
    Address(IpAddr),
    /// An instance has a text, whatever it is.
    Text,
}

/// A packet, taken apart as far as it concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Somebody asks.
    Question {
        /// Its number.
        id: u16,
        /// Whom it asks about.
        questions: Vec<Question>,
    },
    /// Somebody answers.
    Answer(Vec<Record>),
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    name: Name,
    kind: u16,
    unicast: bool,
}

/// The question for all instances of a service.
pub fn ask_for_instances(id: u16, service: &Name) -> Vec<u8> {
    ask(id, service, TYPE_PTR)
}

/// The question for all that is known of one instance. Go asks for the wrong kind of record here and never gets an answer.
pub fn ask_for_instance(id: u16, instance: &Name) -> Vec<u8> {
    ask(id, instance, TYPE_ANY)
}

fn ask(id: u16, name: &Name, kind: u16) -> Vec<u8> {
    let mut packet = NameWriter::default();
    for number in [id, 0, 1, 0, 0, 0] {
        packet.number(number);
    }
    packet.name(name);
    packet.number(kind);
    packet.number(CLASS_IN);
    packet.bytes
}

impl Service {
    /// The packets that answer; none if nothing of ours was asked for. Questions that want unicast get their own packet
    /// with the question's number, the others number 0, as Go's.
    pub fn answer(&self, id: u16, questions: &[Question]) -> Vec<Vec<u8>> {
        let records = |unicast: bool| {
            let asked = questions.iter().filter(move |question| question.unicast == unicast);
            asked.flat_map(|question| self.records(question)).take(MDNS_RECORDS).collect::<Vec<_>>()
        };
        [(0, records(false)), (id, records(true))]
            .into_iter()
            .filter(|(_, records)| !records.is_empty())
            .map(|(id, records)| self.encode(id, &records))
            .collect()
    }

    fn records(&self, question: &Question) -> Vec<OwnRecord> {
        let address = if self.ip.is_ipv4() { TYPE_A } else { TYPE_AAAA };
        let instance = [OwnRecord::Place, OwnRecord::Address, OwnRecord::Text];
        if question.name == self.service {
            return match question.kind {
                TYPE_ANY | TYPE_PTR => [OwnRecord::Instance].into_iter().chain(instance).collect(),
                _ => Vec::new(),
            };
        }
        if question.name == self.instance {
            return match question.kind {
                TYPE_ANY => instance.to_vec(),
                TYPE_SRV => vec![OwnRecord::Place, OwnRecord::Address],
                TYPE_TXT => vec![OwnRecord::Text],
                kind if kind == address => vec![OwnRecord::Address],
                _ => Vec::new(),
            };
        }
        if question.name == self.host && (question.kind == address || question.kind == TYPE_ANY) {
            return vec![OwnRecord::Address];
        }
        let lists_services = matches!(question.kind, TYPE_ANY | TYPE_PTR) && question.name == Name::of(ENUMERATION);
        if lists_services { vec![OwnRecord::Service] } else { Vec::new() }
    }

    fn encode(&self, id: u16, records: &[OwnRecord]) -> Vec<u8> {
        let mut packet = NameWriter::default();
        let count = u16::try_from(records.len()).unwrap_or(u16::MAX);
        for number in [id, RESPONSE | AUTHORITATIVE, 0, count, 0, 0] {
            packet.number(number);
        }
        for record in records {
            self.write(*record, &mut packet);
        }
        packet.bytes
    }

    fn write(&self, record: OwnRecord, packet: &mut NameWriter) {
        let mut head = |name: &Name, kind: u16| {
            packet.name(name);
            packet.number(kind);
            packet.number(CLASS_IN);
            packet.bytes.extend(TTL_SECONDS.to_be_bytes());
            let place = packet.bytes.len();
            packet.number(0);
            place
        };
        let place = match record {
            OwnRecord::Service => {
                let place = head(&Name::of(ENUMERATION), TYPE_PTR);
                packet.name(&self.service);
                place
            }
            OwnRecord::Instance => {
                let place = head(&self.service, TYPE_PTR);
                packet.name(&self.instance);
                place
            }
            OwnRecord::Place => {
                let place = head(&self.instance, TYPE_SRV);
                for number in [PRIORITY, WEIGHT, self.port] {
                    packet.number(number);
                }
                packet.whole_name(&self.host);
                place
            }
            OwnRecord::Address => match self.ip {
                IpAddr::V4(ip) => {
                    let place = head(&self.host, TYPE_A);
                    packet.bytes.extend(ip.octets());
                    place
                }
                IpAddr::V6(ip) => {
                    let place = head(&self.host, TYPE_AAAA);
                    packet.bytes.extend(ip.octets());
                    place
                }
            },
            OwnRecord::Text => {
                let place = head(&self.instance, TYPE_TXT);
                let cut = self.text.floor_char_boundary(usize::from(u8::MAX));
                let text = self.text.get(..cut).unwrap_or_default();
                packet.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
                packet.bytes.extend(text.as_bytes());
                place
            }
        };
        packet.close_length(place);
    }
}

/// What we can say of ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnRecord {
    Service,
    Instance,
    Place,
    Address,
    Text,
}

/// Reads a packet. `None`: it is none, or its questions cannot be read. Records are read up to the first that cannot, and
/// up to [`MDNS_RECORDS`].
pub fn read(bytes: &[u8]) -> Option<Packet> {
    let mut reader = NameReader::new(bytes);
    let (id, flags) = (reader.number()?, reader.number()?);
    let counts = [reader.number()?, reader.number()?, reader.number()?, reader.number()?];
    let [asked, answers, authorities, additional] = counts.map(usize::from);
    let is_response = flags & RESPONSE != 0;
    if flags & NOT_PLAIN != 0 {
        return None;
    }
    let mut questions = Vec::new();
    for _ in 0..asked.min(MDNS_RECORDS) {
        let (name, kind, class) = (reader.name()?, reader.number()?, reader.number()?);
        questions.push(Question { name, kind, unicast: class & CLASS_TOP_BIT != 0 });
    }
    if !is_response {
        return Some(Packet::Question { id, questions });
    }
    let mut records = Vec::new();
    for _ in 0..answers.saturating_add(authorities).saturating_add(additional).min(MDNS_RECORDS) {
        let Some(record) = read_record(&mut reader) else { break };
        records.extend(record);
    }
    Some(Packet::Answer(records))
}

/// `Some(None)`: a record of a kind that does not concern us.
fn read_record(reader: &mut NameReader<'_>) -> Option<Option<Record>> {
    let (name, kind, class) = (reader.name()?, reader.number()?, reader.number()?);
    let (_ttl, length) = ((reader.number()?, reader.number()?), usize::from(reader.number()?));
    let end = reader.position().checked_add(length)?;
    let data = match kind {
        TYPE_PTR => Some(Data::Instance(reader.name()?)),
        TYPE_SRV => {
            let (_priority, _weight, port) = (reader.number()?, reader.number()?, reader.number()?);
            Some(Data::Place { host: reader.name()?, port })
        }
        TYPE_A => Some(Data::Address(Ipv4Addr::from(reader.array::<4>()?).into())),
        TYPE_AAAA => Some(Data::Address(Ipv6Addr::from(reader.array::<16>()?).into())),
        TYPE_TXT => Some(Data::Text),
        _ => None,
    };
    reader.seek(end)?;
    let is_internet = class & !CLASS_TOP_BIT == CLASS_IN;
    Some(data.filter(|_| is_internet).map(|data| Record { name, data }))
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
