//! Follows an advertise address that names a host: in containers and clouds the address behind a name changes while the
//! process lives. Go looks it up once, at start.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::config::resolve::Settings;
use crate::handle::{NodeHandle, NodeStopped, Question};
use crate::net::addresses::{address_candidates, split_host_port};
use crate::shutdown::ShutdownToken;

/// Time between two look-ups. Ours: about as long as a cluster takes to give up an address that is gone.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(10);

/// Looks the advertised name up again and again until `stop`; a changed address goes to the node, and out by `moved`.
pub(super) fn follow(settings: &Settings, node: &NodeHandle, moved: watch::Sender<SocketAddr>, stop: ShutdownToken) {
    if let Some(text) = settings.advertise_text.clone().filter(|text| names_a_host(text)) {
        tokio::spawn(keep_following(text, node.clone(), moved, stop));
    }
}

/// An address alone never changes.
fn names_a_host(text: &str) -> bool {
    let host = split_host_port(text).map_or(text, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    !host.is_empty() && host.parse::<std::net::IpAddr>().is_err()
}

async fn keep_following(text: String, node: NodeHandle, moved: watch::Sender<SocketAddr>, mut stop: ShutdownToken) {
    let mut ticks = tokio::time::interval(LOOK_UP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.requested() => return,
        }
        let found = match address_candidates(&text).await {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(target: "agent", "advertise address '{text}': {error}; the last one stays in use");
                }
                continue;
            }
        };
        failing = false;
        let current = *moved.borrow();
        let Some(address) = choose(current, &found) else { continue };
        tracing::warn!(target: "agent", "advertise address '{text}' is {address}, it was {current}: telling the others");
        if let Err(NodeStopped) = node.ask(|reply| Question::MoveTo { address, reply }).await {
            return;
        }
        moved.send_replace(address);
    }
}

/// Another address than `current`, if that is none of `found`; of the same family if there is one.
fn choose(current: SocketAddr, found: &[SocketAddr]) -> Option<SocketAddr> {
    if found.contains(&current) {
        return None;
    }
    let same_family = found.iter().find(|address| address.is_ipv4() == current.is_ipv4());
    same_family.or_else(|| found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_followed() {
        for text in ["host", "host:7946", "a.b.c:1"] {
            assert!(names_a_host(text), "{text}");
        }
        for text in ["10.0.0.1", "10.0.0.1:7946", "[fd00::1]:7946", ":7946"] {
            assert!(!names_a_host(text), "{text}");
        }
    }

    #[test]
    fn an_address_that_is_still_there_stays_and_families_are_kept() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (old, new, six) = (address("10.0.0.1:1"), address("10.0.0.2:1"), address("[fd00::1]:1"));
        assert_eq!(choose(old, &[new, old]), None);
        assert_eq!(choose(old, &[six, new]), Some(new));
        assert_eq!(choose(old, &[six]), Some(six));
        assert_eq!(choose(old, &[]), None);
    }
}
