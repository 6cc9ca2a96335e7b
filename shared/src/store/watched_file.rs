//! Notices that an SQLite file was replaced while we have it open: restored by `mv`, deleted and made anew, or
//! its folder renamed. A connection goes on in the file that it has opened, which no path leads to any more.
//!
//! The log and the shared memory of the file before stay beside the new one. SQLite would take them for the
//! new file's, and so damage it; therefore they are renamed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::warn;

use crate::clock::BootTime;

/// How often the path is looked up.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// What is appended to the names of the files that belong to a replaced one.
const LEFT_BEHIND: &str = ".of-replaced-database";

/// An SQLite file.
pub(super) struct WatchedFile {
    path: PathBuf,
    seen: Mutex<Seen>,
    checked_at: Mutex<Option<BootTime>>,
    /// How often the file has gone or was replaced.
    generation: Arc<AtomicU64>,
}

/// The file that was at the path when a connection was taken into use.
pub(super) struct Generation {
    now: Arc<AtomicU64>,
    then: u64,
}

impl Generation {
    /// Whether the path has led to that file ever since.
    pub(super) fn is_current(&self) -> bool {
        self.now.load(Ordering::Acquire) == self.then
    }
}

/// The files at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    database: Option<Identity>,
    log: Option<Identity>,
    shared_memory: Option<Identity>,
}

/// Tells a file from all others: device and inode, and the time of birth, because the inode of a deleted file
/// is given to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl WatchedFile {
    pub(super) fn new(path: PathBuf) -> WatchedFile {
        WatchedFile {
            path,
            seen: Mutex::default(),
            checked_at: Mutex::default(),
            generation: Arc::default(),
        }
    }

    /// The file as it is now.
    pub(super) fn generation(&self) -> Generation {
        let now = self.generation.clone();
        Generation { then: now.load(Ordering::Acquire), now }
    }

    /// Whether it is time to look the path up.
    pub(super) fn is_due(&self, now: BootTime) -> bool {
        let mut checked_at = self.checked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = checked_at.is_none_or(|at| now - at >= CHECK_EVERY);
        if is_due {
            *checked_at = Some(now);
        }
        is_due
    }

    /// The files that are at the path now.
    pub(super) async fn look(&self) -> Option<Seen> {
        let path = self.path.clone();
        in_thread(move || Seen::at(&path)).await
    }

    /// Notes which files a new connection has opened. `before` was seen before it was opened, so a file that
    /// was replaced meanwhile is noticed by the next check.
    pub(super) async fn note_open(&self, before: Option<Seen>) {
        if let (Some(before), Some(now)) = (before, self.look().await) {
            *self.seen() = Seen { database: before.database, ..now };
        }
    }

    /// Calls `close`, which closes idle connections, if the path leads to another file than the open one, or
    /// to none. Connections in use are closed after their statement, because their generation is over.
    pub(super) async fn check(&self, close: impl FnOnce()) {
        let before = *self.seen();
        let (Some(_), Some(found)) = (before.database, self.look().await) else { return };
        if found.database == before.database {
            *self.seen() = found; // the log is made anew from time to time
            return;
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        close();
        if found.database.is_none() {
            return; // the same file may come back, and its log is still its own
        }
        *self.seen() = Seen::default();
        warn!(file = %self.path.display(), "the database file was replaced; the new one is opened");
        let path = self.path.clone();
        in_thread(move || set_aside(&path, before, found)).await;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs in a thread of its own, because a network file system may hang.
async fn in_thread<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(what).await.ok()
}

/// Renames the log and the shared memory that belong to the file before.
fn set_aside(path: &Path, before: Seen, found: Seen) {
    for (suffix, before, found) in
        [("-wal", before.log, found.log), ("-shm", before.shared_memory, found.shared_memory)]
    {
        if found.is_none() || found != before {
            continue;
        }
        let (from, to) = (beside(path, suffix), beside(path, &format!("{suffix}{LEFT_BEHIND}")));
        if let Err(error) = std::fs::rename(&from, &to) {
            warn!(file = %from.display(), "a file of the replaced database could not be renamed, and may damage the new one: {error}");
        }
    }
}

impl Seen {
    fn at(path: &Path) -> Seen {
        // SQLite derives the names from the file, not from a symbolic link to it.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        Seen {
            database: identity(&path),
            log: identity(&beside(&path, "-wal")),
            shared_memory: identity(&beside(&path, "-shm")),
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What tells a file from others. It is not opened: closing it would release SQLite's locks.
fn identity(path: &Path) -> Option<Identity> {
    let data = path.metadata().ok()?;
    Some(Identity { device: data.dev(), inode: data.ino(), born: data.created().ok() })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use testkit::Folder;

    use super::*;

    #[tokio::test]
    async fn connections_in_use_are_of_the_file_that_was_replaced() {
        let folder = Folder::new();
        let (file, log) = (folder.path("acme.db"), folder.path("acme.db-wal"));
        std::fs::write(&file, "old").unwrap();
        std::fs::write(&log, "old log").unwrap();
        let watched = WatchedFile::new(file.clone());
        watched.note_open(watched.look().await).await;
        let (in_use, closed) = (watched.generation(), Cell::new(0));
        let check = async || watched.check(|| closed.set(closed.get() + 1)).await;
        check().await;
        assert!(in_use.is_current() && closed.get() == 0);
        std::fs::write(folder.path("backup.db"), "new").unwrap();
        std::fs::rename(folder.path("backup.db"), &file).unwrap();
        check().await;
        assert!(!in_use.is_current() && closed.get() == 1);
        assert!(!log.exists() && folder.path("acme.db-wal.of-replaced-database").exists());
        check().await;
        assert!(watched.generation().is_current() && closed.get() == 1, "it is replaced once");
    }

    #[tokio::test]
    async fn a_log_that_belongs_to_the_new_file_stays() {
        let folder = Folder::new();
        let (file, log) = (folder.path("acme.db"), folder.path("acme.db-wal"));
        std::fs::write(&file, "old").unwrap();
        std::fs::write(&log, "old log").unwrap();
        let watched = WatchedFile::new(file.clone());
        watched.note_open(watched.look().await).await;
        for path in [&file, &log] {
            std::fs::write(folder.path("other"), "new").unwrap();
            std::fs::rename(folder.path("other"), path).unwrap();
        }
        watched.check(|| {}).await;
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "new");
    }
}
