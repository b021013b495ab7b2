//! Replacing a file so that a crash, a full disk or a kill at any moment leaves the old one or the new one, whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::net::go_errors;

/// Mode of a file that did not exist. Go: `0600`, because keys and tags may be secret.
const MODE: u32 = 0o600;

/// Writes `contents` to `path`: into a file beside it, which then takes its place. What is there keeps its mode and
/// owner, and a link stays a link. Where the directory takes no other file, or the owner could not stay, the file itself
/// is written over, as Go always does.
///
/// # Errors
/// Go's text, without what it is about. The old contents stand, except after a failure of the disk while the file
/// itself is written over.
pub(super) fn replace(path: &str, contents: &[u8]) -> Result<(), String> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let existing = fs::metadata(&target).ok();
    let failed = |step: Failed| {
        let (operation, error) = match &step {
            Failed::Open(error) => ("open", error),
            Failed::Write(error) => ("write", error),
            Failed::Rename(error) => ("rename", error),
        };
        format!("{operation} {path}: {}", go_errors::cause(error))
    };
    if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        return write_over(&target, contents).map_err(failed);
    }
    match put_beside(&target, existing.as_ref(), contents) {
        Err(Failed::Open(error) | Failed::Rename(error)) if is_about_the_directory(&error) => {
            write_over(&target, contents).map_err(failed)
        }
        result => result.map_err(failed),
    }
}

enum Failed {
    Open(io::Error),
    Write(io::Error),
    Rename(io::Error),
}

/// No new file there, or a file that cannot be exchanged because something is mounted on it.
fn is_about_the_directory(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ResourceBusy | ErrorKind::ReadOnlyFilesystem)
}

fn put_beside(target: &Path, existing: Option<&Metadata>, contents: &[u8]) -> Result<(), Failed> {
    let beside = beside(target);
    let file = create(&beside).map_err(Failed::Open)?;
    let written = fill(file, existing, contents).and_then(|()| fs::rename(&beside, target).map_err(Failed::Rename));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // The exchange itself has to reach the disk. Where a directory cannot be synced it is as good as it gets.
    if let Some(directory) = target.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

/// A hidden name in the same directory; no file of the user's is called so.
fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.folkmoot-new"))
}

/// Never follows or opens what somebody may have put there; what a crash left there goes.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(MODE);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        result => result,
    }
}

fn fill(mut file: File, existing: Option<&Metadata>, contents: &[u8]) -> Result<(), Failed> {
    if let Some(existing) = existing {
        let fresh = file.metadata().map_err(Failed::Write)?;
        if (fresh.uid(), fresh.gid()) != (existing.uid(), existing.gid()) {
            std::os::unix::fs::fchown(&file, Some(existing.uid()), Some(existing.gid())).map_err(Failed::Open)?;
        }
        let mode = fs::Permissions::from_mode(existing.mode() & 0o7777);
        file.set_permissions(mode).map_err(Failed::Write)?;
    }
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(Failed::Write)
}

/// As Go does it, but cut to its new length only at the end.
fn write_over(target: &Path, contents: &[u8]) -> Result<(), Failed> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(false).mode(MODE).open(target).map_err(Failed::Open)?;
    file.write_all(contents).map_err(Failed::Write)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        let length = u64::try_from(contents.len()).unwrap_or(u64::MAX);
        file.set_len(length).and_then(|()| file.sync_all()).map_err(Failed::Write)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("folkmoot-replace-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str) -> String {
            self.0.join(name).to_string_lossy().into_owned()
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &str) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn new_files_are_private_and_existing_ones_keep_their_mode() {
        let scratch = Scratch::new("mode");
        let file = scratch.file("f");
        replace(&file, b"one").unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"one".to_vec(), 0o600));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&file, b"2").unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"2".to_vec(), 0o644));
        assert_eq!(scratch.names(), ["f"], "nothing is left beside it");
    }

    #[test]
    fn what_a_crash_left_is_no_hindrance_and_links_are_not_followed_for_it() {
        let scratch = Scratch::new("left");
        let (file, victim) = (scratch.file("f"), scratch.file("victim"));
        fs::write(&victim, b"untouched").unwrap();
        std::os::unix::fs::symlink(&victim, scratch.file(".f.folkmoot-new")).unwrap();
        replace(&file, b"new").unwrap();
        assert_eq!((fs::read(&file).unwrap(), fs::read(&victim).unwrap()), (b"new".to_vec(), b"untouched".to_vec()));
        assert_eq!(scratch.names(), ["f", "victim"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let scratch = Scratch::new("link");
        let (file, link) = (scratch.file("f"), scratch.file("l"));
        fs::write(&file, b"old").unwrap();
        std::os::unix::fs::symlink("f", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn failures_have_gos_texts_and_leave_the_old_contents() {
        let scratch = Scratch::new("fail");
        let missing = scratch.file("none/f");
        assert_eq!(replace(&missing, b"x"), Err(format!("open {missing}: no such file or directory")));
        let directory = scratch.file("d");
        fs::create_dir(&directory).unwrap();
        assert_eq!(replace(&directory, b"x"), Err(format!("open {directory}: is a directory")));
        assert_eq!(replace("/dev/full", b"x"), Err("write /dev/full: no space left on device".into()));
        let held = scratch.file("held");
        fs::write(&held, b"old").unwrap();
        fs::create_dir(scratch.file(".held.folkmoot-new")).unwrap();
        replace(&held, b"new").unwrap_err();
        assert_eq!(fs::read(&held).unwrap(), b"old");
    }

    #[test]
    fn writing_over_shortens_too() {
        let scratch = Scratch::new("over");
        let file = scratch.file("f");
        fs::write(&file, b"a long text").unwrap();
        assert!(write_over(Path::new(&file), b"short").is_ok());
        assert_eq!(fs::read(&file).unwrap(), b"short");
    }
}
