//! The handler of a job type whose handler is in a handler process.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use shared::message::Message;
use shared::outcome::Outcome;
use tokio::sync::oneshot;

use super::pool::Pool;
use super::protocol::{LINE_BYTES_MAX, Order, Start};
use super::run::{Answer, Place, Request, Run};
use crate::context::Context;
use crate::error::HandlerError;
use crate::handler::ErasedHandler;
use crate::stop::StopReason;

/// Runs one execution in a handler process.
pub(super) struct InProcess {
    pub(super) pool: Arc<Pool>,
    pub(super) worker: String,
    /// The reserved place; `run` takes it.
    pub(super) place: Mutex<Option<Place>>,
}

impl ErasedHandler for InProcess {
    fn run(self: Arc<Self>, payload: String, context: Context) -> BoxFuture<'static, Outcome> {
        Box::pin(async move { self.run_in(payload, context).await })
    }

    fn is_ours(&self) -> bool {
        true
    }
}

impl InProcess {
    async fn run_in(&self, payload: String, context: Context) -> Outcome {
        let line = match start_line(payload, &context) {
            Ok(line) => line,
            Err(error) => return error.into(),
        };
        let reserved = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut place = match reserved {
            Some(place) => place,
            None => return self.not_started(),
        };
        loop {
            match start(place, line.clone(), &context).await {
                Answer::Ended(outcome) => return outcome,
                // The process exited before it could start the execution. Another one may have a free place.
                Answer::NotStarted => match self.pool.try_reserve(context.tenant) {
                    Some(other) => place = other,
                    None => return self.not_started(),
                },
            }
        }
    }

    /// The outcome if no process could start the execution: the attempt does not count, and the next one
    /// follows at once.
    fn not_started(&self) -> Outcome {
        Outcome::Shutdown { worker: self.worker.clone() }
    }
}

/// Starts the execution and waits for its end. The execution keeps its slot until it has ended in the
/// process, even if this future is dropped.
async fn start(place: Place, line: Vec<u8>, context: &Context) -> Answer {
    let (answer, mut answered) = oneshot::channel();
    let requests = place.requests();
    let run = Run {
        id: context.execution,
        tenant: context.tenant_slug.clone(),
        job: context.job_name.clone(),
        line,
        output: context.output.clone(),
        answer,
        stop: None,
        is_given_back: false,
        place,
        busy: context.blocking.token(),
    };
    run.start();
    let answer = tokio::select! {
        biased;
        answer = &mut answered => answer,
        () = context.cancelled.cancelled() => {
            let why = context.stopped.get().copied().unwrap_or(StopReason::Request);
            // The process may have exited.
            let _ = requests.send(Request::Cancel { id: context.execution, why });
            answered.await
        }
    };
    // Only a bug of ours drops the sender. It is unknown then whether the handler ran.
    answer.unwrap_or_else(|_| {
        let message = "the consumer lost its handler process".to_owned();
        Answer::Ended(Outcome::Crash { message, detail: None })
    })
}

fn start_line(payload: String, context: &Context) -> Result<Vec<u8>, HandlerError> {
    // JSON has line breaks only between tokens, so each can be replaced by a space.
    let payload = payload.replace(['\n', '\r'], " ");
    let payload = RawValue::from_string(payload)
        .map_err(|error| HandlerError::new(format!("payload cannot be read: {error}")))?;
    let message = Message { tenant: context.tenant, execution: context.execution };
    let left = context.database.time_left();
    let start = Start {
        id: context.execution,
        job_type: &context.job_type,
        tenant: &context.tenant_slug,
        job: &context.job_name,
        attempt: context.attempt,
        max_attempts: context.max_attempts,
        idempotency_key: context.idempotency_key(),
        scheduled_for: context.scheduled_for.to_rfc3339(),
        deadline: context.deadline_at.to_rfc3339(),
        timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        payload: &payload,
        database_url: context.database.url().expose(),
        traceparent: message.traceparent(),
    };
    Order::Start(start).line().ok_or_else(|| {
        let error = format!(
            "payload is too large for a handler process: the start message would \
            exceed {LINE_BYTES_MAX} bytes; its secrets count"
        );
        HandlerError::new(error).final_()
    })
}
