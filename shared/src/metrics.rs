//! What a process counts and measures, for Prometheus. `docs/metrics.md` says what each figure
//! means; the names are fixed there.
//!
//! Counting is an atomic addition, whether or not anybody ever asks. Figures that are known
//! anyway, such as free slots, are only read when somebody does ([`Metrics::at_scrape`]). Labels
//! have few values: no job's name, no tenant's, and of job types only those that the process knows.

mod instruments;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::clock::{BootTime, Clock};
use crate::execution::{ErrorKind, Status};
use crate::queue::{BrokerState, Confirm};
use crate::store::ConnectionCounts;
use crate::tenants::{OpenTenant, Tenants};

pub use instruments::Instruments;

/// How [`Metrics::text`] is written.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What stands for a job type that this process doesn't know.
const UNKNOWN: &str = "unknown";

type Reader = Box<dyn Fn(&Instruments) + Send + Sync>;

/// One process's figures. Clones are the same.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    clock: Clock,
    registry: Registry,
    instruments: Instruments,
    job_types: OnceLock<BTreeSet<String>>,
    readers: Mutex<Vec<Reader>>,
}

/// Most figures are counted up directly.
impl Deref for Metrics {
    type Target = Instruments;
    fn deref(&self) -> &Instruments {
        &self.0.instruments
    }
}

impl Metrics {
    /// All zero.
    pub fn new(clock: Clock) -> Metrics {
        let mut registry = Registry::with_prefix("polychron");
        let instruments = Instruments::register(&mut registry);
        let (job_types, readers) = (OnceLock::new(), Mutex::default());
        Metrics(Arc::new(Inner { clock, registry, instruments, job_types, readers }))
    }

    /// Reads figures that are known anyway, whenever somebody asks for all.
    pub fn at_scrape(&self, read: impl Fn(&Instruments) + Send + Sync + 'static) {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(read));
    }

    /// Says which job types may stand in labels. The first word counts.
    pub fn know_job_types(&self, job_types: Vec<String>) {
        let _ = self.0.job_types.set(job_types.into_iter().collect());
    }

    /// Boot time, to measure how long something takes by [`Metrics::since`].
    pub fn now(&self) -> BootTime {
        self.0.clock.boot_time()
    }

    /// Seconds since `before`.
    pub fn since(&self, before: BootTime) -> f64 {
        (self.now() - before).as_secs_f64()
    }

    /// A row that was started ended, and this process wrote that.
    pub fn finished(&self, job_type: Option<&str>, status: Status, error_kind: Option<ErrorKind>) {
        let known = self.0.job_types.get();
        let known = job_type.filter(|job_type| known.is_some_and(|all| all.contains(*job_type)));
        let labels = [
            ("status", status.as_str().to_owned()),
            ("error_kind", error_kind.map_or("none", ErrorKind::as_str).to_owned()),
            ("job_type", known.unwrap_or(UNKNOWN).to_owned()),
        ];
        self.executions_finished.get_or_create(&labels).inc();
    }

    /// Occurrences that will not run are on record.
    pub fn skipped(&self, reason: ErrorKind, occurrences: i32) {
        let labels = [("reason", reason.as_str().to_owned())];
        let count = u64::try_from(occurrences).unwrap_or_default();
        self.occurrences_skipped.get_or_create(&labels).inc_by(count);
    }

    /// Rows of a table were old enough to be removed.
    pub fn pruned(&self, rows: &'static str, count: u64) {
        if count > 0 {
            self.rows_pruned.get_or_create(&[("rows", rows)]).inc_by(count);
        }
    }

    /// The broker's word on a message, or its silence.
    pub fn published(&self, confirm: Confirm) {
        let word = match confirm {
            Confirm::Confirmed => "confirmed",
            Confirm::Unroutable => "unroutable",
            Confirm::Refused => "refused",
            Confirm::Unknown => "unknown",
        };
        self.publishes.get_or_create(&[("confirm", word.to_owned())]).inc();
    }

    /// How many messages lie ready in a queue; none: nobody can say, and the figure is left out.
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

    /// Every figure, in the text format of OpenMetrics, which Prometheus reads.
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
    /// The state of a connection to the broker.
    pub fn broker(&self, connection: &'static str, now: &BrokerState) {
        for (state, word) in [
            (BrokerState::Closed, "closed"),
            (BrokerState::Open, "open"),
            (BrokerState::Blocked, "blocked"),
        ] {
            let labels = [("connection", connection), ("state", word)];
            self.broker_state.get_or_create(&labels).set(i64::from(state == *now));
        }
    }

    /// How the tenants are doing, and how many connections are open.
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
    fn a_job_type_that_is_not_known_does_not_become_a_label() {
        let metrics = Metrics::new(Clock::System);
        metrics.know_job_types(vec!["mail".into()]);
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
    fn what_is_known_anyway_is_read_when_somebody_asks() {
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
        assert!(!metrics.text().contains("queue=\"default\""), "nobody knows any more");
    }

    #[test]
    fn every_figure_is_explained_and_every_explanation_has_a_figure() {
        let page = include_str!("../../docs/metrics.md");
        let explained: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `polychron_")?.split_once('`'))
            .map(|(name, _)| name.split('{').next().unwrap_or(name))
            .map(|name| name.strip_suffix("_total").unwrap_or(name))
            .collect();
        assert_eq!(Instruments::NAMES.iter().copied().collect::<BTreeSet<_>>(), explained);
    }
}
