//! A directory for one test, gone with it; and a small disk that can be full.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A fresh directory, removed at the end.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    mounted: bool,
}

impl Directory {
    /// An empty directory of the ordinary temporary ones.
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("folkmoot-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self { path, mounted: false }
    }

    /// A disk of its own of `kib` KiB. Mounting needs root.
    pub fn small_disk(kib: usize) -> Self {
        let mut directory = Self::fresh();
        let size = format!("size={kib}k");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&directory.path).output();
        let mount = mount.unwrap();
        let said = String::from_utf8_lossy(&mount.stderr).into_owned();
        assert!(mount.status.success(), "this test mounts a small tmpfs, which needs root: {said}");
        directory.mounted = true;
        directory
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: an agent that still runs keeps the disk until it ends.
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
