//! Coordination commands: what the group serves. Our own (`docs/rpc.md`).

use folkmoot_proto::coordination::{Code, CoordinationCommand, CoordinationRequest};

use super::session::{Fault, Session};

/// Why there is no group to ask.
const NO_GROUP: &str = "this agent takes part in no group and knows of none";

/// Serves one request. A body that cannot be read is answered with an error; the connection goes on.
pub(super) async fn serve(
    session: &mut Session,
    seq: u64,
    command: CoordinationCommand,
    body: &[u8],
) -> Result<(), Fault> {
    let refusal = match CoordinationRequest::decode(command, body) {
        Ok(_) => Code::NoGroup.text(NO_GROUP),
        Err(fault) => Code::InvalidRequest.text(fault),
    };
    Ok(session.refuse(seq, &refusal).await?)
}
