//! Server-sent events that say only that something has changed: pages then fetch themselves again,
//! with the access checks of every request. While a tenant's pages are open, its database is polled
//! every other second, however many they are.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::{Extension, Router};
use chrono::TimeDelta;
use futures_util::stream;
use serde::Deserialize;
use shared::clock::BootTime;
use shared::store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::AppState;
use crate::access::Visitor;
use crate::problem::Problem;

/// How often a tenant with open pages is polled.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// The address of the stream.
pub(crate) const EVENTS: &str = "/events";
/// The most pages that may listen at once.
const LISTENERS_MAX: usize = 200;
/// The most of them of one user, so that none keeps the others from listening.
const LISTENERS_EACH_MAX: usize = 16;
/// How long one stream lasts. The browser asks for another, with the access checks of a request.
const STREAM_LIMIT: Duration = Duration::from_secs(300);
/// How many executions are read to detect a change.
const RECENT: i64 = 30;

/// The pages that listen.
pub(crate) struct Events {
    places: Arc<Semaphore>,
    /// How many pages of each user listen.
    users: Arc<Mutex<HashMap<String, usize>>>,
    /// A fingerprint of each tenant with open pages.
    tenants: Mutex<HashMap<String, watch::Receiver<u64>>>,
}

impl Default for Events {
    fn default() -> Events {
        let places = Arc::new(Semaphore::new(LISTENERS_MAX));
        Events { places, users: Arc::default(), tenants: Mutex::default() }
    }
}

pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new().route(EVENTS, get(events))
}

#[derive(Deserialize)]
struct EventsQuery {
    tenant: Option<String>,
}

async fn events(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Query(EventsQuery { tenant }): Query<EventsQuery>,
) -> Result<impl IntoResponse, Problem> {
    let place = state.events.enter(visitor.user())?;
    let changes = match tenant {
        None => state.fleet.walks(),
        Some(slug) => {
            let at = state.enter(&visitor, &slug).await?;
            state.events.of_tenant(&state, &slug, at.store)
        }
    };
    let until = state.context.connections.clock().boot_time() + STREAM_LIMIT;
    let listening = Listening { state, headers, changes, until, _place: place };
    let events = stream::unfold(listening, Listening::next_change);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// A page that listens.
struct Listening {
    state: Arc<AppState>,
    /// They identify the visitor.
    headers: HeaderMap,
    changes: watch::Receiver<u64>,
    until: BootTime,
    _place: ListenerPlace,
}

impl Listening {
    /// None ends the stream: its time is over, or the visitor's session or token has ended.
    async fn next_change(mut self) -> Option<(Result<Event, Infallible>, Listening)> {
        let clock = self.state.context.connections.clock().clone();
        let left = self.until - clock.boot_time();
        tokio::select! {
            changed = self.changes.changed() => changed.ok()?,
            () = clock.sleep(left) => return None,
        }
        self.state.access.visitor(&self.headers)?;
        Some((Ok(Event::default().data("changed")), self))
    }
}

/// A place among those that listen. Dropping it gives the place back.
struct ListenerPlace {
    _place: OwnedSemaphorePermit,
    user: String,
    users: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for ListenerPlace {
    fn drop(&mut self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
            }
        }
    }
}

impl Events {
    /// Takes a place for a page of a user.
    fn enter(&self, user: &str) -> Result<ListenerPlace, Problem> {
        let refused = |status, text: &str| Err(Problem::new(status, text));
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = users.get(user).copied().unwrap_or_default();
        if theirs >= LISTENERS_EACH_MAX {
            let text = "too many pages of yours listen already; close some";
            return refused(StatusCode::TOO_MANY_REQUESTS, text);
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "too many pages listen already");
        };
        users.insert(user.to_owned(), theirs + 1);
        Ok(ListenerPlace { _place: place, user: user.to_owned(), users: self.users.clone() })
    }

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
                if let Some(now) = fingerprint(&store).await {
                    sender.send_if_modified(|before| std::mem::replace(before, now) != now);
                }
                clock.sleep(ASK_EVERY).await;
            }
        });
        changes
    }
}

/// A fingerprint of what a tenant's pages show. None while its database doesn't answer.
async fn fingerprint(store: &Store) -> Option<u64> {
    let now = store.now().await.ok()?;
    let summary = store.poll().await.ok()?;
    let recent = store.list_recent(now - TimeDelta::hours(1), RECENT).await.ok()?;
    let mut hasher = DefaultHasher::new();
    (summary.dispatch_no, summary.dispatched, summary.running, summary.waiting).hash(&mut hasher);
    (summary.next_due_at, summary.has_unarmed).hash(&mut hasher);
    for row in recent {
        (row.id, row.status, row.started_at).hash(&mut hasher);
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_does_not_take_all_places() {
        let events = Events::default();
        let mut taken: Vec<_> =
            (0..LISTENERS_EACH_MAX).map(|_| events.enter("vic").unwrap()).collect();
        let refused = events.enter("vic").err().unwrap();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(events.enter("root").is_ok());
        taken.pop();
        taken.push(events.enter("vic").unwrap());
        drop(taken);
        assert!(events.users.lock().unwrap().is_empty(), "nothing is kept of who has gone");
    }
}
