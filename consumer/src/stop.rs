//! What ends an attempt before its handler returns.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// The signals that stop one attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopSignals {
    /// Cancelled when the lease ran out, or the row belongs to another worker.
    pub(crate) lost: CancellationToken,
    /// Cancelled when an operator asked to cancel the execution.
    pub(crate) cancel: CancellationToken,
}

/// Why an attempt is stopped; sent to handler processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StopReason {
    /// Its deadline has passed.
    Timeout,
    /// An operator asked to cancel it.
    Request,
    /// The row is no longer this worker's.
    LeaseLost,
    /// The consumer shuts down.
    Shutdown,
}

/// Everything that ends an attempt before its handler does.
pub(crate) struct Stops {
    /// How much longer it may run.
    pub(crate) time_left: Duration,
    /// How long it was allowed to run in all, for the error message.
    pub(crate) limit: Duration,
    pub(crate) signals: StopSignals,
    /// Cancelled when the process gives back what still runs.
    pub(crate) release: CancellationToken,
    /// The worker that runs it, for the error message.
    pub(crate) worker: String,
}
