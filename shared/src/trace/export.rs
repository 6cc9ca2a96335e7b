//! OTLP over HTTP as JSON, by hand: the crates that speak it would bring a dozen others along, for
//! one request of a fixed form.

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

use super::{Place, Span};
use crate::clock::Clock;
use crate::config::Collector;
use crate::message::trace_of;

/// The most spans that wait to be sent; what comes beyond is dropped, and counted.
const WAITING_MAX: usize = 4096;
/// The most spans in one request.
const BATCH_MAX: usize = 512;
/// How long a batch waits for company.
const BATCH_EVERY: Duration = Duration::from_secs(1);
/// How long a collector may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The most that is read of its answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

enum Item {
    Span(Box<Span>),
    /// All before it have been sent, or lost, when this is answered.
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
            let _ = flushed.await; // the runtime is going down
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
    let mut away = false;
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
            let sent = tokio::time::timeout(LIMIT, post(&collector, &body)).await;
            let problem = match sent {
                Ok(Ok(200..=299)) => None,
                Ok(Ok(status)) => Some(format!("it answered {status}")),
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {} s", LIMIT.as_secs())),
            };
            if let (Some(problem), false) = (&problem, away) {
                warn!("traces are being lost, the collector cannot be used: {problem}");
            }
            away = problem.is_some();
        }
        let dropped = exporter.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            debug!(dropped, "spans were dropped: the collector is slower than the work");
        }
        if let Some(done) = flushed {
            let _ = done.send(()); // nobody waits any more
        }
    }
}

/// One request, one answer, one connection. The answer is the status.
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
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.ok_or_else(|| io::Error::other("it does not speak HTTP/1.1"))
}

/// `ExportTraceServiceRequest`, as protobuf's JSON mapping has it; ids are hexadecimal there.
fn body(spans: &[Span], service: &str) -> Value {
    let spans: Vec<Value> = spans.iter().map(one).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", service)]},
        "scopeSpans": [{"scope": {"name": "polychron"}, "spans": spans}],
    }]})
}

fn one(span: &Span) -> Value {
    let (trace, root) = trace_of(span.execution);
    let kind = match span.place {
        Place::Root | Place::Inner => 1,
        Place::Sent => 4,
        Place::Received => 5,
    };
    let nanos = |time: crate::clock::Time| (i128::from(time.timestamp_micros()) * 1000).to_string();
    let attributes: Vec<Value> =
        span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut one = json!({
        "traceId": format!("{trace:032x}"), "name": span.name, "kind": kind,
        "spanId": format!("{root:016x}"),
        "startTimeUnixNano": nanos(span.start), "endTimeUnixNano": nanos(span.end),
        "attributes": attributes,
    });
    if span.place != Place::Root {
        let mut hash = DefaultHasher::new();
        (root, span.name, span.start).hash(&mut hash);
        one["spanId"] = format!("{:016x}", hash.finish().max(1)).into();
        one["parentSpanId"] = format!("{root:016x}").into();
    }
    if let Some(error) = span.error {
        one["status"] = json!({"code": 2, "message": error});
    }
    one
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
