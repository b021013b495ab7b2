//! Keys of the whole cluster: `install-key`, `use-key`, `remove-key`, `list-keys` (section 7.11).

use bytes::Bytes;
use folkmoot_proto::{KeyRequest, KeyResponse, ResponseHeader, Text};
use folkmoot_serf::KeyOperation;

use super::session::{Fault, Session};
use crate::go_base64;
use crate::handle::Question;

/// What to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Install,
    Use,
    Remove,
}

pub(super) async fn change(session: &Session, seq: u64, change: Change, request: &KeyRequest) -> Result<(), Fault> {
    let key = match go_base64::decode(request.key.as_bytes()) {
        Ok(key) => Bytes::from(key),
        Err(illegal) => {
            let header = ResponseHeader::refused(seq, illegal.to_string());
            return Ok(session.answer_with(&header, &KeyResponse::default()).await?);
        }
    };
    let operation = match change {
        Change::Install => KeyOperation::Install(key),
        Change::Use => KeyOperation::Use(key),
        Change::Remove => KeyOperation::Remove(key),
    };
    let response = session.node().ask(|reply| Question::ChangeKeys { operation, reply }).await?;
    answer(session, seq, KeyResponse { keys: None, ..body(&response) }, response.error).await
}

pub(super) async fn list(session: &Session, seq: u64) -> Result<(), Fault> {
    let operation = KeyOperation::List;
    let response = session.node().ask(|reply| Question::ChangeKeys { operation, reply }).await?;
    answer(session, seq, body(&response), response.error).await
}

async fn answer(session: &Session, seq: u64, body: KeyResponse, error: Option<String>) -> Result<(), Fault> {
    let header = ResponseHeader { error: Text::from(error.unwrap_or_default()), seq };
    Ok(session.answer_with(&header, &body).await?)
}

fn body(response: &folkmoot_serf::KeyResponse) -> KeyResponse {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    KeyResponse {
        keys: Some(response.keys.iter().map(|(key, &nodes)| (key.clone(), count(nodes))).collect()),
        messages: response
            .messages
            .iter()
            .map(|(node, message)| (node.0.clone(), Text::from(message.as_str())))
            .collect(),
        num_err: count(response.num_err),
        num_nodes: count(response.num_nodes),
        num_resp: count(response.num_resp),
    }
}
