//! The probe of a connection that only streams use. Nobody waits for an answer there, so nobody would notice that the other
//! end is gone without a word: a cable, a firewall that forgot, an agent that stands still.

use folkmoot_proto::{AgentRequest, Request, StopRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::error::Error;
use crate::limits::{PROBE_ANSWER, SILENCE};
use crate::table::{Table, Waiter};

/// Returns when the agent is silent though it was asked. Calls have timeouts of their own, and an agent may take its time
/// for one: where any waits, nothing is asked.
pub(crate) async fn watch(table: &Table, requests: mpsc::WeakSender<Vec<u8>>) -> Error {
    loop {
        let heard = table.heard();
        sleep(SILENCE).await;
        if table.heard() != heard || !table.only_streams(None) {
            continue;
        }
        let Some(asked) = ask(table, &requests) else { continue };
        sleep(PROBE_ANSWER).await;
        if table.heard() == heard && table.only_streams(Some(asked)) {
            return Error::Closed;
        }
    }
}

/// Asks for something that changes nothing and that agents of every kind answer: to end a subscription that is not there.
fn ask(table: &Table, requests: &mpsc::WeakSender<Vec<u8>>) -> Option<u64> {
    let request = Request::from(AgentRequest::Stop(StopRequest { stop: 0 }));
    let requests = requests.upgrade()?;
    let place = requests.try_reserve().ok()?;
    let (reply, _) = oneshot::channel();
    let seq = table.register(Waiter::Call { command: request.command(), reply }).ok()?;
    place.send(request.to_bytes(seq));
    Some(seq)
}
