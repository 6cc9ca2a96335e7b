//! The control database: which tenants there are, and which consumers serve them.

use serde::Serialize;
use sqlx::{FromRow, query, query_as};

use super::connections::Connections;
use super::db::{Db, run_on_either};
use super::db_time::DbTime;
use super::error::Result;
use super::schema::{self, Schema};
use super::server_clock::ServerClock;
use super::sql;
use crate::clock::Time;
use crate::database_url::DatabaseUrl;
use crate::id::TenantId;
use crate::tenant::{Tenant, TenantStatus};

/// The database that lists the tenants. Nothing is opened before the first use.
pub struct Control {
    pub(super) db: Db,
    clock: ServerClock,
}

/// A consumer process.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Worker {
    /// New at every start.
    pub name: String,
    /// Where it runs.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
    /// The program's version.
    pub version: String,
    /// The queues it takes from.
    #[sqlx(json)]
    pub queues: Vec<String>,
    /// The job types it knows.
    #[sqlx(json)]
    pub job_types: Vec<String>,
    /// The most executions it runs at once.
    pub slots: i32,
    /// How many it runs.
    pub running: i32,
    /// Since when.
    pub started_at: Time,
    /// When it was last heard of.
    pub seen_at: Time,
}

/// A change of a tenant; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct TenantEdit {
    /// What it is called in full.
    pub name: Option<String>,
    /// Whether its jobs run.
    pub status: Option<TenantStatus>,
    /// Where its database is.
    pub database_url: Option<DatabaseUrl>,
    /// In which schema of it, if it is PostgreSQL, its tables are.
    pub schema: Option<String>,
    /// The most of its executions at once; the inner none means without limit.
    pub max_running: Option<Option<i32>>,
}

impl Control {
    /// Prepares to connect.
    ///
    /// # Errors
    /// Only a URL that cannot be read.
    pub fn new(url: &DatabaseUrl, connections: &Connections) -> Result<Control> {
        let db = Db::new(url, Schema::Control.search_path(None), connections)?;
        Ok(Control { db, clock: ServerClock::new(connections.clock().clone()) })
    }

    /// The database's time.
    pub async fn now(&self) -> Result<DbTime> {
        self.clock.now(&self.db).await
    }

    /// Refuses a schema that is older than this program, or too new for it.
    pub async fn check_schema(&self) -> Result<()> {
        schema::check(&self.db, Schema::Control).await
    }

    /// Every tenant, by slug.
    pub async fn list_tenants(&self) -> Result<Vec<Tenant>> {
        run_on_either!(&self.db, sql::LIST_TENANTS, |text, connection| {
            query_as(text).fetch_all(connection)
        })
    }

    /// Tenants by slug, a page of those after `after`.
    pub async fn page_tenants(&self, after: &str, limit: i64) -> Result<Vec<Tenant>> {
        run_on_either!(&self.db, sql::PAGE_TENANTS, |text, connection| {
            query_as(text).bind(after).bind(limit).fetch_all(connection)
        })
    }

    /// One tenant by its slug.
    pub async fn find_tenant(&self, slug: &str) -> Result<Option<Tenant>> {
        run_on_either!(&self.db, sql::FIND_TENANT, |text, connection| {
            query_as(text).bind(slug).fetch_optional(connection)
        })
    }

    /// Adds a tenant.
    ///
    /// # Errors
    /// [`Refused`](super::StoreError::Refused) when the slug is taken or malformed.
    pub async fn insert_tenant(&self, tenant: &Tenant) -> Result<()> {
        run_on_either!(&self.db, sql::INSERT_TENANT, |text, connection| async {
            query(text)
                .bind(tenant.id)
                .bind(&tenant.slug)
                .bind(&tenant.name)
                .bind(tenant.status)
                .bind(&tenant.database_url)
                .bind(tenant.max_running)
                .bind(tenant.created_at)
                .bind(&tenant.schema)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Changes a tenant. False: it isn't listed any more.
    pub async fn edit_tenant(&self, id: TenantId, edit: &TenantEdit, now: DbTime) -> Result<bool> {
        run_on_either!(&self.db, sql::EDIT_TENANT, |text, connection| async {
            let done = query(text)
                .bind(id)
                .bind(&edit.name)
                .bind(edit.status)
                .bind(&edit.database_url)
                .bind(edit.max_running.is_some())
                .bind(edit.max_running.flatten())
                .bind(now)
                .bind(&edit.schema)
                .execute(connection)
                .await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// Takes a tenant off the list. False: it wasn't on it.
    pub async fn delete_tenant(&self, id: TenantId) -> Result<bool> {
        run_on_either!(&self.db, sql::DELETE_TENANT, |text, connection| async {
            let done = query(text).bind(id).execute(connection).await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// A consumer process says that it lives, and what it offers.
    pub async fn register_worker(&self, worker: &Worker) -> Result<()> {
        let (queues, job_types) =
            (sqlx::types::Json(&worker.queues), sqlx::types::Json(&worker.job_types));
        run_on_either!(&self.db, sql::REGISTER_WORKER, |text, connection| async {
            query(text)
                .bind(&worker.name)
                .bind(&worker.host)
                .bind(worker.pid)
                .bind(&worker.version)
                .bind(queues)
                .bind(job_types)
                .bind(worker.slots)
                .bind(worker.running)
                .bind(worker.seen_at)
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// A consumer process says goodbye; those not seen since `forget_before` are forgotten, too.
    pub async fn unregister_worker(&self, name: &str, forget_before: DbTime) -> Result<()> {
        run_on_either!(&self.db, sql::UNREGISTER_WORKER, |text, connection| async {
            query(text).bind(name).bind(forget_before).execute(connection).await?;
            Ok(())
        })
    }

    /// The consumer processes heard of since `seen_since`.
    pub async fn list_workers(&self, seen_since: DbTime) -> Result<Vec<Worker>> {
        run_on_either!(&self.db, sql::LIST_WORKERS, |text, connection| {
            query_as(text).bind(seen_since).fetch_all(connection)
        })
    }
}
