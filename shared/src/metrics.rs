//! A process's metrics, for Prometheus. `docs/metrics.md` documents each of them.
//!
//! Counting is an atomic addition, whether or not the metrics are ever scraped. Values that the
//! process has anyway, such as free slots, are read at each scrape ([`Metrics::at_scrape`]). Labels
//! have low cardinality: they never contain names of jobs or tenants, and only those job types that
//! the process handles.

mod instruments;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::clock::{BootTime, Clock};
use crate::execution::{ErrorKind, Status};
use crate::queue::{BrokerState, Confirm};
use crate::store::ConnectionCounts;
use crate::tenants::{OpenTenant, Tenants};

pub use instruments::Instruments;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label of job types that this process does not handle.
const UNKNOWN: &str = "unknown";

type Reader = Box<dyn Fn(&Instruments) + Send + Sync>;

/// One process's metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    clock: Clock,
    registry: Registry,
    instruments: Instruments,
    job_types: RwLock<BTreeSet<String>>,
    readers: Mutex<Vec<Reader>>,
}

/// Most metrics are updated directly.
impl Deref for Metrics {
    type Target = Instruments;
    fn deref(&self) -> &Instruments {
        &self.0.instruments
    }
}

impl Metrics {
    /// Metrics that are all zero.
    pub fn new(clock: Clock) -> Metrics {
        let mut registry = Registry::with_prefix("polychron");
        let instruments = Instruments::register(&mut registry);
        let (job_types, readers) = (RwLock::default(), Mutex::default());
        Metrics(Arc::new(Inner { clock, registry, instruments, job_types, readers }))
    }

    /// Calls `read` at each scrape, to set metrics whose values are known elsewhere.
    pub fn at_scrape(&self, read: impl Fn(&Instruments) + Send + Sync + 'static) {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(read));
    }

    /// Adds job types that may be labels.
    pub fn add_known_job_types(&self, job_types: impl IntoIterator<Item = String>) {
        self.0.job_types.write().unwrap_or_else(PoisonError::into_inner).extend(job_types);
    }

    /// The current boot time, for [`Metrics::since`].
    pub fn now(&self) -> BootTime {
        self.0.clock.boot_time()
    }

    /// Seconds since `before`.
    pub fn since(&self, before: BootTime) -> f64 {
        (self.now() - before).as_secs_f64()
    }

    /// Counts a started execution whose outcome this process wrote.
    pub fn finished(&self, job_type: Option<&str>, status: Status, error_kind: Option<ErrorKind>) {
        let all = self.0.job_types.read().unwrap_or_else(PoisonError::into_inner);
        let known = job_type.filter(|job_type| all.contains(*job_type));
        let labels = [
            ("status", status.as_str().to_owned()),
            ("error_kind", error_kind.map_or("none", ErrorKind::as_str).to_owned()),
            ("job_type", known.unwrap_or(UNKNOWN).to_owned()),
        ];
        self.executions_finished.get_or_create(&labels).inc();
    }

    /// Counts occurrences that were recorded as skipped.
    pub fn skipped(&self, reason: ErrorKind, occurrences: i32) {
        let labels = [("reason", reason.as_str().to_owned())];
        let count = u64::try_from(occurrences).unwrap_or_default();
        self.occurrences_skipped.get_or_create(&labels).inc_by(count);
    }

    /// Counts rows that were pruned.
    pub fn pruned(&self, rows: &'static str, count: u64) {
        if count > 0 {
            self.rows_pruned.get_or_create(&[("rows", rows)]).inc_by(count);
        }
    }

    /// Counts a refused attempt to use dashboard or API.
    pub fn sign_in_refused(&self, reason: &'static str) {
        self.sign_ins_refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts a publish by the broker's confirm.
    pub fn published(&self, confirm: Confirm) {
        let label = match confirm {
            Confirm::Confirmed => "confirmed",
            Confirm::Unroutable => "unroutable",
            Confirm::Refused => "refused",
            Confirm::Unknown => "unknown",
        };
        self.publishes.get_or_create(&[("confirm", label.to_owned())]).inc();
    }

    /// Sets how many messages are ready in a queue. If that is unknown (none), the queue is omitted.
    pub fn queue_depth(&self, queue: &str, ready: Option<u32>) {
        let labels = [("queue", queue.to_owned())];
        match ready {
            Some(ready) => {
                self.queue_ready.get_or_create(&labels).set(ready.into());
            }
            None => {
                self.queue_ready.remove(&labels);
            }
        }
    }

    /// All metrics in OpenMetrics' text format, which Prometheus reads.
    pub fn text(&self) -> String {
        for read in self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            read(self);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

impl Instruments {
    /// Sets the state of a connection to the broker.
    pub fn broker(&self, connection: &'static str, now: &BrokerState) {
        for (state, label) in [
            (BrokerState::Closed, "closed"),
            (BrokerState::Open, "open"),
            (BrokerState::Blocked, "blocked"),
        ] {
            let labels = [("connection", connection), ("state", label)];
            self.broker_state.get_or_create(&labels).set(i64::from(state == *now));
        }
    }

    /// Sets the health of the tenants and the number of open connections.
    pub fn databases(&self, tenants: &Tenants) {
        let all = tenants.all();
        let count = |of: &dyn Fn(&OpenTenant) -> bool| {
            i64::try_from(all.values().filter(|open| of(open)).count()).unwrap_or(i64::MAX)
        };
        let suspended = count(&|open| !open.is_active());
        let ailing = count(&|open| open.is_active() && open.health.is_ailing());
        let healthy = count(&|open| open.is_active() && !open.health.is_ailing());
        for (health, count) in [("healthy", healthy), ("ailing", ailing), ("suspended", suspended)]
        {
            self.tenants.get_or_create(&[("health", health)]).set(count);
        }
        let ConnectionCounts { postgres, sqlite } = tenants.connections().count();
        for (kind, (open, idle)) in [("postgres", postgres), ("sqlite", sqlite)] {
            let set = |state, count: usize| {
                let labels = [("kind", kind), ("state", state)];
                self.connections.get_or_create(&labels).set(count as i64);
            };
            set("used", open.saturating_sub(idle));
            set("idle", idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_job_type_does_not_become_a_label() {
        let metrics = Metrics::new(Clock::System);
        metrics.add_known_job_types(["mail".into()]);
        metrics.finished(Some("mail"), Status::Success, None);
        metrics.finished(Some("\"anything\n"), Status::Failed, Some(ErrorKind::UnknownType));
        metrics.finished(None, Status::Failed, Some(ErrorKind::Lost));
        let text = metrics.text();
        for line in [
            r#"polychron_executions_finished_total{status="success",error_kind="none",job_type="mail"} 1"#,
            r#"polychron_executions_finished_total{status="failed",error_kind="unknown_type",job_type="unknown"} 1"#,
            r#"polychron_executions_finished_total{status="failed",error_kind="lost",job_type="unknown"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
        assert!(!text.contains("anything"), "{text}");
    }

    #[test]
    fn readers_are_called_at_each_scrape() {
        let metrics = Metrics::new(Clock::System);
        metrics.at_scrape(|figures| {
            figures.slots_in_use.set(3);
            figures.broker("publishing", &BrokerState::Blocked);
        });
        assert_eq!(metrics.slots_in_use.get(), 0);
        metrics.queue_depth("default", Some(7));
        let text = metrics.text();
        assert!(text.contains("\npolychron_slots_in_use 3\n"), "{text}");
        assert!(text.contains("\npolychron_queue_ready_messages{queue=\"default\"} 7\n"), "{text}");
        assert!(text.contains("{connection=\"publishing\",state=\"blocked\"} 1\n"), "{text}");
        assert!(text.contains("{connection=\"publishing\",state=\"open\"} 0\n"), "{text}");
        metrics.queue_depth("default", None);
        assert!(!metrics.text().contains("queue=\"default\""), "the depth is unknown again");
    }

    #[test]
    fn exactly_the_existing_metrics_are_documented() {
        let page = include_str!("../../docs/metrics.md");
        let documented: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `polychron_")?.split_once('`'))
            .map(|(name, _)| name.split('{').next().unwrap_or(name))
            .map(|name| name.strip_suffix("_total").unwrap_or(name))
            .collect();
        assert_eq!(Instruments::NAMES.iter().copied().collect::<BTreeSet<_>>(), documented);
    }
}
