//! Change tokens: they tell whether a database has changed, without opening it. For PostgreSQL they come
//! from the server's statistics (`changes.rs`), for SQLite from the files' metadata.
//!
//! The files must not be opened, not even to read SQLite's change counter: closing a file releases every
//! POSIX lock that this process's connections hold on it, and two concurrent writers corrupt the database.
//!
//! A commit appends to the write-ahead log, which SQLite never maps into memory; a checkpoint writes to the
//! database file. Either changes a size or a modification time. Modification times have the resolution of
//! the kernel's tick, and two commits within one tick may yield the same time. So a token exists only once
//! the last modification is older than that.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;

use super::Store;
use super::changes::Count;
use super::db::Db;
use crate::clock::{Clock, Time};

/// The minimum age of the last modification: longer than the resolution of any file system's clock.
const MIN_AGE: TimeDelta = TimeDelta::seconds(3);

/// A token of a database's state. If two tokens are equal, nothing was committed between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeToken(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Postgres(Count),
    Sqlite(Files),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    database: Trace,
    log: Option<Trace>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Trace {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Store {
    /// The database's current token. None if there is no reliable one: a file is missing or was modified
    /// too recently, or the server keeps no statistics, or [`Store::now`] has not read its time yet.
    pub async fn change_token(&self) -> Option<ChangeToken> {
        // Modification times and statistics follow real clocks, not a test's manual clock.
        let clock @ Clock::System = self.clock.clock() else { return None };
        Some(ChangeToken(match self.db.unproved() {
            Db::Postgres(database) => {
                let identity = self.clock.identity()?;
                Kind::Postgres(self.changes.count(identity, database, clock).await?)
            }
            Db::Sqlite(database) => {
                let path = database.options().get_filename().to_owned();
                // A thread of its own, because a network file system may hang.
                let files = tokio::task::spawn_blocking(move || Files::of(path)).await.ok()??;
                Kind::Sqlite(files.are_old_enough(clock.wall_time()).then_some(files)?)
            }
        }))
    }
}

impl Files {
    fn of(path: PathBuf) -> Option<Files> {
        // SQLite derives the log's name from the file, not from a symbolic link to it.
        let path = path.canonicalize().ok()?;
        let database = Trace::of(&path)?;
        let mut log = OsString::from(path);
        log.push("-wal");
        // Opening the database creates an empty log, and closing it removes the log.
        let log = Trace::of(Path::new(&log)).filter(|log| log.size > 0);
        Some(Files { database, log })
    }

    fn are_old_enough(&self, now: Time) -> bool {
        let traces = [Some(&self.database), self.log.as_ref()];
        traces.into_iter().flatten().all(|trace| {
            let (seconds, nanoseconds) = trace.modified;
            let modified = Time::from_timestamp(seconds, nanoseconds as u32);
            modified.is_some_and(|modified| modified + MIN_AGE <= now)
        })
    }
}

impl Trace {
    fn of(path: &Path) -> Option<Trace> {
        let data = path.metadata().ok().filter(|data| data.is_file())?;
        let modified = (data.mtime(), data.mtime_nsec());
        Some(Trace { device: data.dev(), inode: data.ino(), size: data.size(), modified })
    }
}
