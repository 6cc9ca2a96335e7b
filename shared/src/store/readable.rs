//! Jobs that cannot be read: a tenant owns its table, and may have dropped the constraints that keep
//! a time within the years that a program knows, or a policy among the words that it has.

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use tracing::warn;

use super::Store;
use super::error::Result;
use crate::id::JobId;

/// A job as it was read, or which one it was that could not be.
pub(super) enum Readable<T> {
    Job(T),
    Unreadable { id: JobId, version: i32, reason: String },
}

impl<'r, R: Row, T: FromRow<'r, R>> FromRow<'r, R> for Readable<T>
where
    JobId: Decode<'r, R::Database> + Type<R::Database>,
    i32: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Readable<T>> {
        match T::from_row(row) {
            Ok(job) => Ok(Readable::Job(job)),
            Err(sqlx::Error::ColumnDecode { index, source }) => {
                let (id, version) = (row.try_get("id")?, row.try_get("version")?);
                let reason = format!("{} cannot be read: {source}", index.trim_matches('"'));
                Ok(Readable::Unreadable { id, version, reason })
            }
            Err(error) => Err(error),
        }
    }
}

impl Store {
    /// The jobs that can be read. The others are quarantined, so that they neither fail these nor come
    /// up again before they are edited.
    pub(super) async fn readable<T>(&self, rows: Vec<Readable<T>>) -> Result<Vec<T>> {
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            match row {
                Readable::Job(job) => jobs.push(job),
                Readable::Unreadable { id, version, reason } => {
                    if self.quarantine(id, version, &reason).await? {
                        let tenant = self.db.tenant();
                        warn!(%tenant, job_id = %id, "the job is in quarantine until its schedule is edited: {reason}");
                    }
                }
            }
        }
        Ok(jobs)
    }
}
