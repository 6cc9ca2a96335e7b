//! Jobs whose rows another session has locked. Our statements do not wait for such a row: that job alone
//! waits, and the log says who has locked it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{FromRow, query_as, query_scalar};
use tracing::warn;

use super::db::{Db, run};
use super::db_time::DbTime;
use super::error::{Result, StoreError, chain};
use super::pool::Database;
use super::types::{ClampedTime, Lossy};
use super::{Store, sql};
use crate::clock::{BootTime, Time};
use crate::id::JobId;
use crate::outcome::clean;

/// How long a job is left out of what is read, once its row was locked twice. Shorter than the interval at
/// which overdue work is polled.
const LEFT_OUT_FOR: Duration = Duration::from_millis(750);
/// How long dispatches skip locked rows after one was found.
const SKIPPED_FOR: Duration = Duration::from_secs(60);
/// A job whose row was not found locked for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
/// The most jobs of one tenant that are remembered.
const JOBS_MAX: usize = 5000;
/// The most due jobs whose rows are examined when somebody asks.
const DUE_MAX: i64 = 20;
/// The most sessions that are shown.
const SHOWN_MAX: usize = 3;
/// The longest query that is shown, in bytes.
const QUERY_BYTES_MAX: usize = 200;

/// The jobs of one tenant whose rows were found locked a moment ago.
#[derive(Default)]
pub(super) struct LockedJobs(Mutex<State>);

#[derive(Default)]
struct State {
    jobs: HashMap<JobId, Seen>,
    /// Until when dispatches skip locked rows. Before the first one was found, they do not.
    skipped_until: BootTime,
}

struct Seen {
    last: BootTime,
    left_out_until: BootTime,
    is_reported: bool,
}

impl LockedJobs {
    /// The jobs to leave out of what is read.
    pub(super) fn left_out(&self, now: BootTime) -> Vec<JobId> {
        let state = self.state();
        state
            .jobs
            .iter()
            .filter(|(_, seen)| seen.left_out_until > now)
            .map(|(job, _)| *job)
            .collect()
    }

    /// Notes that rows are locked. One that is locked for an instant is tried again at once; from the second
    /// time on it is left out for a while. Returns the jobs of which that must be reported.
    fn note(&self, jobs: Vec<JobId>, now: BootTime) -> Vec<JobId> {
        let mut state = self.state();
        state.skipped_until = now + SKIPPED_FOR;
        let known = &mut state.jobs;
        known.retain(|_, seen| now - seen.last < FORGOTTEN_AFTER);
        let mut unreported = Vec::new();
        for job in jobs {
            if let Some(seen) = known.get_mut(&job) {
                seen.last = now;
                seen.left_out_until = now + LEFT_OUT_FOR;
                if !std::mem::replace(&mut seen.is_reported, true) {
                    unreported.push(job);
                }
            } else if known.len() < JOBS_MAX {
                let seen = Seen { last: now, left_out_until: now, is_reported: false };
                known.insert(job, seen);
            }
        }
        unreported
    }

    /// Makes dispatches skip locked rows for a while.
    pub(super) fn skip(&self, now: BootTime) {
        self.state().skipped_until = now + SKIPPED_FOR;
    }

    /// Whether dispatches skip locked rows instead of waiting for them.
    pub(super) fn are_skipped(&self, now: BootTime) -> bool {
        now < self.state().skipped_until
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session of the database server.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Blocker {
    /// The process id of its backend; none for a prepared transaction.
    pub pid: Option<i32>,
    #[sqlx(try_from = "Lossy")]
    application: Option<String>,
    state: Option<String>,
    #[sqlx(try_from = "ClampedTime")]
    since: Option<Time>,
    #[sqlx(try_from = "Lossy")]
    query: Option<String>,
}

/// A session that has locked the row of a job.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct LockHolder {
    /// The job.
    pub job_id: JobId,
    /// Its name.
    #[sqlx(try_from = "Lossy")]
    pub name: String,
    /// The session.
    #[sqlx(flatten)]
    pub session: Blocker,
}

/// A session that keeps one of our tables locked.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct TableLock {
    /// The table.
    pub name: String,
    /// The session.
    #[sqlx(flatten)]
    pub session: Blocker,
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(pid) = self.pid else {
            return write!(f, "a prepared transaction (see pg_prepared_xacts)");
        };
        write!(f, "session {pid}")?;
        let application = self.application.as_deref().filter(|name| !name.is_empty());
        let shown = application.into_iter().chain(self.state.as_deref());
        let shown: Vec<String> = shown.map(|text| clean(text, QUERY_BYTES_MAX)).collect();
        if !shown.is_empty() {
            write!(f, " ({})", shown.join(", "))?;
        }
        if let Some(since) = self.since {
            write!(f, ", in a transaction since {}", since.format("%F %T UTC"))?;
        }
        match self.query.as_deref().filter(|query| !query.is_empty()) {
            Some(query) => write!(f, ", whose last statement is: {}", without_values(query)),
            None => Ok(()),
        }
    }
}

/// A statement with `?` instead of texts and numbers, which may be secret, and on one line.
fn without_values(statement: &str) -> String {
    let mut shown = String::new();
    let mut rest = statement.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                // Everything up to the last quote: what is escaped how, only the server knows.
                shown.push('?');
                let tail: String = rest.by_ref().collect();
                let end = tail.rfind('\'').map_or(tail.len(), |at| at + 1);
                shown.push_str(&digits_hidden(&tail[end..]));
            }
            '$' if rest.peek().is_none_or(|next| !next.is_ascii_digit()) => {
                shown.push('?');
                rest.by_ref().for_each(drop); // a dollar-quoted text
            }
            c => shown.push(c),
        }
    }
    clean(&digits_hidden(&shown).split_whitespace().collect::<Vec<_>>().join(" "), QUERY_BYTES_MAX)
}

/// Replaces numbers by `?`, except within names and parameters.
fn digits_hidden(text: &str) -> String {
    let (mut hidden, mut before) = (String::new(), ' ');
    for c in text.chars() {
        let in_name = before.is_alphanumeric() || matches!(before, '_' | '$' | '"');
        match c {
            '0'..='9' if before == '?' => continue,
            '0'..='9' if !in_name => hidden.push('?'),
            c => hidden.push(c),
        }
        before = hidden.chars().last().unwrap_or(' ');
    }
    hidden
}

impl Store {
    /// Notes that the rows of these jobs are locked, and logs by whom once they stay so.
    pub(super) async fn note_locked(&self, database: &Database<PgConnection>, jobs: Vec<JobId>) {
        if jobs.is_empty() {
            return;
        }
        let jobs = self.locked_jobs.note(jobs, database.boot_time());
        if jobs.is_empty() {
            return;
        }
        // The rows wait whether or not their locks' holders can be read.
        let holders = lock_holders(database, &jobs[..jobs.len().min(DUE_MAX as usize)])
            .await
            .unwrap_or_default();
        let mut by_session: BTreeMap<Option<i32>, Vec<LockHolder>> = BTreeMap::new();
        for holder in holders {
            by_session.entry(holder.session.pid).or_default().push(holder);
        }
        let tenant = self.db.tenant();
        for held in by_session.values() {
            let [first, ..] = held.as_slice() else { continue };
            let (job, pid, jobs) =
                (clean(&first.name, QUERY_BYTES_MAX), first.session.pid, held.len());
            warn!(%tenant, job, jobs, pid, "the job waits until a session ends its transaction, which has locked the job's row: {}", first.session);
        }
    }

    /// The sessions that have locked the rows of due jobs. None in SQLite, which locks whole files.
    pub async fn find_lock_holders(&self, now: DbTime) -> Result<Vec<LockHolder>> {
        match self.db.proved().await? {
            Db::Postgres(database) => {
                let due: Vec<JobId> = run!(database, |connection| {
                    query_scalar(sql::LIST_DUE.postgres)
                        .bind(now)
                        .bind(DUE_MAX)
                        .fetch_all(connection)
                })?;
                lock_holders(database, &due).await
            }
            Db::Sqlite(_) => Ok(Vec::new()),
        }
    }

    /// Why a statement waited for a lock in vain: the sessions that keep others from our tables, if any are
    /// found.
    pub async fn why_blocked(&self, error: &StoreError) -> String {
        let locks = self.find_table_locks().await.unwrap_or_default();
        let locks = locks.iter().take(SHOWN_MAX);
        let shown: Vec<String> =
            locks.map(|lock| format!("{} is kept locked by {}", lock.name, lock.session)).collect();
        if shown.is_empty() { chain(error) } else { shown.join("; ") }
    }

    /// The sessions that keep others from our tables. None in SQLite, which does not know them.
    pub async fn find_table_locks(&self) -> Result<Vec<TableLock>> {
        match self.db.unproved() {
            Db::Postgres(database) => run!(database, |connection| {
                query_as(sql::FIND_TABLE_LOCKS.postgres).fetch_all(connection)
            }),
            Db::Sqlite(_) => Ok(Vec::new()),
        }
    }
}

/// Who has locked these jobs' rows.
async fn lock_holders(
    database: &Database<PgConnection>,
    jobs: &[JobId],
) -> Result<Vec<LockHolder>> {
    let mut holders: Vec<LockHolder> = run!(database, |connection| {
        query_as(sql::FIND_LOCK_HOLDERS.postgres).bind(jobs).fetch_all(connection)
    })?;
    let found = |job: &JobId| holders.iter().any(|holder| holder.job_id == *job);
    let others: Vec<JobId> = jobs.iter().copied().filter(|job| !found(job)).collect();
    for job in others {
        // What asks for sharers fails for a row that has none, so it is asked only if the row is locked.
        let free: Result<Option<JobId>> = run!(database, |connection| {
            query_scalar(sql::LOCK_JOB.postgres).bind(job).fetch_optional(connection)
        });
        if !matches!(free, Ok(None)) {
            continue;
        }
        let sharers: Result<Vec<LockHolder>> = run!(database, |connection| {
            query_as(sql::FIND_LOCK_SHARERS.postgres).bind(job).fetch_all(connection)
        });
        holders.extend(sharers.unwrap_or_default());
    }
    Ok(holders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocking_statement_is_shown_without_its_values() {
        for (statement, shown) in [
            (
                "UPDATE polychron_job\n SET queue = 'it''s' WHERE name = 'j3' FOR UPDATE",
                "UPDATE polychron_job SET queue = ? FOR UPDATE",
            ),
            (
                "SELECT * FROM t1 WHERE id = 42 AND x = $1",
                "SELECT * FROM t1 WHERE id = ? AND x = $1",
            ),
            ("DO $body$ SELECT 'x' $body$", "DO ?"),
            ("SET password = 'unterminated", "SET password = ?"),
            ("SELECT -1.5e3, 0x1F", "SELECT -?.?e3, ?x1F"),
        ] {
            assert_eq!(without_values(statement), shown);
        }
        assert!(without_values(&"SELECT ".repeat(99)).len() <= QUERY_BYTES_MAX);
    }

    #[test]
    fn a_row_that_is_locked_for_an_instant_is_not_left_out() {
        let (locked, at) = (LockedJobs::default(), |ms| BootTime::ZERO + Duration::from_millis(ms));
        let job = JobId(1);
        assert!(locked.note(vec![job], at(0)).is_empty());
        assert!(locked.left_out(at(0)).is_empty());
        assert_eq!(locked.note(vec![job], at(25)), [job], "still locked: reported once");
        assert!(locked.note(vec![job], at(50)).is_empty());
        assert_eq!(locked.left_out(at(700)), [job]);
        assert!(locked.left_out(at(800)).is_empty(), "tried again");
        assert!(locked.note(vec![job], at(60_000)).is_empty(), "another lock, much later");
        assert_eq!(locked.note(vec![job], at(60_025)), [job]);
    }
}
