//! Traces: one per execution, from its due time to its result, exported to a collector.
//!
//! The execution's id is the trace id, and the root span's id is the one in `traceparent`
//! ([`Message::traceparent`](crate::message::Message::traceparent)). Producer and consumer derive
//! both and write to the same trace without exchanging anything. Traces need the feature `otel`;
//! without it, or without a collector, recording costs nothing.

#[cfg(feature = "otel")]
mod export;

use std::time::Duration;

use crate::clock::{Clock, Time};
use crate::config::Collector;
use crate::id::ExecutionId;

/// A span's position in the trace and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// The parent of all others.
    Root,
    /// An internal operation.
    Internal,
    /// Sends a message.
    Producer,
    /// Processes a message.
    Consumer,
}

/// An operation with a duration.
#[derive(Clone, Debug)]
pub struct Span {
    /// The execution that it belongs to.
    pub execution: ExecutionId,
    /// The operation.
    pub name: &'static str,
    /// Its kind.
    pub kind: SpanKind,
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// Attributes to search by; neither payloads nor secrets.
    pub attributes: Vec<(&'static str, String)>,
    /// The kind of error, if it failed.
    pub error: Option<&'static str>,
}

/// Exports spans to a collector. Clones share the exporter.
#[derive(Clone, Default)]
pub struct Tracer {
    #[cfg(feature = "otel")]
    exporter: Option<std::sync::Arc<export::Exporter>>,
}

#[cfg(feature = "otel")]
impl Tracer {
    /// Starts to export in this runtime, if there is a collector. `service` is the process's name
    /// there.
    pub fn start(collector: Option<&Collector>, service: &'static str, clock: Clock) -> Tracer {
        let start = |collector: &Collector| export::start(collector.clone(), service, clock);
        Tracer { exporter: collector.map(start) }
    }

    /// Whether spans are exported.
    pub fn is_on(&self) -> bool {
        self.exporter.is_some()
    }

    /// Queues spans for export, if there is a collector. Never waits.
    pub fn record(&self, spans: impl FnOnce() -> Vec<Span>) {
        if let Some(exporter) = &self.exporter {
            exporter.take(spans());
        }
    }

    /// Waits until the queued spans have been sent, but no longer than `limit`.
    pub async fn flush(&self, limit: Duration) {
        if let Some(exporter) = &self.exporter {
            let _ = tokio::time::timeout(limit, exporter.flush()).await; // the rest is lost
        }
    }
}

#[cfg(not(feature = "otel"))]
impl Tracer {
    /// Warns, if there is a collector, that this build cannot export.
    pub fn start(collector: Option<&Collector>, _: &'static str, _: Clock) -> Tracer {
        if collector.is_some() {
            tracing::warn!("no traces are sent: this program was built without the feature otel");
        }
        Tracer::default()
    }

    /// Always false.
    pub fn is_on(&self) -> bool {
        false
    }

    /// Does nothing.
    pub fn record(&self, _: impl FnOnce() -> Vec<Span>) {}

    /// Does nothing.
    pub async fn flush(&self, _: Duration) {}
}
