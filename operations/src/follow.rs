//! Follows executions as they are created and change, by reading their rows repeatedly.

use std::collections::HashMap;
use std::sync::Arc;

use shared::execution::{Execution, Status};
use shared::id::ExecutionId;
use shared::store::{ExecutionFilter, Result, Store};

/// The most rows that are read at once.
const PAGE: i64 = 200;

/// Follows one tenant's executions.
pub struct Follower {
    store: Arc<Store>,
    /// The newest row that was seen.
    newest: Option<ExecutionId>,
    /// Rows that were not final when they were last seen.
    open: HashMap<ExecutionId, Status>,
}

impl Follower {
    /// Follows executions newer than `newest`; all if none.
    pub fn new(store: Arc<Store>, newest: Option<ExecutionId>) -> Follower {
        Follower { store, newest, open: HashMap::new() }
    }

    /// Follows executions newer than `rows`, which start with the newest, and the open ones of `rows`.
    pub fn after(store: Arc<Store>, rows: &[Execution]) -> Follower {
        let open = rows.iter().filter(|row| !row.status.is_final());
        let open = open.map(|row| (row.id, row.status)).collect();
        let newest = rows.first().map(|row| row.id).or(Some(ExecutionId::FIRST));
        Follower { store, newest, open }
    }

    /// The rows that are new or have changed status, oldest first.
    pub async fn read_changes(&mut self) -> Result<Vec<Execution>> {
        let mut changed = Vec::new();
        let known: Vec<(ExecutionId, Status)> =
            self.open.iter().map(|(id, status)| (*id, *status)).collect();
        for (id, before) in known {
            // A row that was pruned or deleted meanwhile is dropped.
            match self.store.find_execution(id).await? {
                Some(row) if row.status != before => changed.push(row),
                Some(_) => {}
                None => drop(self.open.remove(&id)),
            }
        }
        changed.extend(self.newer().await?);
        for row in &changed {
            if row.status.is_final() {
                self.open.remove(&row.id);
            } else {
                self.open.insert(row.id, row.status);
            }
        }
        changed
            .sort_by_key(|row| (row.finished_at.or(row.started_at).or(row.dispatched_at), row.id));
        Ok(changed)
    }

    async fn newer(&mut self) -> Result<Vec<Execution>> {
        let mut newer = Vec::new();
        let mut filter = ExecutionFilter::default();
        loop {
            let page = self.store.list_executions(&filter, PAGE).await?;
            let full = page.len() as i64 == PAGE;
            filter.before = page.last().map(|row| row.id);
            let known = self.newest;
            let count = page.len();
            newer.extend(page.into_iter().filter(|row| known.is_none_or(|known| row.id > known)));
            let reached =
                filter.before.is_some_and(|oldest| known.is_some_and(|known| oldest <= known));
            if count == 0 || !full || reached {
                break;
            }
        }
        self.newest = newer.first().map(|row| row.id).or(self.newest);
        Ok(newer)
    }
}
