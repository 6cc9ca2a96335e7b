//! What jobs do: handlers, which users write, and the registry that a job's type is looked up in.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::outcome::{Failure, Outcome};

use crate::context::Context;
use crate::executor::catching;

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

/// Why a handler failed. Any error becomes one by `?`; another attempt is made, unless
/// [`HandlerError::final_`] says that it would come to the same.
#[derive(Debug)]
pub struct HandlerError {
    message: String,
    detail: Option<String>,
    retry: bool,
    retry_after: Option<Duration>,
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

    /// Says when to try again, whatever the job's backoff is; an hour at the latest.
    pub fn retry_after(self, delay: Duration) -> HandlerError {
        HandlerError { retry_after: Some(delay), ..self }
    }

    /// Adds what belongs to the error but is too long for its sentence.
    pub fn with_detail(self, detail: impl Into<String>) -> HandlerError {
        HandlerError { detail: Some(detail.into()), ..self }
    }

    fn of(error: &(dyn std::error::Error + 'static)) -> HandlerError {
        let causes: Vec<String> = std::iter::successors(error.source(), |cause| cause.source())
            .map(|cause| cause.to_string())
            .collect();
        let detail =
            (!causes.is_empty()).then(|| format!("caused by: {}", causes.join("\ncaused by: ")));
        HandlerError { message: error.to_string(), detail, retry: true, retry_after: None }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        HandlerError::of(&error)
    }
}

impl From<HandlerError> for Outcome {
    fn from(error: HandlerError) -> Outcome {
        let HandlerError { message, detail, retry, retry_after } = error;
        Outcome::Failure(Failure { message, detail, retry, retry_after })
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
        let handler = Typed { handler, payload: PhantomData };
        self.0.insert(job_type.to_owned(), Arc::new(handler));
    }

    /// Adds a handler that blocks its thread: it gets one of its own. It cannot be aborted, so
    /// it should look at [`Context::cancelled`] from time to time; until it returns, it keeps its
    /// slot.
    pub fn insert_blocking<P, R, F>(&mut self, job_type: &str, handler: F)
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(P, Context) -> Result<R, HandlerError> + Send + Sync + 'static,
    {
        let handler = Blocking { handler, payload: PhantomData };
        self.0.insert(job_type.to_owned(), Arc::new(handler));
    }

    /// Takes over another's handlers; of two for one type, the other's.
    pub fn extend(&mut self, other: Registry) {
        self.0.extend(other.0);
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
    payload: PhantomData<fn(P)>,
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
                Err(error) => error.into(),
            }
        })
    }
}

struct Blocking<F, P> {
    handler: F,
    payload: PhantomData<fn(P)>,
}

impl<P, R, F> ErasedHandler for Blocking<F, P>
where
    P: DeserializeOwned + Send + 'static,
    R: Serialize + 'static,
    F: Fn(P, Context) -> Result<R, HandlerError> + Send + Sync + 'static,
{
    fn run(self: Arc<Self>, payload: String, context: Context) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let spawner = context.clone();
            let work = move || {
                let payload = match read_payload(&payload) {
                    Ok(payload) => payload,
                    Err(outcome) => return outcome,
                };
                match (self.handler)(payload, context) {
                    Ok(output) => written(&output),
                    Err(error) => error.into(),
                }
            };
            match spawner.spawn_blocking(|| catching(work)).await {
                Ok(outcome) => outcome.unwrap_or_else(|panic| panic),
                // Only a runtime that goes down gives a blocking closure up.
                Err(error) => HandlerError::from(error).into(),
            }
        })
    }
}

/// A payload that cannot be read fails the attempt and names the place. Another attempt is made,
/// with the same payload: by then a newer version of the program may run, which reads it.
fn read_payload<P: DeserializeOwned>(payload: &str) -> Result<P, Outcome> {
    let mut reader = serde_json::Deserializer::from_str(payload);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let place = match path.as_str() {
            "." => "payload".to_owned(),
            path if path.starts_with('[') => format!("payload{path}"),
            path => format!("payload.{path}"),
        };
        // serde's texts may quote the value, but the payload is in the same row.
        let message = format!("{place} cannot be read: {}", without_position(error.inner()));
        HandlerError::new(message).into()
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
            HandlerError::new(message).final_().into()
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
