//! What jobs do: handlers, which users write, and the registry that a job's type is looked up in.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::clock::Time;
use shared::id::{ExecutionId, JobId, TenantId};
use shared::outcome::{Failure, Outcome};
use tokio_util::sync::CancellationToken;

/// Code for one job type. An async function of a payload and a [`Context`] is a handler; so is any
/// type that implements this.
///
/// A handler may run twice for one occurrence, when its worker was lost after the work was done
/// but before that was recorded: what it does outside should be done under
/// [`Context::idempotency_key`].
pub trait Handler<P>: Send + Sync + 'static {
    /// What it returns; kept as the execution's result.
    type Output: Serialize;

    /// Does the work.
    fn run(
        &self,
        payload: P,
        context: Context,
    ) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send;
}

impl<P, F, R, Fut> Handler<P> for F
where
    F: Fn(P, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, HandlerError>> + Send,
    R: Serialize,
{
    type Output = R;

    fn run(
        &self,
        payload: P,
        context: Context,
    ) -> impl Future<Output = Result<R, HandlerError>> + Send {
        self(payload, context)
    }
}

/// What a handler knows of its execution.
#[derive(Clone, Debug)]
pub struct Context {
    /// Whose job it is.
    pub tenant: TenantId,
    /// What people call that tenant.
    pub tenant_slug: String,
    /// The job.
    pub job: JobId,
    /// Its name.
    pub job_name: String,
    /// The row of this attempt.
    pub execution: ExecutionId,
    /// 1 for the first attempt at the occurrence.
    pub attempt: i32,
    /// The occurrence: when it was meant to run.
    pub scheduled_for: Time,
    /// When this attempt times out, by the tenant's database's clock.
    pub deadline_at: Time,
    /// Cancelled when the result is no longer wanted: at the deadline, on request, when the lease
    /// is lost, and at the end of a shutdown. What goes on regardless is aborted soon after, at
    /// its next await.
    pub cancelled: CancellationToken,
}

impl Context {
    /// The same for every attempt at this occurrence, and for no other occurrence: for outside
    /// effects that must happen once.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.job, self.scheduled_for.timestamp_micros())
    }
}

/// Why a handler failed. Any error becomes one by `?`; another attempt is made, unless
/// [`HandlerError::final_`] says that it would come to the same.
#[derive(Debug)]
pub struct HandlerError {
    message: String,
    detail: Option<String>,
    retry: bool,
}

impl HandlerError {
    /// From anything that is an error or a text.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HandlerError {
        HandlerError::of(error.into().as_ref())
    }

    /// Says that another attempt would come to the same.
    pub fn final_(self) -> HandlerError {
        HandlerError { retry: false, ..self }
    }

    fn of(error: &(dyn std::error::Error + 'static)) -> HandlerError {
        let causes: Vec<String> = std::iter::successors(error.source(), |cause| cause.source())
            .map(|cause| cause.to_string())
            .collect();
        let detail =
            (!causes.is_empty()).then(|| format!("caused by: {}", causes.join("\ncaused by: ")));
        HandlerError { message: error.to_string(), detail, retry: true }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        HandlerError::of(&error)
    }
}

/// The handlers that a consumer knows, by job type.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, Arc<dyn ErasedHandler>>);

impl Registry {
    /// Adds a handler, or replaces that of the same type.
    pub fn insert<P>(&mut self, job_type: &str, handler: impl Handler<P>)
    where
        P: DeserializeOwned + Send + 'static,
    {
        let handler = Typed { handler, payload: std::marker::PhantomData };
        self.0.insert(job_type.to_owned(), Arc::new(handler));
    }

    /// The job types it knows.
    pub fn job_types(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(crate) fn get(&self, job_type: &str) -> Option<Arc<dyn ErasedHandler>> {
        self.0.get(job_type).cloned()
    }
}

/// A handler whose payload and result are JSON: what the executor runs.
pub(crate) trait ErasedHandler: Send + Sync {
    fn run(self: Arc<Self>, payload: String, context: Context) -> BoxFuture<'static, Outcome>;
}

struct Typed<H, P> {
    handler: H,
    payload: std::marker::PhantomData<fn(P)>,
}

impl<P, H> ErasedHandler for Typed<H, P>
where
    P: DeserializeOwned + Send + 'static,
    H: Handler<P>,
{
    fn run(self: Arc<Self>, payload: String, context: Context) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let payload = match read_payload(&payload) {
                Ok(payload) => payload,
                Err(outcome) => return outcome,
            };
            match self.handler.run(payload, context).await {
                Ok(output) => written(&output),
                Err(HandlerError { message, detail, retry }) => {
                    Outcome::Failure(Failure { message, detail, retry })
                }
            }
        })
    }
}

/// A payload that cannot be read fails the attempt and names the place. Another attempt is made:
/// the payload may be corrected meanwhile.
fn read_payload<P: DeserializeOwned>(payload: &str) -> Result<P, Outcome> {
    let mut reader = serde_json::Deserializer::from_str(payload);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { "payload".to_owned() } else { format!("payload.{path}") };
        // serde's texts may quote the value, but the payload is in the same row.
        let message = format!("{place} cannot be read: {}", without_position(error.inner()));
        Outcome::Failure(Failure { message, detail: None, retry: true })
    })
}

/// The payload is one line, so that the line and column say nothing that the path doesn't.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn written(output: &impl Serialize) -> Outcome {
    match serde_json::to_value(output) {
        Ok(result) => Outcome::Success(result),
        Err(error) => {
            let message = format!("the result cannot be written as JSON: {error}");
            Outcome::Failure(Failure { message, detail: None, retry: false })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Invoice {
        lines: Vec<Line>,
    }

    #[derive(Deserialize)]
    struct Line {
        amount: u32,
    }

    #[test]
    fn a_payload_that_cannot_be_read_names_the_place() {
        let read = |payload: &str| match read_payload::<Invoice>(payload) {
            Ok(invoice) => invoice.lines.iter().map(|line| line.amount).sum::<u32>().to_string(),
            Err(Outcome::Failure(failure)) => failure.message,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(read(r#"{"lines":[{"amount":1},{"amount":2}]}"#), "3");
        assert_eq!(
            read(r#"{"lines":[{"amount":1},{"amount":-2}]}"#),
            "payload.lines[1].amount cannot be read: invalid value: integer `-2`, expected u32"
        );
        assert_eq!(read("{}"), "payload cannot be read: missing field `lines`");
        let deep = "[".repeat(100_000);
        assert!(read(&deep).contains("cannot be read"));
    }

    #[test]
    fn an_error_keeps_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the invoice was not sent")]
        struct NotSent(#[source] std::io::Error);
        let error: HandlerError = NotSent(std::io::Error::other("the line is dead")).into();
        assert_eq!(error.message, "the invoice was not sent");
        assert_eq!(error.detail.as_deref(), Some("caused by: the line is dead"));
        assert!(error.retry && !HandlerError::new("no").final_().retry);
    }
}
