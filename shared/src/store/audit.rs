//! The audit: who changed what, and why, in the control database.

use serde::Serialize;
use serde_json::Value;
use sqlx::{query, query_as, query_scalar};

use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::lagging_ids::raised;
use super::{Control, sql};
use crate::clock::Time;

/// A planned change. It contains no URL with a password and no payload, because payloads stay in the
/// tenant's own database.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Who makes it, such as `cli:ann`.
    pub actor: String,
    /// The action, such as `job.pause`.
    pub action: String,
    /// The slug of the tenant that it affects.
    pub tenant: Option<String>,
    /// What it changes in the tenant: a job's name or an execution's id.
    pub target: Option<String>,
    /// The state before the change.
    pub before: Option<Value>,
    /// The reason that the actor gives.
    pub reason: Option<String>,
}

/// A row of `audit`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Its number, in ascending order.
    pub id: i64,
    /// When the change was made, by the control database's clock.
    pub at: Time,
    /// Who made it.
    pub actor: String,
    /// The action.
    pub action: String,
    /// The slug of the tenant that it affected.
    pub tenant: Option<String>,
    /// What it changed in the tenant.
    pub target: Option<String>,
    /// The state before the change.
    pub before: Option<Value>,
    /// The state after the change; none if the change was refused or failed.
    pub after: Option<Value>,
    /// The reason that the actor gave.
    pub reason: Option<String>,
}

/// Which changes to list. A field that is `None` does not filter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only changes with a smaller id, for the next page.
    pub before: Option<i64>,
    /// Only changes that affected this tenant.
    pub tenant: Option<String>,
    /// Only changes to this job or execution.
    pub target: Option<String>,
}

impl Control {
    /// Records a planned change. Returns its id, for [`Control::complete_audit`].
    pub async fn insert_audit(&self, change: &Change, now: DbTime) -> Result<i64> {
        let inserted = self.try_insert_audit(change, now).await;
        match raised(&self.db, sql::RAISE_AUDIT_IDS, inserted.as_ref().err()).await {
            true => self.try_insert_audit(change, now).await,
            false => inserted,
        }
    }

    async fn try_insert_audit(&self, change: &Change, now: DbTime) -> Result<i64> {
        run_on_either!(&self.db, sql::INSERT_AUDIT, |text, connection| {
            query_scalar(text)
                .bind(now)
                .bind(&change.actor)
                .bind(&change.action)
                .bind(&change.tenant)
                .bind(&change.target)
                .bind(&change.before)
                .bind(&change.reason)
                .fetch_one(connection)
        })
    }

    /// Records the state after a change.
    pub async fn complete_audit(&self, id: i64, after: &Value) -> Result<()> {
        run_on_either!(&self.db, sql::COMPLETE_AUDIT, |text, connection| async {
            query(text).bind(id).bind(after).execute(connection).await?;
            Ok(())
        })
    }

    /// The changes that `filter` selects, newest first.
    pub async fn list_audit(&self, filter: &AuditFilter, limit: i64) -> Result<Vec<Audit>> {
        run_on_either!(&self.db, sql::LIST_AUDIT, |text, connection| {
            query_as(text)
                .bind(filter.before)
                .bind(&filter.tenant)
                .bind(&filter.target)
                .bind(limit)
                .fetch_all(connection)
        })
    }

    /// Deletes those of the oldest `limit` rows that were written before `before`; returns their number.
    pub async fn prune_audit(&self, before: DbTime, limit: i64) -> Result<u64> {
        run_on_either!(&self.db, sql::PRUNE_AUDIT, |text, connection| async {
            let done = query(text).bind(before).bind(limit).execute(connection).await?;
            Ok(done.rows_affected())
        })
    }
}
