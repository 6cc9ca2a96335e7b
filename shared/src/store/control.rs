//! The control database: the tenants (`tenants.rs`), the processes that serve them (`workers.rs`,
//! `producers.rs`), and who changed what (`audit.rs`).

use super::connections::Connections;
use super::db::Db;
use super::db_time::DbTime;
use super::error::Result;
use super::schema::{self, Schema};
use super::server_clock::ServerClock;
use crate::database_url::DatabaseUrl;

/// The database that lists the tenants. It is connected to at the first use.
pub struct Control {
    pub(super) db: Db,
    clock: ServerClock,
}

impl Control {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// If the URL is malformed.
    pub fn new(url: &DatabaseUrl, connections: &Connections) -> Result<Control> {
        let db = Db::new(url, Schema::Control.search_path(None), connections.pool())?;
        Ok(Control { db, clock: ServerClock::new(connections.clock().clone()) })
    }

    /// The database's time.
    pub async fn now(&self) -> Result<DbTime> {
        self.clock.now(&self.db).await
    }

    /// Checks that the schema is not older than this program, nor too new for it.
    pub async fn check_schema(&self) -> Result<()> {
        schema::check(&self.db, Schema::Control).await
    }
}
