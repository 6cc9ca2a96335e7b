//! The only place that speaks SQL: every move of a job's life as one guarded statement.
//!
//! A [`Store`] is one tenant's database, [`Control`] the database that lists the tenants; either
//! may be PostgreSQL or SQLite. Zero rows changed is an ordinary answer ("no longer yours"), and
//! every method says what it means. All times are the database's own ([`Store::now`]).
//!
//! The moves, in the order of a job's life: `dispatch.rs` (look, arm, dispatch), `sweep.rs` (what was
//! published, and must be again), `execute.rs` (claim, heartbeat), `finish.rs`, `history.rs` (what
//! people define, ask for and read), `edit.rs` (what they change), `pages.rs` (what they look
//! through, a page at a time), `prune.rs` (the end of old history), `notify.rs` (what somebody is to
//! be told).
//! In the life of a job this is the last file; then `producer/rescuer.rs`: what if any of the
//! others died.

mod audit;
mod caught;
mod change_token;
mod changes;
mod connections;
mod control;
mod db;
mod dispatch;
mod edit;
mod error;
mod execute;
mod finish;
#[cfg(feature = "faults")]
pub mod gate;
mod history;
mod migrate;
mod notify;
mod old_programs;
mod pages;
mod producers;
mod prune;
mod read_limits;
mod rows;
mod schema;
mod server_clock;
mod session;
mod shelf;
pub mod sql;
mod sweep;
mod tenant_database;
mod types;

use std::time::Duration;

use tokio::sync::OnceCell;

pub use audit::{Audit, AuditFilter, Change};
pub use change_token::ChangeToken;
pub use connections::{ConnectionCounts, Connections};
pub use control::{Control, TenantEdit, Worker};
pub use dispatch::{
    Advance, Arm, Dispatch, Dispatched, DueJob, NewExecution, PollSummary, Ready, UnarmedJob,
};
pub use edit::{JobEdit, JobSummary, Quarantined};
pub use error::{Result, StoreError, chain};
pub use execute::{Claim, ClaimTerms, Heartbeat};
pub use finish::{Expired, Finish, Finished, NextRow};
pub use history::{ExecutionFilter, NewJob};
pub use migrate::{Migrated, Migration, migrate};
pub use notify::{Notification, Unstarted};
pub use old_programs::OldProgram;
pub use pages::{Page, PlannedLoad, Recent};
pub use producers::Producer;
pub use prune::Keep;
pub use read_limits::READ_LIMITS_ARE_KEPT;
pub use schema::Schema;
pub use session::Planning;
pub use sweep::{SentBefore, Unheard};
pub use tenant_database::{TenantDatabase, WrongDatabase};

use crate::clock::Time;
use crate::database_url::DatabaseUrl;
use crate::id::TenantId;
use crate::tenant::Tenant;
use db::{Db, run_on_either};
use server_clock::ServerClock;

/// One tenant's database. Nothing is opened before the first use.
pub struct Store {
    tenant: TenantId,
    db: Db,
    clock: ServerClock,
    /// Set once the database has proved to be this tenant's, with the schema we know.
    proved: OnceCell<()>,
}

impl Store {
    /// Prepares to connect to a database whose tables are where its role's search path leads.
    ///
    /// # Errors
    /// Only a URL that cannot be read.
    pub fn new(tenant: TenantId, url: &DatabaseUrl, connections: &Connections) -> Result<Store> {
        Store::within(tenant, url, None, connections)
    }

    /// Prepares to connect to a tenant's database, as the control database lists it.
    ///
    /// # Errors
    /// Only a URL that cannot be read.
    pub fn of(tenant: &Tenant, connections: &Connections) -> Result<Store> {
        Store::within(tenant.id, &tenant.database_url, tenant.schema.as_deref(), connections)
    }

    fn within(
        tenant: TenantId,
        url: &DatabaseUrl,
        schema: Option<&str>,
        connections: &Connections,
    ) -> Result<Store> {
        let db = Db::new(url, Schema::Tenant.search_path(schema), connections)?;
        let clock = ServerClock::new(connections.clock().clone());
        Ok(Store { tenant, db, clock, proved: OnceCell::new() })
    }

    /// The database's time.
    pub async fn now(&self) -> Result<Time> {
        self.proved().await?;
        self.clock.now(&self.db).await
    }

    /// How long until the database's clock shows `time`.
    pub fn until(&self, time: Time) -> Duration {
        self.clock.until(&self.db, time)
    }

    /// The PostgreSQL server that the database is on; none: it is an SQLite file.
    pub fn server(&self) -> Option<&str> {
        match &self.db {
            Db::Postgres(database) => Some(database.server()),
            Db::Sqlite(_) => None,
        }
    }

    /// Closes what connections to the database are idle, for one that will not be needed for long.
    pub fn close_idle(&self) {
        match &self.db {
            Db::Postgres(database) => database.close_idle(),
            Db::Sqlite(database) => database.close_idle(),
        }
    }

    /// Checks, once, that the database is this tenant's and has the schema we know.
    async fn proved(&self) -> Result<()> {
        self.proved
            .get_or_try_init(|| async {
                schema::check(&self.db, Schema::Tenant).await?;
                match self.owner().await? {
                    Some(owner) if owner == self.tenant => Ok(()),
                    Some(owner) => Err(StoreError::Owned(owner)),
                    None => Err(StoreError::Unclaimed),
                }
            })
            .await
            .copied()
    }

    /// Whose database this is, by its own word.
    pub async fn owner(&self) -> Result<Option<TenantId>> {
        run_on_either!(&self.db, sql::READ_IDENTITY, |text, connection| {
            sqlx::query_scalar(text).fetch_optional(connection)
        })
    }

    /// Enters this tenant in its database. Another tenant's entry is replaced only when `adopt`
    /// is set. False: another tenant stands there.
    pub async fn claim_database(&self, adopt: bool) -> Result<bool> {
        let done = run_on_either!(&self.db, sql::CLAIM_DATABASE, |text, connection| async {
            let done = sqlx::query(text).bind(self.tenant).bind(adopt).execute(connection).await?;
            Ok(done.rows_affected())
        })?;
        Ok(done > 0)
    }

    /// Takes this tenant's entry out of its database. False: it wasn't there.
    pub async fn release_database(&self) -> Result<bool> {
        let done = run_on_either!(&self.db, sql::RELEASE_DATABASE, |text, connection| async {
            let done = sqlx::query(text).bind(self.tenant).execute(connection).await?;
            Ok(done.rows_affected())
        })?;
        Ok(done > 0)
    }
}
