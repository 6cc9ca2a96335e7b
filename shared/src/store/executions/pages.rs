//! Pages of the history. No statement here reads the whole history, whatever the filter is.

use sqlx::{FromRow, query_as, query_scalar};

use super::ExecutionFilter;
use crate::clock::Time;
use crate::execution::{Execution, Status, Trigger};
use crate::id::{ExecutionId, JobId};
use crate::store::db::run_on_either;
use crate::store::db_time::DbTime;
use crate::store::error::Result;
use crate::store::types::ClampedTime;
use crate::store::{Store, sql};

/// How many executions a filter by status examines per page.
const WINDOW: i64 = 2000;

/// A page of executions, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The executions on this page.
    pub executions: Vec<Execution>,
    /// The `before` of the next page; none at the end of the history. A page with few or no executions may
    /// have a next one, because a filter examines a limited number of executions per page.
    pub next: Option<ExecutionId>,
}

impl Page {
    /// A page of these rows. Only a full page has a next one.
    fn of_rows(executions: Vec<Execution>, limit: i64) -> Page {
        let is_full = executions.len() as i64 == limit;
        let next = executions.last().filter(|_| is_full).map(|last| last.id);
        Page { executions, next }
    }
}

/// An execution without the fields that may be long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Recent {
    /// Its id.
    pub id: ExecutionId,
    /// Its status.
    pub status: Status,
    /// Why the row was created.
    pub trigger: Trigger,
    /// Its occurrence.
    #[sqlx(try_from = "ClampedTime")]
    pub scheduled_for: Time,
    /// When a worker claimed it.
    #[sqlx(try_from = "ClampedTime")]
    pub started_at: Option<Time>,
    /// When it became final.
    #[sqlx(try_from = "ClampedTime")]
    pub finished_at: Option<Time>,
}

impl Store {
    /// One page of executions: of one job sorted by occurrence, otherwise by creation.
    pub async fn page_executions(&self, filter: &ExecutionFilter, limit: i64) -> Result<Page> {
        if let Some(name) = &filter.job {
            let Some(job) = self.find_job(name).await? else {
                return Ok(Page { executions: Vec::new(), next: None });
            };
            let runs = self.list_runs(job.id, filter.before, filter.status, limit).await?;
            let page = Page::of_rows(runs, limit);
            return match (page.next, filter.status) {
                (None, Some(_)) => {
                    Ok(Page { next: self.find_runs_end(job.id, filter.before).await?, ..page })
                }
                _ => Ok(page),
            };
        }
        let Some(status) = filter.status else {
            return Ok(Page::of_rows(self.list_executions(filter, limit).await?, limit));
        };
        let before = filter.before.unwrap_or(ExecutionId::LAST);
        let page = Page::of_rows(self.list_window(before, status, limit).await?, limit);
        match page.next {
            Some(_) => Ok(page),
            None => Ok(Page { next: self.find_window_end(before).await?, ..page }),
        }
    }

    /// The executions of one job, latest occurrence first. A filter by status examines the latest 2,000.
    pub async fn list_runs(
        &self,
        job: JobId,
        before: Option<ExecutionId>,
        status: Option<Status>,
        limit: i64,
    ) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::LIST_RUNS, |text, connection| {
            query_as(text)
                .bind(job)
                .bind(before)
                .bind(status)
                .bind(if status.is_some() { WINDOW } else { limit })
                .bind(limit)
                .fetch_all(connection)
        })
    }

    /// The newest executions that were created at or after `since`.
    pub async fn list_recent(&self, since: DbTime, limit: i64) -> Result<Vec<Recent>> {
        run_on_either!(self.db.proved().await?, sql::LIST_RECENT, |text, connection| {
            query_as(text)
                .bind(ExecutionId::least_at(since.time()))
                .bind(limit)
                .fetch_all(connection)
        })
    }

    async fn list_window(
        &self,
        before: ExecutionId,
        status: Status,
        limit: i64,
    ) -> Result<Vec<Execution>> {
        run_on_either!(self.db.proved().await?, sql::LIST_WINDOW, |text, connection| {
            query_as(text).bind(before).bind(status).bind(WINDOW).bind(limit).fetch_all(connection)
        })
    }

    /// The last of the job's executions that this page has examined, which is the next page's `before`.
    async fn find_runs_end(
        &self,
        job: JobId,
        before: Option<ExecutionId>,
    ) -> Result<Option<ExecutionId>> {
        run_on_either!(self.db.proved().await?, sql::FIND_RUNS_END, |text, connection| {
            query_scalar(text).bind(job).bind(before).bind(WINDOW - 1).fetch_optional(connection)
        })
    }

    /// The last of all executions that this page has examined, which is the next page's `before`.
    async fn find_window_end(&self, before: ExecutionId) -> Result<Option<ExecutionId>> {
        run_on_either!(self.db.proved().await?, sql::FIND_WINDOW_END, |text, connection| {
            query_scalar(text).bind(before).bind(WINDOW - 1).fetch_optional(connection)
        })
    }
}
