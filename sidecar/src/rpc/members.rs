//! Members as RPC shows them.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use folkmoot_proto as proto;
use folkmoot_serf::{Member, MemberEvent, WireAddress};

/// The body of `members`, encoded once for each change of the list.
pub fn encode_body(members: &[Arc<Member>]) -> Bytes {
    let mut body = Vec::with_capacity(members.len().saturating_mul(USUAL_MEMBER_LENGTH));
    proto::encode_members(members.iter().map(|member| borrow(member)), &mut body);
    Bytes::from(body)
}

/// Appends the record of a member event.
pub(super) fn encode_event(event: &MemberEvent, out: &mut Vec<u8>) {
    let members = event.members.iter().map(|member| borrow(member));
    proto::encode_member_event(event.kind.as_str(), members, out);
}

fn borrow(member: &Member) -> proto::MemberRef<'_> {
    proto::MemberRef {
        addr: address(&member.address),
        delegate_cur: member.versions.delegate_cur,
        delegate_max: member.versions.delegate_max,
        delegate_min: member.versions.delegate_min,
        name: &member.name.0,
        port: member.port,
        protocol_cur: member.versions.protocol_cur,
        protocol_max: member.versions.protocol_max,
        protocol_min: member.versions.protocol_min,
        status: proto::Status::Word(member.status.as_str()),
        tags: &member.tags.0,
    }
}

/// IPv4 in 4 bytes, because clients expect it so; anything else as it was received.
fn address(address: &WireAddress) -> &[u8] {
    let bytes = address.as_bytes();
    match address.ip() {
        Some(IpAddr::V4(_)) => bytes.last_chunk::<4>().map_or(bytes, |ip| ip.as_slice()),
        Some(IpAddr::V6(_)) | None => bytes,
    }
}

/// A member with a few tags, bytes. Only a first guess at the size of the buffer.
const USUAL_MEMBER_LENGTH: usize = 224;
