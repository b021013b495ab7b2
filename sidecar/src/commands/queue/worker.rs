//! `queue work`: a worker that runs a command for each item.

use std::ffi::OsString;

use folkmoot_client::{Error, Item, Wait};

use super::super::child::{Child, Ended, Signals, grace, split};
use super::super::connect::text;
use super::super::coordination::{connect, span, unsigned, wait, while_};
use super::super::failure::Failure;
use super::super::output::Output;
use super::{RETRY, worker_of};
use crate::flags::Parsed;

/// Bytes of its stdout that become the result: what the group keeps of one.
const RESULT_KEPT: usize = folkmoot_coordination::limits::RESULT_BYTES_MAX;

/// What became of an item.
enum Done {
    Completed,
    Failed,
    /// The claim had ended.
    Lost,
    /// We were told to end.
    Interrupted,
}

pub(super) async fn run(flags: &Parsed, out: &mut Output) -> Result<(), Failure> {
    let ([queue], Some(words)) = split(flags.arguments()) else {
        return Err(Failure::usage("One queue, then -- and a command must be given."));
    };
    let (queue, wait, claim) = (text(queue), wait(flags)?, worker_of(flags)?);
    let mut left = unsigned(flags, "count")?.filter(|count| *count > 0).unwrap_or(u64::MAX);
    let work = connect(flags).await?.work_queue(queue.clone());
    let mut signals = Signals::new();
    while left > 0 {
        let items = tokio::select! {
            items = work.claim(&claim, wait) => items.map_err(while_(format!("claiming from queue '{queue}'")))?,
            _ = signals.next() => return Ok(()),
        };
        if items.is_empty() && wait != Wait::Always {
            return Err(Failure::no(format!("Nothing to claim in queue '{queue}'.")));
        }
        for item in items {
            left = left.saturating_sub(1);
            let number = item.id();
            match carry_out(flags, words, item, &queue.to_string_lossy(), &mut signals).await? {
                Done::Completed => out.line(format!("item {number}: completed"))?,
                Done::Failed => out.line(format!("item {number}: failed"))?,
                Done::Lost => out.line(format!("item {number}: the claim has ended"))?,
                Done::Interrupted => return Ok(()),
            }
        }
    }
    Ok(())
}

/// Runs the command for an item, and says how that ended.
async fn carry_out(
    flags: &Parsed,
    words: &[OsString],
    item: Item,
    queue: &str,
    signals: &mut Signals,
) -> Result<Done, Failure> {
    let environment = vec![
        ("FOLKMOOT_QUEUE", queue.to_owned()),
        ("FOLKMOOT_ITEM", item.id().to_string()),
        ("FOLKMOOT_ITEM_TOKEN", item.token().to_string()),
        ("FOLKMOOT_ITEM_ATTEMPTS", item.attempts().to_string()),
    ];
    let (input, output) = (Some(item.payload().clone()), Some(RESULT_KEPT));
    let child = Child { words, environment, input, output, grace: grace(flags)? };
    let number = item.id();
    let (told, done) = match child.run(item.lost(), signals).await {
        Ok(Ended::Killed(_)) => return Ok(Done::Lost),
        Ok(Ended::Exited(status, result)) if status.success() => (item.complete(result).await, Done::Completed),
        Ok(Ended::Exited(..)) if signals.came() => (item.release().await, Done::Interrupted),
        Ok(ended @ Ended::Exited(..)) => {
            let retry = span(flags, RETRY.name)?.unwrap_or_default();
            (item.fail(format!("exit code {}", ended.code()), retry).await, Done::Failed)
        }
        Err(failure) => {
            // The command cannot be run here: another worker may be able to.
            let _ = item.release().await;
            return Err(failure);
        }
    };
    match told {
        Ok(()) if signals.came() => Ok(Done::Interrupted),
        Ok(()) => Ok(done),
        Err(Error::LeaseLost(_)) => Ok(Done::Lost),
        Err(error) => Err(while_(format!("ending item {number} of queue '{queue}'"))(error)),
    }
}
