//! A wall clock of a process's own, which a test can move: `libfaketime` stands between the process and libc and adds what a
//! file says, which it reads anew every second. The monotonic clock is left alone: no kernel moves that one either.

use std::path::{Path, PathBuf};

/// Where Debian's package `libfaketime` puts the library, below the directory of the machine's architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The clock of one process.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// A clock that goes right, driven by `file`.
    pub fn new(file: PathBuf) -> Self {
        let architectures = std::fs::read_dir("/usr/lib").unwrap().flatten();
        let library = architectures
            .map(|directory| directory.path().join(LIBRARY))
            .find(|path| path.exists())
            .expect("moving clocks takes libfaketime: install it with `apt-get install libfaketime`");
        let clock = Self { file, library };
        clock.set(0);
        clock
    }

    /// The variables under which the process lives by this clock.
    pub fn environment(&self) -> [(&'static str, &Path); 5] {
        [
            ("LD_PRELOAD", self.library.as_path()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.as_path()),
            ("FAKETIME_CACHE_DURATION", Path::new("1")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
            ("NO_FAKE_STAT", Path::new("1")),
        ]
    }

    /// Moves the clock to so many seconds before or after the time of the machine.
    pub fn set(&self, seconds: i64) {
        // The process reads the file whenever it likes: it may never find half of it.
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(&fresh, &self.file).unwrap();
    }

    /// Removes what the library leaves behind of a process that was killed.
    pub fn forget(process: u32) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            // It is not there if the process got as far as to remove it.
            let _ = std::fs::remove_file(format!("/dev/shm/{name}{process}"));
        }
    }
}
