//! What a database must let the engine do, tried out: its tables are there and can be written.

use super::control::Control;
use super::db::run_on_either;
use super::error::Result;
use super::{Store, sql};

impl Store {
    /// Exercises each right that the engine needs, on no rows.
    ///
    /// # Errors
    /// [`Denied`](super::StoreError::Denied) if one is missing, [`Unreachable`](super::StoreError::Unreachable)
    /// if the database is read-only, [`MissingTable`](super::StoreError::MissingTable).
    pub async fn exercise_rights(&self) -> Result<()> {
        let db = self.db.proved().await?;
        run_on_either!(db, sql::READ_TENANT_TABLES, |text, connection| async {
            sqlx::query(text).execute(connection).await.map(drop)
        })?;
        run_on_either!(db, sql::EXERCISE_RIGHTS, |text, connection| async {
            sqlx::query(text).execute(connection).await.map(drop)
        })
    }
}

impl Control {
    /// Exercises the rights that producers and consumers need, on no rows.
    ///
    /// # Errors
    /// As [`Store::exercise_rights`].
    pub async fn exercise_rights(&self) -> Result<()> {
        run_on_either!(&self.db, sql::EXERCISE_CONTROL_RIGHTS, |text, connection| async {
            sqlx::query(text).execute(connection).await.map(drop)
        })
    }
}
