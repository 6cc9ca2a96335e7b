//! The tenants that the control database lists.

use std::io;

use sqlx::{
    ColumnIndex, Connection as _, Decode, FromRow, Row, SqliteConnection, Type, ValueRef as _,
    query, query_as,
};

use super::control::Control;
use super::db::{Options, run_on_either};
use super::db_time::DbTime;
use super::error::{Result, StoreError};
use super::guarded::Guarded;
use super::session::{Open as _, Planning};
use super::sql;
use crate::database_url::DatabaseUrl;
use crate::id::TenantId;
use crate::tenant::{Tenant, TenantStatus};

/// An edit of a tenant. A field that is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct TenantEdit {
    /// Its full name.
    pub name: Option<String>,
    /// Whether its jobs run.
    pub status: Option<TenantStatus>,
    /// The URL of its database.
    pub database_url: Option<DatabaseUrl>,
    /// The PostgreSQL schema that contains its tables.
    pub schema: Option<String>,
    /// The maximum number of concurrent executions; an inner `None` means unlimited.
    pub max_running: Option<Option<i32>>,
    /// Whether to refuse the edit if it would resume the tenant or raise its limit. The statement itself
    /// compares, so that a concurrent edit of the limit is respected.
    pub only_tighten: bool,
}

/// A row of the list of tenants.
struct Listed {
    /// The number of tenants in the list.
    tenants: i64,
    /// A tenant; none if the list is empty.
    tenant: Option<Tenant>,
}

impl<'r, R: Row> FromRow<'r, R> for Listed
where
    Tenant: FromRow<'r, R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Listed> {
        let is_empty = row.try_get_raw("id")?.is_null();
        let tenant = if is_empty { None } else { Some(Tenant::from_row(row)?) };
        Ok(Listed { tenants: row.try_get("tenants")?, tenant })
    }
}

/// The tenants of a complete list. Callers treat missing tenants as removed, so a truncated list must be an
/// error: sqlx reports the death of an SQLite thread as the end of the rows.
fn complete(rows: Vec<Listed>) -> Result<Vec<Tenant>> {
    let expected = rows.first().map(|row| row.tenants);
    let tenants: Vec<Tenant> = rows.into_iter().filter_map(|row| row.tenant).collect();
    if expected == Some(tenants.len() as i64) {
        return Ok(tenants);
    }
    let early = io::Error::new(io::ErrorKind::UnexpectedEof, "the list of tenants ended early");
    Err(StoreError::Unreachable(early.into()))
}

/// Every tenant that an SQLite control database lists. Its connection is closed afterwards, so that
/// the file can be deleted.
///
/// # Errors
/// If the file is missing or cannot be read.
pub async fn list_tenants_of_file(url: &DatabaseUrl) -> Result<Vec<Tenant>> {
    let Options::Sqlite(options) = Options::of(url)? else { return Ok(Vec::new()) };
    let mut connection = SqliteConnection::open(&options, Planning::Free, None).await?;
    let tenants = query_as(sql::LIST_TENANTS.sqlite).fetch_all(&mut connection).await;
    connection.close().await?;
    complete(tenants?)
}

impl Control {
    /// Every tenant, by slug.
    pub async fn list_tenants(&self) -> Result<Vec<Tenant>> {
        let rows = run_on_either!(&self.db, sql::LIST_TENANTS, |text, connection| {
            query_as(text).fetch_all(connection)
        })?;
        complete(rows)
    }

    /// A page of tenants, sorted by slug, that begins after the slug `after`.
    pub async fn page_tenants(&self, after: &str, limit: i64) -> Result<Vec<Tenant>> {
        run_on_either!(&self.db, sql::PAGE_TENANTS, |text, connection| {
            query_as(text).bind(after).bind(limit).fetch_all(connection)
        })
    }

    /// The tenant with this slug.
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

    /// Changes a tenant, if it is still listed.
    pub async fn edit_tenant(
        &self,
        id: TenantId,
        edit: &TenantEdit,
        now: DbTime,
    ) -> Result<Guarded> {
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
                .bind(edit.only_tighten)
                .execute(connection)
                .await?;
            Ok(Guarded::of(done.rows_affected()))
        })
    }

    /// Removes a tenant from the list, if it is listed.
    pub async fn delete_tenant(&self, id: TenantId) -> Result<Guarded> {
        run_on_either!(&self.db, sql::DELETE_TENANT, |text, connection| async {
            let done = query(text).bind(id).execute(connection).await?;
            Ok(Guarded::of(done.rows_affected()))
        })
    }
}
