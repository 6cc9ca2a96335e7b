//! What a process tells about itself to those who watch it: that its loops go round ([`Pulse`]),
//! that it can do its work ([`Readiness`]), and figures ([`Metrics`]). `http.rs` shows all three.

use std::sync::Arc;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::pulse::{Beat, Pulse};
use crate::readiness::{Probes, Readiness};
use crate::trace::Tracer;

/// One process's. Clones are the same.
#[derive(Clone)]
pub struct Vitals {
    /// Whether its loops go round.
    pub pulse: Arc<Pulse>,
    /// Whether it can do its work.
    pub readiness: Readiness,
    /// What it has done and how it is doing.
    pub metrics: Metrics,
    /// What it tells about single executions.
    pub tracer: Tracer,
}

impl Vitals {
    /// Of a process that has only begun.
    pub fn new(clock: Clock) -> Vitals {
        Vitals {
            pulse: Arc::new(Pulse::new(clock.clone())),
            readiness: Readiness::new(clock.clone()),
            metrics: Metrics::new(clock),
            tracer: Tracer::default(),
        }
    }

    /// A new loop's beat, followed from now on.
    pub fn follow(&self, name: &'static str) -> Beat {
        let beat = Beat::default();
        self.pulse.follow(name, &beat);
        beat
    }

    /// Follows the driver of a connection, if it needs one.
    pub fn follow_driver(&self, name: &'static str, beat: Option<&Beat>) {
        if let Some(beat) = beat {
            self.pulse.follow(name, beat);
        }
    }

    /// Probes until the process is asked to stop.
    pub async fn probe(self, probes: Probes) {
        let beat = self.follow("probes");
        let (tenants, publishing) = (probes.tenants.clone(), probes.publisher.state());
        let receiving = probes.receiving.clone();
        self.metrics.at_scrape(move |figures| {
            figures.databases(&tenants);
            figures.broker("publishing", &publishing.borrow());
            if let Some(receiving) = &receiving {
                figures.broker("receiving", &receiving.borrow());
            }
        });
        self.readiness.run(probes, beat, self.metrics).await;
    }
}
