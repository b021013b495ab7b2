//! [`Lane`]: the events one script (or webhook) is run for, one after the other, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::limits::SCRIPTS_AT_ONCE;
use super::registry::Handler;
use super::spec::Action;
use super::{Invocation, script, webhook};
use crate::handle::NodeHandle;
use crate::telemetry::Telemetry;

/// The queue in front of one script. Dropping it ends its task once the queue is empty.
pub(super) struct Lane {
    jobs: mpsc::Sender<Job>,
    /// Jobs taken whose run has not ended.
    pending: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// One handler for one event.
struct Job {
    handler: Arc<Handler>,
    invocation: Arc<Invocation>,
    /// Closes when the run has ended.
    _done: oneshot::Sender<()>,
}

/// What all handlers need to be run.
#[derive(Debug, Clone)]
pub struct Workshop {
    pub(super) node: NodeHandle,
    telemetry: Telemetry,
    /// One permit for each script that may run beside the others.
    processes: Arc<Semaphore>,
    time_limit: Duration,
}

impl Workshop {
    /// Queries are answered through `node`; how long each run takes goes to `telemetry`; a script that runs for
    /// `time_limit` is killed.
    pub fn new(node: NodeHandle, telemetry: Telemetry, time_limit: Duration) -> Self {
        Self { node, telemetry, processes: Arc::new(Semaphore::new(SCRIPTS_AT_ONCE)), time_limit }
    }
}

impl Lane {
    /// An idle lane in which `capacity` events can wait.
    pub(super) fn start(workshop: Workshop, capacity: usize) -> Self {
        let (jobs, queue) = mpsc::channel(capacity);
        let pending = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(work(queue, Arc::clone(&pending), workshop));
        Self { jobs, pending, task }
    }

    /// Whether all it was given is done.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    /// Queues a run, whose end closes the receiver. `None`: there is no room, and the loss is noted.
    pub(super) fn take(&self, handler: &Arc<Handler>, invocation: &Arc<Invocation>) -> Option<oneshot::Receiver<()>> {
        let (done, ended) = oneshot::channel();
        let losses = &handler.counters.losses;
        let whose = || format!("handler '{}'", handler.spec.as_str());
        let job = Job { handler: Arc::clone(handler), invocation: Arc::clone(invocation), _done: done };
        handler.counters.waiting.fetch_add(1, Ordering::Relaxed);
        self.pending.fetch_add(1, Ordering::AcqRel);
        if self.jobs.try_send(job).is_err() {
            self.pending.fetch_sub(1, Ordering::AcqRel);
            handler.counters.waiting.fetch_sub(1, Ordering::Relaxed);
            losses.lost(&whose());
            return None;
        }
        losses.took(&whose());
        Some(ended)
    }

    /// Takes nothing more; returns when the last run has ended.
    pub(super) async fn finish(self) {
        drop(self.jobs);
        let _ = self.task.await;
    }
}

async fn work(mut queue: mpsc::Receiver<Job>, pending: Arc<AtomicUsize>, workshop: Workshop) {
    while let Some(job) = queue.recv().await {
        let counters = &job.handler.counters;
        if !run(&job, &workshop).await {
            counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        counters.runs.fetch_add(1, Ordering::Relaxed);
        counters.waiting.fetch_sub(1, Ordering::Relaxed);
        pending.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether it went well; the log says what did not.
async fn run(job: &Job, workshop: &Workshop) -> bool {
    let Workshop { node, telemetry, processes, time_limit } = workshop;
    match job.handler.spec.action() {
        Action::Script(script) => {
            // Never closed: an error cannot happen, and without the permit the script still has to run.
            let _permit = processes.acquire().await;
            let started = Instant::now();
            let ended = script::run(script, &job.invocation, node, *time_limit).await;
            telemetry.time(&format!("agent.invoke.{script}"), started.elapsed());
            if let Err(error) = &ended {
                tracing::error!(target: "agent", "Error invoking script '{script}': {error}");
            }
            ended.is_ok()
        }
        Action::Webhook(url) => {
            let started = Instant::now();
            let ended = webhook::run(url, &job.invocation, node).await;
            telemetry.time(&format!("agent.invoke.{}", url.text), started.elapsed());
            if let Err(error) = &ended {
                tracing::error!(target: "agent", "Error invoking webhook '{}': {error}", url.text);
            }
            ended.is_ok()
        }
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
