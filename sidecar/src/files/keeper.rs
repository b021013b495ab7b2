//! The task that writes keyring and tags, in the order they changed, so that the node task never waits for a disk.

use folkmoot_serf::memberlist::Keyring;
use folkmoot_serf::{QueryKey, Tags};
use tokio::sync::mpsc;

use super::replace::replace;
use super::{keyring, tags};
use crate::limits::FILES_WAITING;

/// Where the agent keeps what changes; `None`: nowhere.
#[derive(Debug, Clone, Default)]
pub struct KeptFiles {
    /// The keys.
    pub keyring: Option<String>,
    /// The tags.
    pub tags: Option<String>,
}

/// Something has been written, or could not be (Go's text).
#[derive(Debug)]
pub enum Kept {
    /// The keys, as a query changed them.
    Keyring(QueryKey, Result<(), String>),
    /// The tags.
    Tags(Result<(), String>),
}

/// The way to the task. It ends with this; what waits then is not written, and nobody has been told that it was.
pub struct Keeper {
    files: KeptFiles,
    jobs: mpsc::Sender<Job>,
    done: mpsc::Receiver<Kept>,
}

struct Job {
    path: String,
    text: String,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Keyring(QueryKey),
    Tags,
}

impl Keeper {
    /// Starts the task.
    pub fn start(files: KeptFiles) -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(FILES_WAITING);
        let (report, done) = mpsc::channel(FILES_WAITING);
        tokio::spawn(async move {
            while let Some(Job { path, text, what }) = waiting.recv().await {
                let written = tokio::task::spawn_blocking(move || replace(&path, text.as_bytes())).await;
                let written = written.unwrap_or_else(|stopped| Err(stopped.to_string()));
                if report.send(what.report(written)).await.is_err() {
                    return;
                }
            }
        });
        Self { files, jobs, done }
    }

    /// Whether tags are kept in a file.
    pub fn keeps_tags(&self) -> bool {
        self.files.tags.is_some()
    }

    /// Writes the keys; [`Keeper::next`] tells how it went.
    ///
    /// # Errors
    /// It could not begin.
    pub fn keep_keyring(&self, query: QueryKey, keys: &Keyring) -> Result<(), String> {
        self.keep(self.files.keyring.as_ref(), keyring::text(keys), What::Keyring(query))
    }

    /// Writes the tags; the same.
    ///
    /// # Errors
    /// It could not begin.
    pub fn keep_tags(&self, kept: &Tags) -> Result<(), String> {
        self.keep(self.files.tags.as_ref(), tags::text(kept), What::Tags)
    }

    fn keep(&self, path: Option<&String>, text: String, what: What) -> Result<(), String> {
        let path = path.ok_or_else(|| what.failed("no file is configured"))?.clone();
        self.jobs.try_send(Job { path, text, what }).map_err(|_| what.failed("too many changes wait to be written"))
    }

    /// The next report. Cancel-safe; never comes where nothing is being written.
    pub async fn next(&mut self) -> Kept {
        match self.done.recv().await {
            Some(kept) => kept,
            None => std::future::pending().await,
        }
    }
}

impl What {
    fn report(self, result: Result<(), String>) -> Kept {
        let result = result.map_err(|reason| self.failed(&reason));
        match self {
            Self::Keyring(query) => Kept::Keyring(query, result),
            Self::Tags => Kept::Tags(result),
        }
    }

    /// Go's text.
    fn failed(self, reason: &str) -> String {
        match self {
            Self::Keyring(_) => format!("Failed to write keyring file: {reason}"),
            Self::Tags => format!("Failed to write tags file: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use folkmoot_serf::LamportTime;

    #[tokio::test]
    async fn changes_are_written_in_order_and_reported() {
        let path = std::env::temp_dir().join(format!("folkmoot-keeper-{}", std::process::id()));
        let tags = Some(path.to_string_lossy().into_owned());
        let mut keeper = Keeper::start(KeptFiles { keyring: Some("/none/k".into()), tags });
        assert!(keeper.keeps_tags());
        let tagged = |value: &str| Tags([("a".into(), value.into())].into());
        for value in ["1", "2", "3"] {
            assert!(keeper.keep_tags(&tagged(value)).is_ok());
        }
        for _ in 0..3 {
            assert!(matches!(keeper.next().await, Kept::Tags(Ok(()))));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\n  \"a\": \"3\"\n}");
        std::fs::remove_file(&path).unwrap();
        let query = QueryKey { ltime: LamportTime(7), id: 1 };
        assert!(keeper.keep_keyring(query, &Keyring::default()).is_ok());
        let Kept::Keyring(told, Err(reason)) = keeper.next().await else { panic!("it cannot be written") };
        assert_eq!(told, query);
        assert_eq!(reason, "Failed to write keyring file: open /none/k: no such file or directory");
    }

    #[tokio::test]
    async fn without_a_file_nothing_is_kept() {
        let keeper = Keeper::start(KeptFiles::default());
        assert!(!keeper.keeps_tags());
        let refused = keeper.keep_tags(&Tags::default());
        assert_eq!(refused, Err("Failed to write tags file: no file is configured".into()));
    }
}
