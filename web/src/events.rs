//! Server-sent events that say only that something has changed: pages then fetch themselves again,
//! with the access checks of every request. While a tenant's pages are open, its database is polled
//! every other second, however many they are.

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

/// How often a tenant with open pages is polled.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// The most pages that may listen at once.
const LISTENERS_MAX: usize = 200;
/// How many executions are read to detect a change.
const RECENT: i64 = 30;

/// The pages that listen.
pub(crate) struct Events {
    places: Arc<Semaphore>,
    /// A fingerprint of each tenant with open pages.
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
    /// Subscribes to a tenant's changes; polls its database from the first subscriber on.
    fn of_tenant(
        &self,
        state: &Arc<AppState>,
        slug: &str,
        store: Arc<Store>,
    ) -> watch::Receiver<u64> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        // A receiver whose poll has ended has no sender.
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
            // The map holds one receiver itself.
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

/// A fingerprint of what a tenant's pages show. None while its database doesn't answer.
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
