//! Whether this process can do its work. It probes the broker and the control database periodically
//! and reports the health of the tenants' databases.
//!
//! A process is not ready only if it can do no work at all. If single tenants' databases are
//! unavailable, it is degraded: taking it out of service would only harm the other tenants.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{BootTime, Clock};
use crate::handler_status::{HandlerState, HandlerStatus};
use crate::liveness::Watchdog;
use crate::metrics::Metrics;
use crate::outcome::clean;
use crate::queue::{BrokerState, Publisher};
use crate::store::chain;
use crate::tenants::Tenants;

/// The interval of the probes.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// The timeout of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// A service that has not answered for this long is lost. One late answer does not suffice.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// The maximum number of unhealthy tenants that are listed.
const LISTED_MAX: usize = 20;
/// The longest reason that is shown, in bytes.
const REASON_BYTES_MAX: usize = 300;

/// The results of the probes. Clones share them.
#[derive(Clone)]
pub struct Readiness(Arc<Inner>);

struct Inner {
    clock: Clock,
    results: Mutex<Results>,
    handlers: OnceLock<Box<dyn Fn() -> Vec<HandlerStatus> + Send + Sync>>,
}

#[derive(Default)]
struct Results {
    broker: ProbeResult,
    control: ProbeResult,
    watched: Option<Watched>,
}

/// The result of probing one service.
#[derive(Clone, Debug, Default)]
struct ProbeResult {
    /// When it last answered.
    at: Option<BootTime>,
    /// Why the last probe failed; none if it succeeded.
    reason: Option<String>,
}

/// The other inputs of a report.
#[derive(Clone)]
struct Watched {
    tenants: Arc<Tenants>,
    publishing: watch::Receiver<BrokerState>,
    receiving: Option<watch::Receiver<BrokerState>>,
    drain: CancellationToken,
}

/// What a process probes.
pub struct Probes {
    /// The tenants; their control database is probed.
    pub tenants: Arc<Tenants>,
    /// The publisher, which is used to probe the broker.
    pub publisher: Publisher,
    /// The state of the receiving connection, for a process that has one.
    pub receiving: Option<watch::Receiver<BrokerState>>,
    /// The queues whose depth is measured.
    pub queues: Vec<String>,
    /// Cancelled when the process is asked to stop.
    pub drain: CancellationToken,
}

/// Whether to send work to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadinessState {
    /// It can do all its work.
    Ready,
    /// It works, but not for all tenants or job types, or it cannot publish.
    Degraded,
    /// It can do no work.
    #[serde(rename = "not ready")]
    NotReady,
    /// It was asked to stop.
    Stopping,
}

/// The reply to a readiness probe.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The summary.
    pub status: ReadinessState,
    broker: Part,
    control: Part,
    tenants: TenantsPart,
    /// Only if this process cannot use the installation's time zone rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_rules: Option<Part>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    handlers: Vec<HandlerStatus>,
}

#[derive(Clone, Debug, Serialize)]
struct Part {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct TenantsPart {
    known: usize,
    unhealthy_count: usize,
    /// The first of them, by slug.
    unhealthy: Vec<UnhealthyTenant>,
}

#[derive(Clone, Debug, Serialize)]
struct UnhealthyTenant {
    tenant: String,
    reason: String,
}

impl Readiness {
    /// The state of a process that has not started yet.
    pub fn new(clock: Clock) -> Readiness {
        Readiness(Arc::new(Inner { clock, results: Mutex::default(), handlers: OnceLock::new() }))
    }

    /// Includes these in reports. Only the first call has an effect.
    pub fn show_handlers(&self, status: impl Fn() -> Vec<HandlerStatus> + Send + Sync + 'static) {
        let _ = self.0.handlers.set(Box::new(status));
    }

    /// Probes until the process is asked to stop. `watchdog` is this loop's.
    pub async fn run(self, probes: Probes, watchdog: Watchdog, metrics: Metrics) {
        let drain = probes.drain.clone();
        self.results().watched = Some(Watched {
            tenants: probes.tenants.clone(),
            publishing: probes.publisher.state(),
            receiving: probes.receiving.clone(),
            drain: drain.clone(),
        });
        let probing = async {
            loop {
                watchdog.ping();
                tokio::join!(self.probe_broker(&probes, &metrics), self.probe_control(&probes));
                self.0.clock.sleep(PROBE_EVERY).await;
            }
        };
        // Returning drops the publisher, so that its connection closes cleanly.
        tokio::select! {
            () = probing => {}
            () = drain.cancelled() => {}
        }
    }

    async fn probe_broker(&self, probes: &Probes, metrics: &Metrics) {
        let receiving = probes.receiving.as_ref().map(|state| state.borrow().clone());
        let publishing = probes.publisher.state().borrow().clone();
        let result = match (publishing, receiving) {
            (_, Some(BrokerState::Closed)) => Err("no connection to the broker for receiving"),
            (BrokerState::Closed, _) => Err("no connection to the broker for publishing"),
            // A blocked broker answers nothing on this connection, but AMQP heartbeats show that it
            // is alive.
            (BrokerState::Blocked, _) => Ok(()),
            (BrokerState::Open, _) => measure_depths(probes, metrics).await,
        };
        self.record(|results| &mut results.broker, result.map_err(str::to_owned));
    }

    async fn probe_control(&self, probes: &Probes) {
        let check = probes.tenants.control().check_schema();
        let result = match timeout(PROBE_TIMEOUT, check).await {
            Ok(answer) => answer.map_err(|error| chain(&error)),
            Err(_) => Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
        };
        self.record(|results| &mut results.control, result);
    }

    fn record(&self, of: impl Fn(&mut Results) -> &mut ProbeResult, result: Result<(), String>) {
        let now = self.0.clock.boot_time();
        let mut results = self.results();
        let recorded = of(&mut results);
        match result {
            Ok(()) => *recorded = ProbeResult { at: Some(now), reason: None },
            Err(reason) => recorded.reason = Some(clean(&reason, REASON_BYTES_MAX)),
        }
    }

    /// The current readiness.
    pub fn report(&self) -> Report {
        let now = self.0.clock.boot_time();
        let results = self.results();
        let (mut broker, control) = (part(&results.broker, now), part(&results.control, now));
        let Some(watched) = &results.watched else {
            let tenants = TenantsPart::default();
            let (status, handlers) = (ReadinessState::NotReady, self.handlers());
            return Report { status, broker, control, tenants, zone_rules: None, handlers };
        };
        if broker.status == "ok" {
            let states = [Some(&watched.publishing), watched.receiving.as_ref()];
            if states.into_iter().flatten().any(|state| *state.borrow() == BrokerState::Blocked) {
                let reason = Some("the broker takes no messages: it is short of memory or disk");
                broker = Part { status: "blocked", reason: reason.map(str::to_owned) };
            }
        }
        let (tenants, handlers) = (tenants_part(&watched.tenants), self.handlers());
        let zone_rules = watched.tenants.zone_rules().problem().map(|reason| Part {
            status: "not used",
            reason: Some(clean(&reason, REASON_BYTES_MAX)),
        });
        let some_wait = handlers.iter().any(|command| command.status != HandlerState::Ready);
        let status = if watched.drain.is_cancelled() {
            ReadinessState::Stopping
        } else if broker.status == "lost" || control.status == "lost" {
            ReadinessState::NotReady
        } else if broker.status == "blocked"
            || tenants.unhealthy_count > 0
            || zone_rules.is_some()
            || some_wait
        {
            ReadinessState::Degraded
        } else {
            ReadinessState::Ready
        };
        Report { status, broker, control, tenants, zone_rules, handlers }
    }

    fn handlers(&self) -> Vec<HandlerStatus> {
        self.0.handlers.get().map(|status| status()).unwrap_or_default()
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.0.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures the depth of each queue. A missing queue shows that the broker answers, too.
async fn measure_depths(probes: &Probes, metrics: &Metrics) -> Result<(), &'static str> {
    match timeout(PROBE_TIMEOUT, probes.publisher.dead_depth()).await {
        Ok(Some(depth)) => {
            metrics.dead_messages.set(depth.into());
        }
        Ok(None) => {}
        Err(_) => return Err("the broker does not answer"),
    }
    for queue in &probes.queues {
        match timeout(PROBE_TIMEOUT, probes.publisher.depth(queue)).await {
            Ok(depth) => metrics.queue_depth(queue, depth.map(|depth| depth.ready)),
            Err(_) => return Err("the broker does not answer"),
        }
    }
    // The depth is also none if the connection was lost meanwhile.
    match *probes.publisher.state().borrow() {
        BrokerState::Closed => Err("the connection to the broker was lost"),
        BrokerState::Open | BrokerState::Blocked => Ok(()),
    }
}

fn part(result: &ProbeResult, now: BootTime) -> Part {
    match result.at {
        Some(at) if now - at < LOST_AFTER => Part { status: "ok", reason: None },
        _ => {
            let reason = result.reason.clone().unwrap_or_else(|| "it hasn't answered yet".into());
            Part { status: "lost", reason: Some(reason) }
        }
    }
}

fn tenants_part(tenants: &Tenants) -> TenantsPart {
    let all = tenants.all();
    let mut unhealthy: Vec<UnhealthyTenant> = all
        .values()
        .filter_map(|open| {
            let reason = clean(&open.health.reason()?, REASON_BYTES_MAX);
            Some(UnhealthyTenant { tenant: open.slug().to_owned(), reason })
        })
        .collect();
    let unhealthy_count = unhealthy.len();
    unhealthy.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    unhealthy.truncate(LISTED_MAX);
    TenantsPart { known: all.len(), unhealthy_count, unhealthy }
}
