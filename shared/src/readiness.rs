//! Whether this process can do its work: it asks the broker and the control database again and
//! again, and says how the tenants' databases are doing.
//!
//! Red only when the process as a whole is of no use. A single tenant whose database is dark is
//! amber: taking the process out of service would help nobody, and harm all the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{BootTime, Clock};
use crate::liveness::Watchdog;
use crate::metrics::Metrics;
use crate::outcome::clean;
use crate::queue::{BrokerState, Publisher};
use crate::store::chain;
use crate::tenants::Tenants;

/// How often both are asked.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// The longest wait for one answer.
const PROBE_LIMIT: Duration = Duration::from_secs(4);
/// What hasn't answered for this long counts as lost; a single late answer doesn't.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// The most ailing tenants that are listed.
const LISTED_MAX: usize = 20;
/// The most that is shown of a reason, in bytes.
const REASON_BYTES_MAX: usize = 300;

/// What the probes have found. Clones are the same.
#[derive(Clone)]
pub struct Readiness(Arc<Inner>);

struct Inner {
    clock: Clock,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    broker: Answer,
    control: Answer,
    watched: Option<Watched>,
}

/// What became of the probes of one of them.
#[derive(Clone, Debug, Default)]
struct Answer {
    /// When it answered last.
    at: Option<BootTime>,
    /// Why the last probe failed; none if it didn't.
    reason: Option<String>,
}

/// What a report is made of, besides the probes.
#[derive(Clone)]
struct Watched {
    tenants: Arc<Tenants>,
    publishing: watch::Receiver<BrokerState>,
    receiving: Option<watch::Receiver<BrokerState>>,
    drain: CancellationToken,
}

/// What a process is asked about.
pub struct Probes {
    /// The tenants; their control database is probed.
    pub tenants: Arc<Tenants>,
    /// Where messages go; the broker is probed by it.
    pub publisher: Publisher,
    /// Whether deliveries can come, for a process that takes any.
    pub receiving: Option<watch::Receiver<BrokerState>>,
    /// The queues whose depth is asked for.
    pub queues: Vec<String>,
    /// Told when the process is asked to stop.
    pub drain: CancellationToken,
}

/// Whether to send work to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadinessState {
    /// All is well.
    Ready,
    /// It works, but not for everybody, or not without limits.
    Degraded,
    /// It is of no use now.
    #[serde(rename = "not ready")]
    NotReady,
    /// It was asked to stop.
    Stopping,
}

/// The answer to whoever asks whether the process is ready.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it comes to.
    pub status: ReadinessState,
    broker: Part,
    control: Part,
    tenants: TenantsPart,
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
    /// Of a process that hasn't started yet.
    pub fn new(clock: Clock) -> Readiness {
        Readiness(Arc::new(Inner { clock, found: Mutex::default() }))
    }

    /// Probes until the process is asked to stop; `watchdog` is this loop's own.
    pub async fn run(self, probes: Probes, watchdog: Watchdog, metrics: Metrics) {
        let drain = probes.drain.clone();
        self.found().watched = Some(Watched {
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
        // What holds the publisher ends here, so that its connection can say goodbye.
        tokio::select! {
            () = probing => {}
            () = drain.cancelled() => {}
        }
    }

    async fn probe_broker(&self, probes: &Probes, metrics: &Metrics) {
        let receiving = probes.receiving.as_ref().map(|state| state.borrow().clone());
        let publishing = probes.publisher.state().borrow().clone();
        let answered = match (publishing, receiving) {
            (_, Some(BrokerState::Closed)) => Err("no connection to the broker for receiving"),
            (BrokerState::Closed, _) => Err("no connection to the broker for publishing"),
            // One that is blocked answers no questions on this connection; that it is there is
            // known until its heartbeats cease.
            (BrokerState::Blocked, _) => Ok(()),
            (BrokerState::Open, _) => ask_depths(probes, metrics).await,
        };
        self.answered(|found| &mut found.broker, answered.map_err(str::to_owned));
    }

    async fn probe_control(&self, probes: &Probes) {
        let question = probes.tenants.control().check_schema();
        let answered = match timeout(PROBE_LIMIT, question).await {
            Ok(answer) => answer.map_err(|error| chain(&error)),
            Err(_) => Err(format!("no answer within {} s", PROBE_LIMIT.as_secs())),
        };
        self.answered(|found| &mut found.control, answered);
    }

    fn answered(&self, of: impl Fn(&mut Found) -> &mut Answer, answered: Result<(), String>) {
        let now = self.0.clock.boot_time();
        let mut found = self.found();
        let answer = of(&mut found);
        match answered {
            Ok(()) => *answer = Answer { at: Some(now), reason: None },
            Err(reason) => answer.reason = Some(clean(&reason, REASON_BYTES_MAX)),
        }
    }

    /// How things stand now.
    pub fn report(&self) -> Report {
        let now = self.0.clock.boot_time();
        let found = self.found();
        let (mut broker, control) = (part(&found.broker, now), part(&found.control, now));
        let Some(watched) = &found.watched else {
            let tenants = TenantsPart::default();
            return Report { status: ReadinessState::NotReady, broker, control, tenants };
        };
        if broker.status == "ok" {
            let states = [Some(&watched.publishing), watched.receiving.as_ref()];
            if states.into_iter().flatten().any(|state| *state.borrow() == BrokerState::Blocked) {
                let reason = Some("the broker takes no messages: it is short of memory or disk");
                broker = Part { status: "blocked", reason: reason.map(str::to_owned) };
            }
        }
        let tenants = tenants_part(&watched.tenants);
        let status = if watched.drain.is_cancelled() {
            ReadinessState::Stopping
        } else if broker.status == "lost" || control.status == "lost" {
            ReadinessState::NotReady
        } else if broker.status == "blocked" || tenants.unhealthy_count > 0 {
            ReadinessState::Degraded
        } else {
            ReadinessState::Ready
        };
        Report { status, broker, control, tenants }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks how full each queue is. A queue that is missing is an answer, too.
async fn ask_depths(probes: &Probes, metrics: &Metrics) -> Result<(), &'static str> {
    for queue in &probes.queues {
        match timeout(PROBE_LIMIT, probes.publisher.depth(queue)).await {
            Ok(depth) => metrics.queue_depth(queue, depth.map(|depth| depth.ready)),
            Err(_) => return Err("the broker does not answer"),
        }
    }
    // None is also what a connection says that was lost meanwhile.
    match *probes.publisher.state().borrow() {
        BrokerState::Closed => Err("the connection to the broker was lost"),
        BrokerState::Open | BrokerState::Blocked => Ok(()),
    }
}

fn part(answer: &Answer, now: BootTime) -> Part {
    match answer.at {
        Some(at) if now - at < LOST_AFTER => Part { status: "ok", reason: None },
        _ => {
            let reason = answer.reason.clone().unwrap_or_else(|| "it hasn't answered yet".into());
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
