//! Whose database it is. A tenant's database holds the tenant's id, so that a wrong URL or a copy is
//! noticed before anything runs twice.

use tokio::sync::OnceCell;

use super::db::{Db, run_on_either};
use super::error::{Result, StoreError};
use super::schema::{self, Schema};
use super::{Store, sql};
use crate::id::TenantId;

/// A database that is only handed out once it has proved to be the tenant's, with the schema we know.
/// Every statement of a [`Store`] gets it here, so none can forget the check.
pub(super) struct TenantDb {
    tenant: TenantId,
    db: Db,
    proved: OnceCell<()>,
}

impl TenantDb {
    pub(super) fn new(tenant: TenantId, db: Db) -> TenantDb {
        TenantDb { tenant, db, proved: OnceCell::new() }
    }

    /// Whose it should be.
    pub(super) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The database, once proved.
    pub(super) async fn proved(&self) -> Result<&Db> {
        if !self.proved.initialized() {
            // Boxed, since every statement's future would have to hold it.
            Box::pin(self.proved.get_or_try_init(|| self.prove())).await?;
        }
        Ok(&self.db)
    }

    async fn prove(&self) -> Result<()> {
        schema::check(&self.db, Schema::Tenant).await?;
        match owner(&self.db).await? {
            Some(owner) if owner == self.tenant => Ok(()),
            Some(owner) => Err(StoreError::Owned(owner)),
            None => Err(StoreError::Unclaimed),
        }
    }

    /// The database, whoever's it is: for what makes it the tenant's, and what reads or writes no row.
    pub(super) fn unproved(&self) -> &Db {
        &self.db
    }
}

async fn owner(db: &Db) -> Result<Option<TenantId>> {
    run_on_either!(db, sql::READ_IDENTITY, |text, connection| {
        sqlx::query_scalar(text).fetch_optional(connection)
    })
}

impl Store {
    /// The tenant whose id the database holds.
    pub async fn owner(&self) -> Result<Option<TenantId>> {
        owner(self.db.unproved()).await
    }

    /// Writes this tenant's id into its database. Another tenant's id is replaced only when `adopt` is
    /// set. False: another tenant's id is there.
    pub async fn claim_database(&self, adopt: bool) -> Result<bool> {
        let db = self.db.unproved();
        let done = run_on_either!(db, sql::CLAIM_DATABASE, |text, connection| async {
            let claiming = sqlx::query(text).bind(self.db.tenant()).bind(adopt);
            Ok(claiming.execute(connection).await?.rows_affected())
        })?;
        Ok(done > 0)
    }

    /// Removes this tenant's id from its database. False: it wasn't there.
    pub async fn release_database(&self) -> Result<bool> {
        let db = self.db.unproved();
        let done = run_on_either!(db, sql::RELEASE_DATABASE, |text, connection| async {
            let releasing = sqlx::query(text).bind(self.db.tenant());
            Ok(releasing.execute(connection).await?.rows_affected())
        })?;
        Ok(done > 0)
    }
}
