//! Traces: what an execution went through, from its due time to its result, told to a collector.
//!
//! The trace's id is the execution's, and the root span's id is the one that `traceparent` names
//! ([`Message::traceparent`](crate::message::Message::traceparent)), so that producer and consumer
//! write to one trace without telling each other anything. Only in builds with the feature `otel`;
//! without it, or without a collector, recording costs nothing.

#[cfg(feature = "otel")]
mod export;

use std::time::Duration;

use crate::clock::{Clock, Time};
use crate::config::Collector;
use crate::id::ExecutionId;

/// Where in the trace a span belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one that all others hang on.
    Root,
    /// Inside of ours.
    Inner,
    /// Where a message is sent.
    Sent,
    /// Where a message's work is done.
    Received,
}

/// Something that took its time.
#[derive(Clone, Debug)]
pub struct Span {
    /// Whose it is.
    pub execution: ExecutionId,
    /// What was done.
    pub name: &'static str,
    /// Where it belongs.
    pub place: Place,
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// What to find it by. No payloads, no secrets.
    pub attributes: Vec<(&'static str, String)>,
    /// How it went wrong, in a word.
    pub error: Option<&'static str>,
}

/// Takes spans to a collector. Clones are the same.
#[derive(Clone, Default)]
pub struct Tracer {
    #[cfg(feature = "otel")]
    exporter: Option<std::sync::Arc<export::Exporter>>,
}

#[cfg(feature = "otel")]
impl Tracer {
    /// Starts to export, in this runtime, if there is a collector. `service` is what it knows this
    /// process by.
    pub fn start(collector: Option<&Collector>, service: &'static str, clock: Clock) -> Tracer {
        let start = |collector: &Collector| export::start(collector.clone(), service, clock);
        Tracer { exporter: collector.map(start) }
    }

    /// Whether anybody takes spans.
    pub fn is_on(&self) -> bool {
        self.exporter.is_some()
    }

    /// Hands spans over, if there is a collector; never waits.
    pub fn record(&self, spans: impl FnOnce() -> Vec<Span>) {
        if let Some(exporter) = &self.exporter {
            exporter.take(spans());
        }
    }

    /// Returns when what was handed over has been sent, or `limit` is over.
    pub async fn flush(&self, limit: Duration) {
        if let Some(exporter) = &self.exporter {
            let _ = tokio::time::timeout(limit, exporter.flush()).await; // the rest is lost
        }
    }
}

#[cfg(not(feature = "otel"))]
impl Tracer {
    /// Says that this build knows no collectors, if there is one.
    pub fn start(collector: Option<&Collector>, _: &'static str, _: Clock) -> Tracer {
        if collector.is_some() {
            tracing::warn!("no traces are sent: this program was built without the feature otel");
        }
        Tracer::default()
    }

    /// Nobody takes spans.
    pub fn is_on(&self) -> bool {
        false
    }

    /// Does nothing.
    pub fn record(&self, _: impl FnOnce() -> Vec<Span>) {}

    /// Does nothing.
    pub async fn flush(&self, _: Duration) {}
}
