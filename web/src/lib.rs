//! The dashboard and the API, over the same operations as the commands: [`Server`].
//!
//! `guard` checks every request first: where it comes from, who makes it and what they may do. Then
//! `api` answers in JSON, or a file of `screen` with a page. What concerns one tenant is read from
//! its database at that moment, a page at a time; what concerns all comes from the `fleet` cache.

mod access;
mod api;
mod asset;
mod document;
mod events;
mod fleet;
mod form;
#[cfg(test)]
mod fuzz;
mod guard;
mod html;
mod html_error;
mod in_flight;
mod overview;
mod page;
mod problem;
pub mod revoke;
mod screen;
mod secret;
pub mod user;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::config::Config;
use shared::http::{Limits, serve_until};
use shared::metrics::Metrics;
use shared::shutdown::Shutdown;
use shared::store::{DbTime, Worker};
use tokio::net::TcpListener;
use tokio::time::timeout;

use access::{Access, Visitor};
use fleet::FleetCache;
use html_error::HtmlError;
use in_flight::InFlight;
use operations::change::Actor;
use operations::context::{Context, TenantContext, unknown_tenant};
use operations::failure::Failure;
use operations::finding::SEEN_WITHIN;
use problem::Problem;

/// The most queues whose depth is asked for, and how long the broker may take for each.
const QUEUES_MAX: usize = 50;
const DEPTH_LIMIT: Duration = Duration::from_secs(1);
/// How often the file of users is checked for changes.
const USERS_EVERY: Duration = Duration::from_secs(2);
/// How long open connections may take to close at a shutdown.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What every handler works with.
pub(crate) struct AppState {
    context: Context,
    access: Access,
    fleet: FleetCache,
    events: events::Events,
    in_flight: InFlight,
    metrics: Metrics,
}

/// The dashboard and the API at their address, before they serve.
pub struct Server {
    state: Arc<AppState>,
    listener: TcpListener,
}

impl Server {
    /// Binds the address that the settings name. Refused sign-ins and panics count in `metrics`.
    ///
    /// # Errors
    /// When it cannot be bound, or others could reach it without signing in.
    pub async fn bind(context: Context, metrics: Metrics) -> Result<Server, Failure> {
        let Config { listen, .. } = &context.config;
        let (clock, random) = (context.connections.clock().clone(), context.random.clone());
        let access = Access::new(&context.config, clock.clone(), random, metrics.clone())?;
        if access.is_open() && !listen.ip().is_loopback() {
            return Err(Failure::Usage(format!(
                "POLYCHRON_LISTEN is `{listen}`, which others can reach, and nobody would be asked \
                 who they are: name a file of users by POLYCHRON_USERS (`polychron user new` writes \
                 its entries), or listen on 127.0.0.1"
            )));
        }
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Failure::Failed(format!(
                "POLYCHRON_LISTEN is `{listen}`, which cannot be listened on: {error}; name \
                 another address by --listen"
            ))
        })?;
        let (fleet, events) = (FleetCache::new(clock), events::Events::default());
        let in_flight = InFlight::default();
        let state = Arc::new(AppState { context, access, fleet, events, in_flight, metrics });
        Ok(Server { state, listener })
    }

    /// Its address, as a URL.
    pub fn url(&self) -> String {
        let address = self.listener.local_addr().ok();
        address.map(|address| format!("http://{address}/")).unwrap_or_default()
    }

    /// Serves until asked to stop.
    pub async fn run(self, shutdown: &Shutdown) {
        let Server { state, listener } = self;
        let clock = state.context.connections.clock();
        let routes = router(state.clone());
        let serving = serve_until(listener, routes, Limits::default(), shutdown.drain.clone());
        let patience = async {
            shutdown.drain.cancelled().await;
            clock.sleep(CLOSE_LIMIT).await;
        };
        tokio::select! {
            () = serving => {}
            () = state.fleet.refresh(&state.context) => {}
            () = state.keep_users() => {}
            () = patience => {}
        }
    }
}

fn router(state: Arc<AppState>) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(screen::routes())
        .merge(asset::routes())
        .merge(events::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        // The guard limits bodies already.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

async fn not_found(uri: Uri) -> Response {
    error_response(&uri, Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
}

async fn method_not_allowed(uri: Uri) -> Response {
    error_response(&uri, Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"))
}

/// A problem as JSON for programs, as a page for people.
fn error_response(uri: &Uri, problem: Problem) -> Response {
    match uri.path().starts_with("/api/") {
        true => problem.into_response(),
        false => HtmlError(problem).into_response(),
    }
}

impl AppState {
    /// Follows the file of users and the installation's time zone rules.
    async fn keep_users(&self) {
        loop {
            self.context.connections.clock().sleep(USERS_EVERY).await;
            self.access.refresh();
            self.context.follow_zone_rules().await;
        }
    }

    /// A tenant that the visitor may see.
    async fn enter(&self, visitor: &Visitor, slug: &str) -> Result<TenantContext, Problem> {
        self.check_may_see(visitor, slug)?;
        Ok(self.context.enter(slug).await?)
    }

    /// The same, and the actor of a change there.
    async fn enter_to_change(
        &self,
        visitor: &Visitor,
        slug: &str,
        reason: Option<&str>,
    ) -> Result<(TenantContext, Actor), Problem> {
        let at = self.enter(visitor, slug).await?;
        Ok((at, self.actor(visitor, reason)?))
    }

    /// Fails for a tenant that the visitor may not see in the same way as for one that does not exist.
    fn check_may_see(&self, visitor: &Visitor, slug: &str) -> Result<(), Problem> {
        match visitor.may_see(slug) {
            true => Ok(()),
            false => Err(Problem::new(StatusCode::NOT_FOUND, unknown_tenant(slug))),
        }
    }

    /// The actor of a change.
    fn actor(&self, visitor: &Visitor, reason: Option<&str>) -> Result<Actor, Problem> {
        Ok(Actor::new(visitor.actor(), reason)?.with_limit(!visitor.sees_all()))
    }

    /// The control database's time.
    async fn now(&self) -> Result<DbTime, Problem> {
        Ok(self.context.control.now().await.map_err(Failure::control)?)
    }

    /// The consumers that are alive at `now`.
    async fn workers(&self, now: DbTime) -> Result<Vec<Worker>, Problem> {
        let workers = self.context.control.list_workers(now - SEEN_WITHIN).await;
        Ok(workers.map_err(Failure::control)?)
    }
}

/// A queue and its depth.
#[derive(Debug, Serialize)]
pub(crate) struct QueueDepth {
    queue: String,
    /// Messages not delivered yet; none while the broker does not answer.
    ready: Option<u32>,
    /// Its consumers, as the broker counts them.
    consumers: Option<u32>,
    /// Slots of its live consumers, as they report them.
    slots: i32,
}

impl AppState {
    /// How many messages no consumer could parse; none while the broker does not answer.
    async fn dead_messages(&self) -> Option<u32> {
        let depth = self.context.publisher()?.dead_depth();
        timeout(DEPTH_LIMIT, depth).await.ok().flatten()
    }

    /// The queues of the settings and of the live consumers.
    async fn queues(&self, workers: &[Worker]) -> Vec<QueueDepth> {
        let mut names: BTreeSet<&String> = self.context.config.queues.iter().collect();
        names.extend(workers.iter().flat_map(|worker| &worker.queues));
        let mut queues = Vec::new();
        for name in names.into_iter().take(QUEUES_MAX) {
            let depth = match self.context.publisher() {
                Some(publisher) => timeout(DEPTH_LIMIT, publisher.depth(name)).await.ok().flatten(),
                None => None,
            };
            let takers = workers.iter().filter(|worker| worker.queues.contains(name));
            queues.push(QueueDepth {
                queue: name.clone(),
                ready: depth.map(|depth| depth.ready),
                consumers: depth.map(|depth| depth.consumers),
                slots: takers.map(|worker| worker.slots).sum(),
            });
        }
        queues
    }
}
