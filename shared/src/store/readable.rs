//! Quarantines jobs that cannot be decoded. A tenant owns its table, and may have dropped the constraints
//! that keep times in range, policies valid and texts short.

use sqlx::{Column as _, ColumnIndex, Decode, FromRow, Row, Type, ValueRef as _};
use tracing::warn;

use super::Store;
use super::error::Result;
use crate::id::JobId;

/// The reason for a null in a column that is not nullable: our statements select null instead of a value that
/// is longer than its column allows, so that it is never in memory.
pub(super) const TOO_LONG: &str = "it is too long";

/// Whether a column is null.
pub(super) fn is_null<R: Row, I: ColumnIndex<R>>(row: &R, column: I) -> bool {
    row.try_get_raw(column).is_ok_and(|value| value.is_null())
}

/// A job, or the id of a job that cannot be decoded.
pub(super) enum Readable<T> {
    Job(T),
    Unreadable { id: JobId, version: i32, reason: String },
}

impl<'r, R: Row, T: FromRow<'r, R>> FromRow<'r, R> for Readable<T>
where
    JobId: Decode<'r, R::Database> + Type<R::Database>,
    i32: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
    usize: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Readable<T>> {
        // None of these columns is nullable. SQLite's driver would decode null as an empty text.
        let null = row.columns().iter().find(|column| is_null(row, column.ordinal()));
        let reason = match (null, T::from_row(row)) {
            (Some(column), _) => format!("{} cannot be read: {TOO_LONG}", column.name()),
            (None, Ok(job)) => return Ok(Readable::Job(job)),
            (None, Err(sqlx::Error::ColumnDecode { index, source })) => {
                format!("{} cannot be read: {source}", index.trim_matches('"'))
            }
            (None, Err(error)) => return Err(error),
        };
        let (id, version) = (row.try_get("id")?, row.try_get("version")?);
        Ok(Readable::Unreadable { id, version, reason })
    }
}

impl Store {
    /// Returns the jobs that could be decoded. Quarantines the others, so they are not read again before they
    /// are edited.
    pub(super) async fn readable<T>(&self, rows: Vec<Readable<T>>) -> Result<Vec<T>> {
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            match row {
                Readable::Job(job) => jobs.push(job),
                Readable::Unreadable { id, version, reason } => {
                    if self.quarantine(id, version, &reason).await?.is_applied() {
                        let tenant = self.db.tenant();
                        warn!(%tenant, job_id = %id, "the job is in quarantine until its schedule is edited: {reason}");
                    }
                }
            }
        }
        Ok(jobs)
    }
}
