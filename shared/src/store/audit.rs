//! Who changed what, and why: the control database's record of what people did.

use serde::Serialize;
use serde_json::Value;
use sqlx::{query, query_as, query_scalar};

use super::db::run_on_either;
use super::db_time::DbTime;
use super::error::Result;
use super::{Control, sql};
use crate::clock::Time;

/// What somebody is about to change. Holds no payload and no URL with its password: what a
/// tenant's jobs are given stays in the tenant's own database.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Who, such as `cli:ann`.
    pub actor: String,
    /// What they do, such as `job.pause`.
    pub action: String,
    /// At which tenant.
    pub tenant: Option<String>,
    /// To what there: a job's name, an execution's id.
    pub target: Option<String>,
    /// What it was like.
    pub before: Option<Value>,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// A row of `audit`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Counts up.
    pub id: i64,
    /// When, by the control database's clock.
    pub at: Time,
    /// Who.
    pub actor: String,
    /// What they did.
    pub action: String,
    /// At which tenant.
    pub tenant: Option<String>,
    /// To what there.
    pub target: Option<String>,
    /// What it was like.
    pub before: Option<Value>,
    /// What it was like afterwards; none when the change was refused or did not come about.
    pub after: Option<Value>,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// Which changes to list; what is none does not filter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only older ones than this, for the next page.
    pub before: Option<i64>,
    /// Only those at this tenant.
    pub tenant: Option<String>,
    /// Only those to this job or execution.
    pub target: Option<String>,
}

impl Control {
    /// Records a change that is about to be made, for [`Control::complete_audit`].
    pub async fn insert_audit(&self, change: &Change, now: DbTime) -> Result<i64> {
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

    /// Records what came of a change.
    pub async fn complete_audit(&self, id: i64, after: &Value) -> Result<()> {
        run_on_either!(&self.db, sql::COMPLETE_AUDIT, |text, connection| async {
            query(text).bind(id).bind(after).execute(connection).await?;
            Ok(())
        })
    }

    /// Changes, newest first.
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

    /// Takes entries written before `before` out of the record of changes, looking at the oldest
    /// `limit`; the answer is how many.
    pub async fn prune_audit(&self, before: DbTime, limit: i64) -> Result<u64> {
        run_on_either!(&self.db, sql::PRUNE_AUDIT, |text, connection| async {
            let done = query(text).bind(before).bind(limit).execute(connection).await?;
            Ok(done.rows_affected())
        })
    }
}
