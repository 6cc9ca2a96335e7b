//! All metrics. The exporter adds the suffix `_total` to counters.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// Label names with dynamic values, of which there are few.
type Labels<const N: usize> = [(&'static str, String); N];
/// Label names with static values.
type StaticLabels<const N: usize> = [(&'static str, &'static str); N];
type Seconds = Gauge<f64, AtomicU64>;
/// A histogram for each value of the label.
type Histograms = Family<Labels<1>, Histogram>;

/// From punctual to an hour late.
const LATENESS_SECONDS: [f64; 14] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];
/// From the fastest statement to the statement timeout.
const STATEMENT_SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 7.0];

/// From a process that was about to be free to the longest that one may take to start, and beyond.
const WAIT_SECONDS: [f64; 12] =
    [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

macro_rules! instruments {
    ($( $field:ident: $kind:ty = $make:expr, $name:literal, $help:literal; )+) => {
        /// The metrics of one process, be it a producer or a consumer.
        pub struct Instruments {
            $( #[doc = $help] pub $field: $kind, )+
        }

        impl Instruments {
            #[cfg(test)]
            pub(super) const NAMES: &[&str] = &[$( $name ),+];

            pub(super) fn register(registry: &mut Registry) -> Instruments {
                Instruments { $( $field: register(registry, $name, $help, $make), )+ }
            }
        }
    };
}

fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    // The exporter adds a full stop.
    registry.register(name, help.trim_end_matches('.'), metric.clone());
    metric
}

instruments! {
    lateness: Histogram = Histogram::new(LATENESS_SECONDS),
        "lateness_seconds", "From an occurrence's time to the start of its first attempt.";
    executions_finished: Family<Labels<3>, Counter> = Family::default(),
        "executions_finished", "Started executions whose outcome this process wrote.";
    executions_dispatched: Counter = Counter::default(),
        "executions_dispatched", "Executions that this process dispatched.";
    occurrences_skipped: Family<Labels<1>, Counter> = Family::default(),
        "occurrences_skipped", "Occurrences that this process recorded as skipped.";
    dispatch_duration: Histogram = Histogram::new(STATEMENT_SECONDS),
        "dispatch_duration_seconds", "Duration of one dispatch in the tenant's database.";
    claim_duration: Histogram = Histogram::new(STATEMENT_SECONDS),
        "claim_duration_seconds", "Duration of one batch of claims in the tenant's database.";
    claims_refused: Counter = Counter::default(),
        "claims_refused", "Claims that found the execution claimed by another worker, finished, or not for this worker.";
    leases_lost: Counter = Counter::default(),
        "leases_lost", "Leases that expired or passed to another worker while the handler ran.";
    writes_fenced: Counter = Counter::default(),
        "writes_fenced", "Outcomes that were not written because the row was no longer this worker's.";
    rows_swept: Counter = Counter::default(),
        "sweeps", "Messages sent again for executions that no worker had claimed.";
    rows_rescued: Counter = Counter::default(),
        "rescues", "Executions rescued from workers whose lease had expired.";
    rows_pruned: Family<StaticLabels<1>, Counter> = Family::default(),
        "pruned", "Rows deleted because of their age or number.";
    publishes: Family<Labels<1>, Counter> = Family::default(),
        "publishes", "Messages for executions, by the broker's confirm.";
    messages_buried: Counter = Counter::default(),
        "messages_buried", "Unreadable messages that were moved to polychron.dead.";
    polls: Counter = Counter::default(),
        "polls", "Polls of tenants' databases.";
    polls_skipped: Counter = Counter::default(),
        "polls_skipped", "Polls that were skipped: nothing was due, and the tenant's change token was unchanged.";
    tenants_watched: Gauge = Gauge::default(),
        "tenants_watched", "Tenants whose jobs this process dispatches; the others are watched by other producers.";
    poll_lag: Seconds = Gauge::default(),
        "poll_lag_seconds", "How long the next poll is overdue.";
    poll_interval: Seconds = Gauge::default(),
        "poll_interval_seconds", "The current maximum time until a change made by plain SQL is seen.";
    queue_ready: Family<Labels<1>, Gauge> = Family::default(),
        "queue_ready_messages", "Messages in a queue that are not delivered to a consumer yet.";
    slots: Gauge = Gauge::default(),
        "slots", "Maximum number of concurrent executions in this process.";
    slots_in_use: Gauge = Gauge::default(),
        "slots_in_use", "Slots in use.";
    handlers_stuck: Gauge = Gauge::default(),
        "handlers_stuck", "Handlers that were told to stop and have not; each keeps its slot.";
    handler_processes: Family<Labels<2>, Gauge> = Family::default(),
        "handler_processes", "Handler processes by command and state.";
    handler_process_executions: Family<Labels<1>, Gauge> = Family::default(),
        "handler_process_executions", "Executions that handler processes hold.";
    handler_process_waiting: Family<Labels<1>, Gauge> = Family::default(),
        "handler_process_waiting", "Executions that wait, unclaimed, for a place in a handler process.";
    handler_process_wait: Histograms = Family::new_with_constructor(|| Histogram::new(WAIT_SECONDS)),
        "handler_process_wait_seconds", "How long executions waited for a place in a handler process; those that found one at once do not count.";
    handler_process_starts: Family<Labels<1>, Counter> = Family::default(),
        "handler_process_starts", "Handler processes that were started or could not be.";
    handler_process_ends: Family<Labels<2>, Counter> = Family::default(),
        "handler_process_ends", "Handler processes that have ended, by kind.";
    results_unwritten: Gauge = Gauge::default(),
        "results_unwritten", "Outcomes that wait to be written.";
    broker_state: Family<StaticLabels<2>, Gauge> = Family::default(),
        "broker_state", "1 for the state that a connection to the broker is in.";
    sign_ins_refused: Family<StaticLabels<1>, Counter> = Family::default(),
        "sign_ins_refused", "Attempts to use dashboard or API that were refused: a wrong name or password, an unknown token, or too many attempts.";
    requests_panicked: Counter = Counter::default(),
        "requests_panicked", "Requests to dashboard or API that ended in a panic of our own code.";
    dead_messages: Gauge = Gauge::default(),
        "dead_messages", "Unreadable messages in polychron.dead, as the broker last said.";
    tenants: Family<StaticLabels<1>, Gauge> = Family::default(),
        "tenants", "Tenants by the health of their database, as this process sees it.";
    connections: Family<StaticLabels<2>, Gauge> = Family::default(),
        "database_connections", "Connections to databases.";
}
