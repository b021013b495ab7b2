//! What answers have said of instances so far, until an instance is complete: where it is, its machine's address, a text.
//! Answers to hashicorp/mdns' `client.go`. Pure and bounded.

use std::net::{IpAddr, SocketAddr};

use super::name::Name;
use super::packet::{Data, Record};
use crate::limits::MDNS_INSTANCES;

/// The instances of one service.
#[derive(Debug)]
pub struct Found {
    service: Name,
    instances: Vec<Instance>,
    addresses: Vec<(Name, IpAddr)>,
}

#[derive(Debug)]
struct Instance {
    name: Name,
    place: Option<(Name, u16)>,
    text: bool,
    /// It was handed on.
    told: bool,
    /// It was asked for by name.
    asked: bool,
}

/// What is to be done next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Instances that have become complete.
    pub complete: Vec<SocketAddr>,
    /// Instances to ask for by name: something is missing.
    pub ask: Vec<Name>,
}

impl Found {
    /// Nothing found.
    pub fn new(service: Name) -> Self {
        Self { service, instances: Vec::new(), addresses: Vec::new() }
    }

    /// Forgets everything: another round begins.
    pub fn clear(&mut self) {
        self.instances.clear();
        self.addresses.clear();
    }

    /// Takes in one answer. Records of other services are left out; beyond the bound so are further instances.
    pub fn take(&mut self, records: Vec<Record>) -> Next {
        for record in records {
            match record.data {
                Data::Instance(name) if record.name == self.service => {
                    self.instance(&name);
                }
                Data::Instance(_) => {}
                Data::Place { host, port } => {
                    if let Some(instance) = self.instance(&record.name) {
                        instance.place = Some((host, port));
                    }
                }
                Data::Text => {
                    if let Some(instance) = self.instance(&record.name) {
                        instance.text = true;
                    }
                }
                Data::Address(ip) => {
                    let room = self.addresses.len() < MDNS_INSTANCES;
                    let mut of_host = self.addresses.iter_mut().filter(|(name, _)| *name == record.name);
                    match of_host.find(|(_, known)| known.is_ipv4() == ip.is_ipv4()) {
                        Some((_, known)) => *known = ip,
                        None if room => self.addresses.push((record.name, ip)),
                        None => {}
                    }
                }
            }
        }
        self.next()
    }

    fn instance(&mut self, name: &Name) -> Option<&mut Instance> {
        if !name.is_below(&self.service) {
            return None;
        }
        let known = self.instances.iter().position(|instance| instance.name == *name);
        let place = match known {
            Some(place) => place,
            None if self.instances.len() >= MDNS_INSTANCES => return None,
            None => {
                let (place, text, told, asked) = (None, false, false, false);
                self.instances.push(Instance { name: name.clone(), place, text, told, asked });
                self.instances.len().saturating_sub(1)
            }
        };
        self.instances.get_mut(place)
    }

    fn next(&mut self) -> Next {
        let mut next = Next::default();
        for instance in self.instances.iter_mut().filter(|instance| !instance.told) {
            let address = instance.place.as_ref().filter(|(_, port)| *port != 0).and_then(|(host, port)| {
                let of_host = self.addresses.iter().filter(|(name, _)| name == host).map(|(_, ip)| *ip);
                let ip = of_host.min_by_key(|ip| !ip.is_ipv4())?;
                Some(SocketAddr::new(ip, *port))
            });
            match address {
                Some(address) if instance.text => {
                    instance.told = true;
                    next.complete.push(address);
                }
                Some(_) | None if !instance.asked => {
                    instance.asked = true;
                    next.ask.push(instance.name.clone());
                }
                Some(_) | None => {}
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, data: Data) -> Record {
        Record { name: Name::of(name), data }
    }

    fn service() -> Name {
        Name::of("_serf_demo._tcp.local.")
    }

    fn place(port: u16) -> Data {
        Data::Place { host: Name::of("host-one"), port }
    }

    fn v4() -> Data {
        Data::Address("10.0.0.1".parse().unwrap())
    }

    #[test]
    fn an_instance_is_told_once_in_whatever_order_its_records_come() {
        let instance = "a._serf_demo._tcp.local";
        let records = [
            of("host-one", v4()),
            of(instance, Data::Text),
            of(instance, place(7946)),
            of("_serf_demo._tcp.local", Data::Instance(Name::of(instance))),
        ];
        let mut found = Found::new(service());
        let next = found.take(records.to_vec());
        assert_eq!(next, Next { complete: vec!["10.0.0.1:7946".parse().unwrap()], ask: Vec::new() });
        assert_eq!(found.take(records.to_vec()), Next::default());
        found.clear();
        assert_eq!(found.take(records.to_vec()).complete.len(), 1);
    }

    #[test]
    fn an_incomplete_instance_is_asked_for_once_and_told_when_it_is_complete() {
        let mut found = Found::new(service());
        let instance = "a._serf_demo._tcp.local";
        let next = found.take(vec![of("_serf_demo._tcp.local", Data::Instance(Name::of(instance)))]);
        assert_eq!((next.ask.len(), next.complete.len()), (1, 0));
        assert_eq!(found.take(vec![of(instance, place(1)), of(instance, Data::Text)]), Next::default());
        assert_eq!(found.take(vec![of("HOST-one", v4())]).complete, ["10.0.0.1:1".parse().unwrap()]);
    }

    #[test]
    fn ipv4_goes_before_ipv6_and_a_port_of_zero_is_no_place() {
        let mut found = Found::new(service());
        let six = Data::Address("fd00::1".parse().unwrap());
        let instance =
            |port| vec![of("a._serf_demo._tcp.local", place(port)), of("a._serf_demo._tcp.local", Data::Text)];
        assert!(
            found.take([instance(0), vec![of("host-one", six), of("host-one", v4())]].concat()).complete.is_empty()
        );
        assert_eq!(found.take(instance(5)).complete, ["10.0.0.1:5".parse().unwrap()]);
    }

    #[test]
    fn other_services_are_left_out_and_instances_are_bounded() {
        let mut found = Found::new(service());
        let printer = "p._ipp._tcp.local";
        let records = vec![
            of("_ipp._tcp.local", Data::Instance(Name::of(printer))),
            of(printer, place(631)),
            of(printer, Data::Text),
            of("host-one", v4()),
        ];
        assert_eq!(found.take(records), Next::default());
        let many = (0..MDNS_INSTANCES + 9).map(|number| of(&format!("{number}._serf_demo._tcp.local"), Data::Text));
        assert_eq!(found.take(many.collect()).ask.len(), MDNS_INSTANCES);
    }
}
