//! Whether an SQLite database has changed, told without opening it.
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
use super::db::Db;
use crate::clock::{Clock, Time};

/// Longer than a tick of any file system's clock.
const SETTLED_AFTER: TimeDelta = TimeDelta::seconds(3);

/// How an SQLite database's files look from outside. Two that are equal: nothing was committed in
/// between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
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
    /// How the database's files look. None: it cannot be told reliably, because they were modified
    /// just now, aren't there, or the database isn't SQLite's.
    pub async fn footprint(&self) -> Option<Footprint> {
        // A manual clock is not the file system's.
        let (Db::Sqlite(database), clock @ Clock::System) = (&self.db, self.clock.clock()) else {
            return None;
        };
        let path = database.options().get_filename().to_owned();
        // A file system may hang.
        let footprint = tokio::task::spawn_blocking(move || Footprint::of(path)).await.ok()??;
        footprint.has_settled(clock.wall_time()).then_some(footprint)
    }
}

impl Footprint {
    fn of(path: PathBuf) -> Option<Footprint> {
        // SQLite names the log after the file, not after a link to it.
        let path = path.canonicalize().ok()?;
        let database = Trace::of(&path)?;
        let mut log = OsString::from(path);
        log.push("-wal");
        // Whoever opens the database makes an empty log, and removes it again.
        let log = Trace::of(Path::new(&log)).filter(|log| log.size > 0);
        Some(Footprint { database, log })
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
