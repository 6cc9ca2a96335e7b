//! Tells pages that something has changed, and nothing else: they fetch themselves again, and so
//! see what they may see. For as long as somebody looks at a tenant, its database is asked for a
//! few numbers every other second, however many look.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::{Extension, Router};
use chrono::TimeDelta;
use futures_util::stream;
use serde::Deserialize;
use shared::store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::AppState;
use crate::access::Visitor;
use crate::problem::Problem;

/// How often a tenant that somebody looks at is query.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How many pages may listen at once.
const LISTENERS_MAX: usize = 200;
/// How many executions are looked at for a change.
const RECENT: i64 = 30;

/// Who listens.
pub(crate) struct Events {
    places: Arc<Semaphore>,
    /// What changes with a tenant's tables, for each tenant that somebody looks at.
    tenants: Mutex<HashMap<String, watch::Receiver<u64>>>,
}

impl Default for Events {
    fn default() -> Events {
        Events { places: Arc::new(Semaphore::new(LISTENERS_MAX)), tenants: Mutex::default() }
    }
}

pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new().route("/events", get(events))
}

#[derive(Deserialize)]
struct EventsQuery {
    tenant: Option<String>,
}

async fn events(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    Query(EventsQuery { tenant }): Query<EventsQuery>,
) -> Result<impl IntoResponse, Problem> {
    let full = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many pages listen already");
    let place = state.events.places.clone().try_acquire_owned().map_err(|_| full())?;
    let changes = match tenant {
        None => state.fleet.rounds(),
        Some(slug) => {
            let entered = state.enter(&visitor, &slug).await?;
            state.events.of_tenant(&state, &slug, entered.store)
        }
    };
    let events = stream::unfold((changes, place), next_change);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

type Listening = (watch::Receiver<u64>, OwnedSemaphorePermit);

async fn next_change(
    (mut changes, place): Listening,
) -> Option<(Result<Event, Infallible>, Listening)> {
    changes.changed().await.ok()?;
    Some((Ok(Event::default().data("changed")), (changes, place)))
}

impl Events {
    /// Joins those who look at a tenant already, or begins to ask its database.
    fn of_tenant(
        &self,
        state: &Arc<AppState>,
        slug: &str,
        store: Arc<Store>,
    ) -> watch::Receiver<u64> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose asking has ended has nobody who sends.
        tenants.retain(|_, changes| changes.has_changed().is_ok());
        if let Some(changes) = tenants.get(slug) {
            let mut changes = changes.clone();
            changes.mark_unchanged();
            return changes;
        }
        let (sender, changes) = watch::channel(0);
        tenants.insert(slug.to_owned(), changes.clone());
        let clock = state.context.connections.clock().clone();
        tokio::spawn(async move {
            // One receiver is the table's own.
            while sender.receiver_count() > 1 {
                if let Some(mark) = mark(&store).await {
                    sender.send_if_modified(|before| std::mem::replace(before, mark) != mark);
                }
                clock.sleep(ASK_EVERY).await;
            }
        });
        changes
    }
}

/// Differs when what a tenant's pages show has most likely changed. None while its database
/// doesn't answer.
async fn mark(store: &Store) -> Option<u64> {
    let now = store.now().await.ok()?;
    let look = store.poll().await.ok()?;
    let recent = store.list_recent(now - TimeDelta::hours(1), RECENT).await.ok()?;
    let mut hasher = DefaultHasher::new();
    (look.dispatch_no, look.dispatched, look.running, look.waiting).hash(&mut hasher);
    (look.next_due_at, look.unarmed).hash(&mut hasher);
    for row in recent {
        (row.id, row.status, row.started_at).hash(&mut hasher);
    }
    Some(hasher.finish())
}
