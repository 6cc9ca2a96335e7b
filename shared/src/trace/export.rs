//! Sends OTLP as JSON over HTTP. It is written by hand, because the OTLP crates have a dozen
//! dependencies and we need only one request of a fixed form.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::{Span, SpanKind};
use crate::clock::Clock;
use crate::config::Collector;
use crate::message::trace_of;

/// The most spans that wait to be sent; further ones are dropped and counted.
const WAITING_MAX: usize = 4096;
/// The most spans in one request.
const BATCH_MAX: usize = 512;
/// How long a batch waits for more spans.
const BATCH_EVERY: Duration = Duration::from_secs(1);
/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The most that is read of a response, in bytes.
const RESPONSE_BYTES_MAX: u64 = 4096;

enum Item {
    Span(Box<Span>),
    /// Completed when all spans before it have been sent or lost.
    Flush(oneshot::Sender<()>),
}

pub(super) struct Exporter {
    items: mpsc::Sender<Item>,
    dropped: AtomicU64,
}

impl Exporter {
    pub(super) fn take(&self, spans: Vec<Span>) {
        for span in spans {
            if self.items.try_send(Item::Span(Box::new(span))).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.items.send(Item::Flush(done)).await.is_ok() {
            let _ = flushed.await; // an error means that the runtime is shutting down
        }
    }
}

pub(super) fn start(collector: Collector, service: &'static str, clock: Clock) -> Arc<Exporter> {
    let (items, waiting) = mpsc::channel(WAITING_MAX);
    let exporter = Arc::new(Exporter { items, dropped: AtomicU64::new(0) });
    tokio::spawn(run(exporter.clone(), waiting, collector, service, clock));
    exporter
}

async fn run(
    exporter: Arc<Exporter>,
    mut waiting: mpsc::Receiver<Item>,
    collector: Collector,
    service: &'static str,
    clock: Clock,
) {
    let mut failing = false;
    loop {
        let (mut spans, mut flushed) = (Vec::new(), None);
        let due = clock.sleep(BATCH_EVERY);
        tokio::pin!(due);
        while spans.len() < BATCH_MAX && flushed.is_none() {
            tokio::select! {
                biased;
                item = waiting.recv() => match item {
                    Some(Item::Span(span)) => spans.push(*span),
                    Some(Item::Flush(done)) => flushed = Some(done),
                    None => return,
                },
                () = &mut due => break,
            }
        }
        if !spans.is_empty() {
            let body = body(&spans, service).to_string();
            let sent = tokio::time::timeout(TIMEOUT, post(&collector, &body)).await;
            let problem = match sent {
                Ok(Ok(200..=299)) => None,
                Ok(Ok(status)) => Some(format!("it answered {status}")),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {} s", TIMEOUT.as_secs())),
            };
            if let (Some(problem), false) = (&problem, failing) {
                warn!("traces are being lost, the collector cannot be used: {problem}");
            }
            failing = problem.is_some();
        }
        let dropped = exporter.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            debug!(dropped, "spans were dropped: the collector is slower than the work");
        }
        if let Some(done) = flushed {
            let _ = done.send(()); // the caller may have given up
        }
    }
}

/// Sends one request over a connection of its own and returns the status of the response.
async fn post(collector: &Collector, body: &str) -> io::Result<u16> {
    let Collector { authority, path } = collector;
    let mut stream = TcpStream::connect(authority).await?;
    let head = format!(
        "POST {path}/v1/traces HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut response).await?;
    let response = String::from_utf8_lossy(&response);
    let status = response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.ok_or_else(|| io::Error::other("it does not speak HTTP/1.1"))
}

/// An `ExportTraceServiceRequest` in protobuf's JSON mapping, where OTLP writes ids in hexadecimal.
fn body(spans: &[Span], service: &str) -> Value {
    let spans: Vec<Value> = spans.iter().map(encode).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", service)]},
        "scopeSpans": [{"scope": {"name": "polychron"}, "spans": spans}],
    }]})
}

fn encode(span: &Span) -> Value {
    let (trace, root) = trace_of(span.execution);
    let kind = match span.kind {
        SpanKind::Root | SpanKind::Internal => 1,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    };
    let nanos = |time: crate::clock::Time| (i128::from(time.timestamp_micros()) * 1000).to_string();
    let attributes: Vec<Value> =
        span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut encoded = json!({
        "traceId": format!("{trace:032x}"), "name": span.name, "kind": kind,
        "spanId": format!("{root:016x}"),
        "startTimeUnixNano": nanos(span.start), "endTimeUnixNano": nanos(span.end),
        "attributes": attributes,
    });
    if span.kind != SpanKind::Root {
        let mut hash = DefaultHasher::new();
        (root, span.name, span.start).hash(&mut hash);
        encoded["spanId"] = format!("{:016x}", hash.finish().max(1)).into();
        encoded["parentSpanId"] = format!("{root:016x}").into();
    }
    if let Some(error) = span.error {
        encoded["status"] = json!({"code": 2, "message": error});
    }
    encoded
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
