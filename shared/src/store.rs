//! The only module with SQL: every transition of a job or an execution is one guarded statement.
//!
//! A [`Store`] is one tenant's database, [`Control`] the database that lists the tenants; either
//! may be PostgreSQL or SQLite. Zero changed rows are an ordinary result ("no longer yours"), which each
//! method documents. All times are those of the database's clock ([`Store::now`]).
//!
//! Where to find what:
//!
//! - by noun, what users define, request and read: `jobs.rs`, `executions.rs`; in the control database
//!   `tenants.rs`, `workers.rs`, `producers.rs`, `audit.rs`, `zone_rules.rs`;
//! - by verb, the engine's transitions in the order of a job's life: `dispatch.rs` (poll, arm, dispatch),
//!   `replan.rs` (next times worked out anew), `locked_jobs.rs` (who has locked a job's row), `sweep.rs`
//!   (messages to publish again), `claim.rs` (claim, heartbeat, report), `finish.rs`,
//!   `notifications.rs` (alerts, written in the transition that they report), `prune.rs`;
//! - below them, `identity.rs` (whose database it is), `db_time.rs` and `server_clock.rs` (its time),
//!   `db.rs` (runs a statement), `pool.rs` and `idle_pool.rs` (the connections), `sql.rs` (the table of
//!   statements), `schema.rs` and `migrate.rs`.
//!
//! In the life of a job this is the last file. `producer/rescuer.rs` comes after it: it acts if a process
//! died on the way.

mod ascii;
mod audit;
mod caught;
mod change_token;
mod changes;
mod claim;
mod connection_limits;
mod connections;
mod control;
mod db;
mod db_time;
mod dispatch;
mod error;
mod executions;
mod finish;
#[cfg(feature = "faults")]
pub mod gate;
mod guarded;
mod handler_sessions;
mod identity;
mod idle_pool;
mod installation;
mod jobs;
mod lagging_ids;
mod locked_jobs;
mod migrate;
mod notifications;
mod old_programs;
mod place;
mod pool;
mod producers;
mod prune;
mod read_limits;
mod readable;
mod replan;
mod rights;
mod rows;
mod schema;
mod server_clock;
mod session;
pub mod sql;
mod sweep;
mod tenant_database;
mod tenants;
mod types;
mod watched_file;
mod workers;
mod zone_rules;

use std::time::Duration;

pub use audit::{Audit, AuditFilter, Change};
pub use caught::caught;
pub use change_token::ChangeToken;
pub use claim::{Claim, ClaimTerms, Heartbeat};
pub use connection_limits::ConnectionLimits;
pub use connections::{CONNECTIONS_MAX, Connections};
pub use control::Control;
pub use db_time::DbTime;
pub use dispatch::{
    Advance, Arm, Dispatch, Dispatched, DueJob, HOLD_GRACE_SECONDS, NewExecution, PollSummary,
    Ready, UnarmedJob,
};
pub use error::{Result, StoreError, chain};
pub use executions::{ExecutionFilter, Page, Recent};
pub use finish::{Expired, Finish, Finished, NextRow};
pub use guarded::Guarded;
pub use idle_pool::share;
pub use jobs::{JobEdit, JobSummary, NewJob, PlannedLoad, Quarantined};
pub use lagging_ids::LaggingIds;
pub use locked_jobs::{Blocker, LockHolder, TableLock};
pub use migrate::{Migrated, Migration, Views, migrate};
pub use notifications::{Notification, Notified, Unstarted};
pub use old_programs::OldProgram;
pub use place::Place;
pub use pool::ConnectionCounts;
pub use producers::ProducerRow;
pub use prune::Keep;
pub use read_limits::READ_LIMITS_ARE_KEPT;
pub use replan::PlannedJob;
pub use schema::Schema;
pub use session::Planning;
pub use sweep::{SentBefore, Unclaimed};
pub use tenant_database::{TenantDatabase, WrongDatabase};
pub use tenants::{TenantEdit, list_tenants_of_file};
pub use workers::Worker;
pub use zone_rules::{CONTENT_BYTES_MAX, LatestZoneRules, StoredZoneRules};

use crate::clock::Time;
use crate::database_url::DatabaseUrl;
use crate::id::TenantId;
use crate::tenant::Tenant;
use changes::Changes;
use db::Db;
use identity::TenantDb;
use locked_jobs::LockedJobs;
use server_clock::ServerClock;

/// One tenant's database. It is connected to at the first use.
pub struct Store {
    db: TenantDb,
    clock: ServerClock,
    changes: Changes,
    locked_jobs: LockedJobs,
}

impl Store {
    /// A store of the database at `url`, in which the role's search path leads to our tables.
    ///
    /// # Errors
    /// If the URL is malformed.
    pub fn new(tenant: TenantId, url: &DatabaseUrl, connections: &Connections) -> Result<Store> {
        Store::within(tenant, url, None, connections)
    }

    /// A store of a tenant's database, as the control database lists it.
    ///
    /// # Errors
    /// If the URL is malformed.
    pub fn of(tenant: &Tenant, connections: &Connections) -> Result<Store> {
        Store::within(tenant.id, &tenant.database_url, tenant.schema.as_deref(), connections)
    }

    fn within(
        tenant: TenantId,
        url: &DatabaseUrl,
        schema: Option<&str>,
        connections: &Connections,
    ) -> Result<Store> {
        let db = Db::new(url, Schema::Tenant.search_path(schema), connections.pool())?;
        let clock = ServerClock::new(connections.clock().clone());
        let (db, changes) = (TenantDb::new(tenant, db), connections.changes().clone());
        Ok(Store { db, clock, changes, locked_jobs: LockedJobs::default() })
    }

    /// The database's time.
    pub async fn now(&self) -> Result<DbTime> {
        self.clock.now(self.db.proved().await?).await
    }

    /// Whether the role that connects is a superuser of its server. SQLite has none.
    pub async fn is_superuser(&self) -> Result<bool> {
        match self.db.proved().await? {
            Db::Sqlite(_) => Ok(false),
            Db::Postgres(database) => db::run!(database, |connection| async {
                sqlx::query_scalar(sql::READ_SUPERUSER.postgres).fetch_one(connection).await
            }),
        }
    }

    /// How many connections its server, role and database allow. SQLite has no limits.
    pub async fn connection_limits(&self) -> Result<Option<ConnectionLimits>> {
        match self.db.proved().await? {
            Db::Sqlite(_) => Ok(None),
            Db::Postgres(database) => db::run!(database, |connection| async {
                let limits = sqlx::query_as(sql::READ_CONNECTION_LIMIT.postgres);
                limits.fetch_one(connection).await.map(Some)
            }),
        }
    }

    /// How long until the database's clock shows `time`.
    pub fn until(&self, time: Time) -> Duration {
        self.clock.until(self.db.unproved(), time)
    }

    /// The address of the PostgreSQL server; none for an SQLite file.
    pub fn server(&self) -> Option<&str> {
        match self.db.unproved() {
            Db::Postgres(database) => Some(database.server()),
            Db::Sqlite(_) => None,
        }
    }

    /// Closes the idle connections to this database. Call it if the database will not be used for a while.
    pub fn close_idle(&self) {
        match self.db.unproved() {
            Db::Postgres(database) => database.close_idle(),
            Db::Sqlite(database) => database.close_idle(),
        }
    }
}
