//! What gossip shows of the nodes with `-raft`, in the words of the policies that want to know.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use folkmoot_consensus::founding::Seen;
use folkmoot_consensus::voters::{Known, Preference};
use folkmoot_consensus::{ClusterId, NodeId, Peer};
use folkmoot_serf::{Member, MemberStatus, NodeName, VoterPreference};

/// Gossip at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Nodes with `-raft`, those that left not among them.
    nodes: Vec<Node>,
    /// Ourselves, with `-raft`.
    me: Option<Peer>,
    /// Everybody that failed or left, with or without `-raft`.
    gone: Vec<NodeName>,
    /// Another living node says that it is the member that we are.
    double: Option<Peer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    seen: Seen,
    preference: Preference,
}

impl View {
    /// From the list of members. `me` is left out of it.
    pub(super) fn of(members: &[Arc<Member>], me: Option<&Peer>) -> Self {
        let mut view = Self { me: me.cloned(), ..Self::default() };
        for member in members {
            let alive = member.status == MemberStatus::Alive;
            if matches!(member.status, MemberStatus::Failed | MemberStatus::Left) {
                view.gone.push(member.name.clone());
            }
            let is_left = matches!(member.status, MemberStatus::Left | MemberStatus::None);
            let Some(node) = node_of(member, alive).filter(|_| !is_left) else { continue };
            match me {
                Some(me) if me.name == node.seen.peer.name => {}
                Some(me) if me.id == node.seen.peer.id => view.double = Some(node.seen.peer).filter(|_| alive),
                Some(_) | None => view.nodes.push(node),
            }
        }
        view
    }

    /// All others, for founding.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.nodes.iter().map(|node| node.seen.clone()).collect()
    }

    /// Those of a group, for autopilot.
    pub(super) fn known(&self, cluster: ClusterId) -> Vec<Known> {
        let of_group = self.nodes.iter().filter(|node| node.seen.cluster == Some(cluster));
        let known =
            |node: &Node| Known { peer: node.seen.peer.clone(), alive: node.seen.alive, preference: node.preference };
        of_group.map(known).collect()
    }

    /// Whom to call in a group.
    pub(super) fn peers_of(&self, cluster: Option<ClusterId>) -> Vec<Peer> {
        let of_group = self.nodes.iter().filter(|node| node.seen.alive && node.seen.cluster.is_some());
        of_group.filter(|node| node.seen.cluster == cluster).map(|node| node.seen.peer.clone()).collect()
    }

    /// Groups with living members, and how many; ours counts us.
    pub(super) fn groups(&self, ours: Option<ClusterId>) -> BTreeMap<ClusterId, usize> {
        let mut groups = BTreeMap::new();
        let living = self.nodes.iter().filter(|node| node.seen.alive).filter_map(|node| node.seen.cluster);
        for cluster in living.chain(ours.filter(|_| self.me.is_some())) {
            let count: &mut usize = groups.entry(cluster).or_default();
            *count = count.saturating_add(1);
        }
        groups
    }

    /// The group that calls go to: ours, or else the largest in sight; of two that are as large the one with the lower
    /// number, so that everybody means the same.
    pub(super) fn main_group(&self, ours: Option<ClusterId>) -> Option<ClusterId> {
        ours.or_else(|| self.largest_group(None))
    }

    /// Why calls to our group are refused, if they are: it is the smaller one of two that have met.
    pub(super) fn reason_to_refuse(&self, ours: Option<ClusterId>) -> Option<String> {
        let ours = ours?;
        let largest = self.largest_group(Some(ours)).filter(|largest| *largest != ours)?;
        Some(format!(
            "group {ours} has met the larger group {largest}; groups never merge: stop the nodes of one of them, and start \
             them with empty data directories to join the other"
        ))
    }

    fn largest_group(&self, ours: Option<ClusterId>) -> Option<ClusterId> {
        let groups = self.groups(ours);
        groups.into_iter().max_by_key(|(cluster, count)| (*count, std::cmp::Reverse(*cluster))).map(|(id, _)| id)
    }

    /// Everybody that failed or left.
    pub(super) fn gone(&self) -> &[NodeName] {
        &self.gone
    }

    /// Another living node that says it is the member that we are.
    pub(super) fn double(&self) -> Option<&Peer> {
        self.double.as_ref()
    }

    /// What gossip has to say of a member that is silent.
    pub(super) fn word_for(&self, peer: &Peer) -> &'static str {
        let gone = self.gone.iter().any(|name| name.to_string() == peer.name);
        let alive = self.nodes.iter().any(|node| node.seen.peer.id == peer.id && node.seen.alive);
        match (gone, alive) {
            (true, _) => "failed or left",
            (false, true) => "alive in gossip",
            (false, false) => "unknown to gossip",
        }
    }
}

fn node_of(member: &Member, alive: bool) -> Option<Node> {
    let raft = member.capability?.raft?;
    let ip = raft.address.or_else(|| member.address.ip())?;
    let address = SocketAddr::new(ip, raft.port);
    let peer = Peer { id: NodeId(raft.node), name: member.name.to_string(), address };
    let cluster = raft.cluster.map(ClusterId);
    let preference = match raft.preference {
        VoterPreference::Auto => Preference::Auto,
        VoterPreference::Never => Preference::Never,
        VoterPreference::Prefer => Preference::Prefer,
    };
    Some(Node { seen: Seen { peer, alive, cluster, expect: raft.expect }, preference })
}

#[cfg(test)]
mod tests {
    use folkmoot_serf::{Capability, RaftCapability, Tags, Versions, WireAddress};

    use super::*;

    fn member(name: &str, status: MemberStatus, id: u64, cluster: Option<u64>) -> Arc<Member> {
        let preference = VoterPreference::Auto;
        let raft = RaftCapability { node: id, port: 4321, address: None, cluster, expect: Some(3), preference };
        Arc::new(Member {
            name: NodeName(name.into()),
            address: WireAddress::from_ip([127, 0, 33, 1].into()),
            port: 7946,
            tags: Tags::default(),
            status,
            versions: Versions {
                protocol_min: 1,
                protocol_max: 5,
                protocol_cur: 2,
                delegate_min: 2,
                delegate_max: 5,
                delegate_cur: 5,
            },
            capability: Some(Capability { cluster_name: None, raft: Some(raft) }),
        })
    }

    fn me() -> Peer {
        Peer { id: NodeId(1), name: "me".to_owned(), address: "127.0.33.1:4321".parse().unwrap() }
    }

    #[test]
    fn who_left_does_not_count_and_who_failed_does() {
        let members = [
            member("me", MemberStatus::Alive, 1, None),
            member("a", MemberStatus::Alive, 2, None),
            member("b", MemberStatus::Failed, 3, None),
            member("c", MemberStatus::Left, 4, None),
        ];
        let view = View::of(&members, Some(&me()));
        let seen: Vec<_> = view.seen().into_iter().map(|seen| (seen.peer.name, seen.alive)).collect();
        assert_eq!(seen, [("a".to_owned(), true), ("b".to_owned(), false)]);
        assert_eq!(view.gone().len(), 2);
        assert_eq!(view.double(), None);
    }

    #[test]
    fn of_two_groups_the_smaller_one_is_refused_everywhere_alike() {
        let members = [
            member("me", MemberStatus::Alive, 1, Some(7)),
            member("a", MemberStatus::Alive, 2, Some(8)),
            member("b", MemberStatus::Alive, 3, Some(8)),
            member("c", MemberStatus::Failed, 4, Some(7)),
        ];
        let ours = View::of(&members, Some(&me()));
        let reason = ours.reason_to_refuse(Some(ClusterId(7))).unwrap();
        assert!(reason.contains("0000000000000007") && reason.contains("0000000000000008"), "{reason}");
        let other = Peer { id: NodeId(2), name: "a".to_owned(), ..me() };
        let theirs = View::of(&members, Some(&other));
        assert_eq!(theirs.reason_to_refuse(Some(ClusterId(8))), None);
        // Without `-raft` calls go to the larger one.
        let outside = View::of(&members, None);
        assert_eq!(outside.main_group(None), Some(ClusterId(8)));
        assert_eq!(outside.peers_of(Some(ClusterId(8))).len(), 2);
        assert_eq!(ours.main_group(Some(ClusterId(7))), Some(ClusterId(7)));
    }

    #[test]
    fn groups_of_one_size_are_told_apart_by_number() {
        let members = [member("me", MemberStatus::Alive, 1, Some(7)), member("a", MemberStatus::Alive, 2, Some(8))];
        let seven = View::of(&members, Some(&me()));
        assert_eq!(seven.reason_to_refuse(Some(ClusterId(7))), None);
        let other = Peer { id: NodeId(2), name: "a".to_owned(), ..me() };
        assert!(View::of(&members, Some(&other)).reason_to_refuse(Some(ClusterId(8))).is_some());
    }

    #[test]
    fn a_copied_data_directory_is_seen() {
        let members = [member("me", MemberStatus::Alive, 1, None), member("copy", MemberStatus::Alive, 1, None)];
        let view = View::of(&members, Some(&me()));
        assert_eq!(view.double().map(|peer| peer.name.as_str()), Some("copy"));
        assert!(view.seen().is_empty());
    }
}
