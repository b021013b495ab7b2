//! The thread that owns stdout. A reader that stops reading, or a closed pipe, costs lines and never stops the node.

use std::io::Write;
use std::sync::mpsc;
use std::sync::mpsc::TrySendError;

/// Pieces waiting for stdout. Ours: some seconds of a busy DEBUG log; the newest is dropped and counted.
const WAITING_PIECES: usize = 8192;

pub(super) struct Writer {
    queue: mpsc::SyncSender<Piece>,
    dropped: u64,
}

enum Piece {
    Text(String),
    Flushed(mpsc::SyncSender<()>),
}

impl Writer {
    /// Starts the thread; without one (the system is out of threads) nothing is written.
    pub(super) fn start(output: Box<dyn Write + Send>) -> Self {
        let (queue, pieces) = mpsc::sync_channel(WAITING_PIECES);
        let _ = std::thread::Builder::new().name("log".into()).spawn(move || write_all(&pieces, output));
        Self { queue, dropped: 0 }
    }

    pub(super) fn write(&mut self, text: String) {
        if self.dropped > 0 {
            let notice = format!("    {} lines were dropped because nobody reads them\n", self.dropped);
            if self.queue.try_send(Piece::Text(notice)).is_ok() {
                self.dropped = 0;
            }
        }
        match self.queue.try_send(Piece::Text(text)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => self.dropped = self.dropped.saturating_add(1),
        }
    }

    /// Gives a signal when everything written before this call is out; `None` if there is no room to ask.
    pub(super) fn flush(&self) -> Option<mpsc::Receiver<()>> {
        let (done, receiver) = mpsc::sync_channel(1);
        self.queue.try_send(Piece::Flushed(done)).ok().map(|()| receiver)
    }
}

fn write_all(pieces: &mpsc::Receiver<Piece>, output: Box<dyn Write + Send>) {
    let mut output = Some(output);
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Text(text) => {
                let result =
                    output.as_mut().map(|output| output.write_all(text.as_bytes()).and_then(|()| output.flush()));
                if matches!(result, Some(Err(_))) {
                    output = None;
                }
            }
            Piece::Flushed(done) => {
                let _ = done.try_send(());
            }
        }
    }
}
