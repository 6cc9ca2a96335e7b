//! Whether a database has changed, told without opening it: of PostgreSQL by its server's
//! statistics (`changes.rs`), of SQLite by its files.
//!
//! The files are only looked at from outside. To open one of them, be it for reading SQLite's own
//! change counters, would be a trap: closing it again takes away every lock that this process's
//! connections have on it (POSIX), and two writers at once ruin the database.
//!
//! What is committed is written to the log beside the database (which SQLite never maps into
//! memory) or, when that is folded in, to the database: sizes and modification times tell. They are
//! not finer than a tick of the kernel, and two commits within one may look like one; so times that
//! have only just passed tell nothing yet.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;

use super::Store;
use super::changes::Count;
use super::db::Db;
use crate::clock::{Clock, Time};

/// Longer than a tick of any file system's clock.
const SETTLED_AFTER: TimeDelta = TimeDelta::seconds(3);

/// How a database looks from outside. Two that are equal: nothing was committed in between.
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
    /// How the database looks from outside. None: it cannot be told reliably, because a file was
    /// modified just now or isn't there, or a server counts no changes or was not asked for its time
    /// yet ([`Store::now`]).
    pub async fn change_token(&self) -> Option<ChangeToken> {
        // A manual clock is neither the file system's nor a server's.
        let clock @ Clock::System = self.clock.clock() else { return None };
        Some(ChangeToken(match self.db.unproved() {
            Db::Postgres(database) => {
                let identity = self.clock.identity()?;
                Kind::Postgres(self.changes.count(identity, database, clock).await?)
            }
            Db::Sqlite(database) => {
                let path = database.options().get_filename().to_owned();
                // A file system may hang.
                let files = tokio::task::spawn_blocking(move || Files::of(path)).await.ok()??;
                Kind::Sqlite(files.has_settled(clock.wall_time()).then_some(files)?)
            }
        }))
    }
}

impl Files {
    fn of(path: PathBuf) -> Option<Files> {
        // SQLite names the log after the file, not after a link to it.
        let path = path.canonicalize().ok()?;
        let database = Trace::of(&path)?;
        let mut log = OsString::from(path);
        log.push("-wal");
        // Whoever opens the database makes an empty log, and removes it again.
        let log = Trace::of(Path::new(&log)).filter(|log| log.size > 0);
        Some(Files { database, log })
    }

    fn has_settled(&self, now: Time) -> bool {
        let traces = [Some(&self.database), self.log.as_ref()];
        traces.into_iter().flatten().all(|trace| {
            let (seconds, nanoseconds) = trace.modified;
            let modified = Time::from_timestamp(seconds, nanoseconds as u32);
            modified.is_some_and(|modified| modified + SETTLED_AFTER <= now)
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
