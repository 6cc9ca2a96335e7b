//! Checks whose database it is. A tenant's database contains the tenant's id, so a wrong URL or a copy of a
//! database is detected before any job runs twice.

use tokio::sync::OnceCell;

use super::db::{Db, run_on_either};
use super::error::{Result, StoreError};
use super::guarded::Guarded;
use super::schema::{self, Schema};
use super::{Store, sql};
use crate::id::TenantId;

/// A database that can be used only after a check that it is the tenant's and has a schema that we know.
/// Every statement of a [`Store`] gets the database here, so none can omit the check.
pub(super) struct TenantDb {
    tenant: TenantId,
    db: Db,
    proved: OnceCell<()>,
}

impl TenantDb {
    pub(super) fn new(tenant: TenantId, db: Db) -> TenantDb {
        TenantDb { tenant, db, proved: OnceCell::new() }
    }

    /// The tenant that should own it.
    pub(super) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The database, after the check.
    pub(super) async fn proved(&self) -> Result<&Db> {
        if !self.proved.initialized() {
            // Boxed, because it would enlarge every statement's future.
            Box::pin(self.proved.get_or_try_init(|| self.prove())).await?;
        }
        Ok(&self.db)
    }

    async fn prove(&self) -> Result<()> {
        schema::check(&self.db, Schema::Tenant).await?;
        match owner(&self.db).await? {
            Some(owner) if owner == self.tenant => Ok(()),
            Some(owner) => Err(StoreError::Owned(owner)),
            None => Err(StoreError::Unowned),
        }
    }

    /// The database without the check: for changes of its owner, and for statements on no rows.
    pub(super) fn unproved(&self) -> &Db {
        &self.db
    }
}

async fn owner(db: &Db) -> Result<Option<TenantId>> {
    run_on_either!(db, sql::READ_OWNER, |text, connection| {
        sqlx::query_scalar(text).fetch_optional(connection)
    })
}

impl Store {
    /// The tenant whose id the database contains.
    pub async fn owner(&self) -> Result<Option<TenantId>> {
        owner(self.db.unproved()).await
    }

    /// Writes this tenant's id into its database, unless the database has another tenant's id.
    pub async fn set_owner(&self) -> Result<Guarded> {
        self.write_owner(false).await
    }

    /// Writes this tenant's id into its database, in place of any other tenant's.
    pub async fn replace_owner(&self) -> Result<()> {
        self.write_owner(true).await.map(|_| ())
    }

    async fn write_owner(&self, replaces_another: bool) -> Result<Guarded> {
        let db = self.db.unproved();
        run_on_either!(db, sql::SET_OWNER, |text, connection| async {
            let claiming = sqlx::query(text).bind(self.db.tenant()).bind(replaces_another);
            Ok(Guarded::of(claiming.execute(connection).await?.rows_affected()))
        })
    }

    /// Removes this tenant's id from its database, if the database has it.
    pub async fn remove_owner(&self) -> Result<Guarded> {
        let db = self.db.unproved();
        run_on_either!(db, sql::REMOVE_OWNER, |text, connection| async {
            let releasing = sqlx::query(text).bind(self.db.tenant());
            Ok(Guarded::of(releasing.execute(connection).await?.rows_affected()))
        })
    }
}
