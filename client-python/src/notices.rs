//! What clients have to say that nobody asked for: lost connections, lost holds, dropped records. A thread of Python's
//! fetches it for `logging`; the background thread only leaves it here.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::input::Span;
use crate::runtime::Home;
use crate::values::{Answer, record};

/// Notices that wait. Ours: they are rare; of more, the oldest are dropped and counted.
const NOTICES: usize = 1_024;

/// Levels of Python's `logging`.
const INFO: u32 = 20;
const WARNING: u32 = 30;

/// Something to log.
#[derive(Debug)]
pub(crate) struct Notice {
    level: u32,
    text: String,
}

impl Notice {
    pub(crate) fn info(text: String) -> Self {
        Self { level: INFO, text }
    }

    pub(crate) fn warning(text: String) -> Self {
        Self { level: WARNING, text }
    }
}

impl From<folkmoot_client::Notice> for Notice {
    fn from(notice: folkmoot_client::Notice) -> Self {
        match notice {
            folkmoot_client::Notice::Disconnected { address, reason } => {
                Self::warning(format!("the connection to {address} is lost ({reason}); looking for an agent"))
            }
            folkmoot_client::Notice::Reconnected { address } => Self::info(format!("connected to {address}")),
        }
    }
}

impl Answer for Notice {
    fn answer(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        record!(py; self.level, self.text)
    }
}

/// Those of a process.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Notice>,
    dropped: u64,
    ended: bool,
}

impl Notices {
    pub(crate) fn put(&self, notice: Notice) {
        let mut state = self.lock();
        if state.waiting.len() >= NOTICES {
            state.waiting.pop_front();
            state.dropped = state.dropped.saturating_add(1);
        }
        state.waiting.push_back(notice);
        self.news.notify_one();
    }

    /// All there are; waits for the first, at most until `deadline`. `None` at the end.
    fn next(&self, deadline: Instant) -> Option<Vec<Notice>> {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (state, _) = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            return None;
        }
        let dropped = std::mem::take(&mut state.dropped);
        let lost = (dropped > 0).then(|| Notice::warning(format!("{dropped} messages were dropped before these")));
        Some(lost.into_iter().chain(state.waiting.drain(..)).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pyfunction]
pub(crate) fn next_notices(py: Python<'_>, seconds: Span) -> PyResult<Option<Vec<Py<PyAny>>>> {
    let home = Home::here()?;
    let now = Instant::now();
    let deadline = now.checked_add(seconds.0).unwrap_or(now + Duration::from_secs(3600));
    let notices = py.detach(|| home.notices().next(deadline));
    let answered = |notices: Vec<Notice>| notices.into_iter().map(|notice| Ok(notice.answer(py)?.unbind())).collect();
    notices.map(answered).transpose()
}

#[pyfunction]
pub(crate) fn end_notices() -> PyResult<()> {
    let home = Home::here()?;
    home.notices().lock().ended = true;
    home.notices().news.notify_all();
    Ok(())
}
