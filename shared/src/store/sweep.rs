//! Records which messages the broker confirmed, and finds rows that need another message.

use sqlx::{FromRow, query, query_as, query_scalar};

use super::db::{Db, begin_immediate, column, json, run, run_on_either};
use super::db_time::DbTime;
use super::dispatch::Ready;
use super::error::Result;
use super::{Store, sql};
use crate::id::ExecutionId;

/// A dispatched row that needs another message.
#[derive(Clone, Debug, FromRow)]
pub struct Unclaimed {
    /// The row, with the content of its message.
    #[sqlx(flatten)]
    pub ready: Ready,
    /// How many publishes were recorded when it was read; the guard of the sweep.
    pub publish_count: i32,
}

/// A dispatched row needs another message if it was dispatched or last published before these times.
#[derive(Clone, Copy, Debug)]
pub struct SentBefore {
    /// When it was dispatched, if no message was ever confirmed.
    pub dispatched: DbTime,
    /// The last publish, by the number of publishes so far: one, two, three, four, five or more.
    pub published: [DbTime; 5],
}

impl Store {
    /// Records that the broker confirmed messages for these rows.
    pub async fn mark_published(&self, ids: &[ExecutionId], now: DbTime) -> Result<()> {
        match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| async {
                let statement = query(sql::MARK_PUBLISHED.postgres).bind(ids).bind(now);
                statement.execute(connection).await?;
                Ok(())
            }),
            Db::Sqlite(database) => run!(database, |connection| async {
                let statement = query(sql::MARK_PUBLISHED.sqlite).bind(json(ids)).bind(now);
                statement.execute(connection).await?;
                Ok(())
            }),
        }
    }

    /// Dispatched rows that need another message.
    pub async fn read_unclaimed(&self, before: &SentBefore, limit: i64) -> Result<Vec<Unclaimed>> {
        let [once, twice, thrice, four_times, oftener] = before.published;
        run_on_either!(self.db.proved().await?, sql::READ_UNCLAIMED, |text, connection| {
            query_as(text)
                .bind(before.dispatched)
                .bind(once)
                .bind(twice)
                .bind(thrice)
                .bind(four_times)
                .bind(oftener)
                .bind(limit)
                .fetch_all(connection)
        })
    }

    /// Takes rows for another publish. Only the caller may publish the returned rows. The others were
    /// claimed, or swept by another producer.
    pub async fn sweep(&self, rows: &[Unclaimed], now: DbTime) -> Result<Vec<ExecutionId>> {
        match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| {
                query_scalar(sql::SWEEP.postgres)
                    .bind(column(rows, |row| row.ready.id))
                    .bind(column(rows, |row| row.publish_count))
                    .bind(now)
                    .fetch_all(connection)
            }),
            Db::Sqlite(database) => run!(database, |connection| async {
                let mut transaction = begin_immediate(connection).await?;
                let mut swept = Vec::new();
                for row in rows {
                    let id = query_scalar(sql::SWEEP.sqlite)
                        .bind(row.ready.id)
                        .bind(row.publish_count)
                        .bind(now)
                        .fetch_optional(&mut *transaction)
                        .await?;
                    swept.extend::<Option<ExecutionId>>(id);
                }
                transaction.commit().await?;
                Ok(swept)
            }),
        }
    }

    /// Undoes the sweep at `swept_at` for rows whose messages could not be published, so they don't wait
    /// as long as published ones.
    pub async fn take_back_sweep(&self, ids: &[ExecutionId], swept_at: DbTime) -> Result<()> {
        match self.db.proved().await? {
            Db::Postgres(database) => run!(database, |connection| async {
                let statement = query(sql::TAKE_BACK_SWEEP.postgres).bind(ids).bind(swept_at);
                statement.execute(connection).await?;
                Ok(())
            }),
            Db::Sqlite(database) => run!(database, |connection| async {
                let statement = query(sql::TAKE_BACK_SWEEP.sqlite).bind(json(ids)).bind(swept_at);
                statement.execute(connection).await?;
                Ok(())
            }),
        }
    }
}
