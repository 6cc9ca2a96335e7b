//! A process's telemetry: liveness ([`Liveness`]), readiness ([`Readiness`]), metrics ([`Metrics`])
//! and traces. `http.rs` serves the first three.

use std::sync::Arc;

use crate::clock::Clock;
use crate::liveness::{Liveness, Watchdog};
use crate::metrics::Metrics;
use crate::readiness::{Probes, Readiness};
use crate::trace::Tracer;

/// One process's telemetry. Clones share it.
#[derive(Clone)]
pub struct Telemetry {
    /// Whether its loops still run.
    pub liveness: Arc<Liveness>,
    /// Whether it can do its work.
    pub readiness: Readiness,
    /// Counters, gauges and histograms.
    pub metrics: Metrics,
    /// Spans of single executions.
    pub tracer: Tracer,
}

impl Telemetry {
    /// The telemetry of a process that has just started.
    pub fn new(clock: Clock) -> Telemetry {
        Telemetry {
            liveness: Arc::new(Liveness::new(clock.clone())),
            readiness: Readiness::new(clock.clone()),
            metrics: Metrics::new(clock),
            tracer: Tracer::default(),
        }
    }

    /// Creates and watches the watchdog of a new loop.
    pub fn watch(&self, name: &'static str) -> Watchdog {
        let watchdog = Watchdog::default();
        self.liveness.watch(name, &watchdog);
        watchdog
    }

    /// Watches a connection's driver, if it has one.
    pub fn watch_driver(&self, name: &'static str, watchdog: Option<&Watchdog>) {
        if let Some(watchdog) = watchdog {
            self.liveness.watch(name, watchdog);
        }
    }

    /// Probes until the process is asked to stop.
    pub async fn probe(self, probes: Probes) {
        let watchdog = self.watch("probes");
        let (tenants, publishing) = (probes.tenants.clone(), probes.publisher.state());
        let receiving = probes.receiving.clone();
        self.metrics.at_scrape(move |figures| {
            figures.databases(&tenants);
            figures.broker("publishing", &publishing.borrow());
            if let Some(receiving) = &receiving {
                figures.broker("receiving", &receiving.borrow());
            }
        });
        self.readiness.run(probes, watchdog, self.metrics).await;
    }
}
