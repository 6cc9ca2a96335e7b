//! Handlers, which users write, and the registry that finds the handler of a job type.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::outcome::Outcome;

use crate::context::Context;
use crate::error::HandlerError;
use crate::panics::catching;

/// Code for one job type. Every async function of a payload and a [`Context`] is a handler, and so
/// is every type that implements this trait. The payload `P` is read from the job's JSON.
///
/// A handler may run twice for one occurrence if its worker was lost after the work was done, but
/// before that was recorded. Use [`Context::idempotency_key`] for effects outside the database.
///
/// ```
/// use polychron_consumer::{Context, Handler, HandlerError, Registry};
///
/// #[derive(serde::Deserialize)]
/// struct Greeting {
///     name: String,
/// }
///
/// struct Greeter {
///     greeting: String,
/// }
///
/// impl Handler<Greeting> for Greeter {
///     type Output = String;
///
///     async fn run(&self, payload: Greeting, _: Context) -> Result<String, HandlerError> {
///         Ok(format!("{}, {}!", self.greeting, payload.name))
///     }
/// }
///
/// let mut registry = Registry::default();
/// registry.insert("greet", Greeter { greeting: "Hello".to_owned() });
/// ```
pub trait Handler<P>: Send + Sync + 'static {
    /// Kept as the execution's result, in JSON.
    type Output: Serialize;

    /// Runs one attempt.
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

/// Handlers by job type.
///
/// ```
/// use polychron_consumer::{Consumer, Context, HandlerError, Registry};
///
/// async fn send_invoice(number: u32, _: Context) -> Result<String, HandlerError> {
///     Ok(format!("sent invoice {number}"))
/// }
///
/// /// Shared by the program and its tests.
/// fn handlers() -> Registry {
///     let mut registry = Registry::default();
///     registry.insert("send_invoice", send_invoice);
///     registry
/// }
///
/// let consumer = Consumer::builder().handlers(handlers());
/// assert_eq!(handlers().job_types(), ["send_invoice"]);
/// ```
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, Arc<dyn ErasedHandler>>);

impl Registry {
    /// Adds a handler, or replaces the one for this job type.
    ///
    /// ```
    /// # use polychron_consumer::{Context, HandlerError, Registry};
    /// async fn add(numbers: (i32, i32), _: Context) -> Result<i32, HandlerError> {
    ///     Ok(numbers.0 + numbers.1)
    /// }
    ///
    /// let mut registry = Registry::default();
    /// registry.insert("add", add);
    /// ```
    pub fn insert<P>(&mut self, job_type: &str, handler: impl Handler<P>)
    where
        P: DeserializeOwned + Send + 'static,
    {
        let handler = Typed { handler, payload: PhantomData };
        self.0.insert(job_type.to_owned(), Arc::new(handler));
    }

    /// Adds a handler that blocks: each attempt gets a thread of its own. It cannot be aborted and
    /// keeps its slot until it returns, so it should check [`Context::cancelled`] from time to time.
    ///
    /// ```
    /// # use polychron_consumer::{Context, HandlerError, Registry};
    /// fn copy((from, to): (String, String), _: Context) -> Result<u64, HandlerError> {
    ///     Ok(std::fs::copy(from, to)?)
    /// }
    ///
    /// let mut registry = Registry::default();
    /// registry.insert_blocking("copy", copy);
    /// ```
    pub fn insert_blocking<P, R, F>(&mut self, job_type: &str, handler: F)
    where
        P: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(P, Context) -> Result<R, HandlerError> + Send + Sync + 'static,
    {
        let handler = Blocking { handler, payload: PhantomData };
        self.0.insert(job_type.to_owned(), Arc::new(handler));
    }

    /// Adds all handlers of `other`, which replace those for the same job types.
    ///
    /// ```
    /// # use polychron_consumer::{Context, HandlerError, Registry};
    /// # async fn noop(_: (), _: Context) -> Result<(), HandlerError> { Ok(()) }
    /// let (mut billing, mut reports) = (Registry::default(), Registry::default());
    /// billing.insert("send_invoice", noop);
    /// reports.insert("build_report", noop);
    /// billing.extend(reports);
    /// assert_eq!(billing.job_types(), ["build_report", "send_invoice"]);
    /// ```
    pub fn extend(&mut self, other: Registry) {
        self.0.extend(other.0);
    }

    /// The job types that have a handler, in alphabetical order.
    pub fn job_types(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(crate) fn get(&self, job_type: &str) -> Option<Arc<dyn ErasedHandler>> {
        self.0.get(job_type).cloned()
    }
}

/// A handler whose payload and result are JSON, as the executor runs it.
pub(crate) trait ErasedHandler: Send + Sync {
    fn run(self: Arc<Self>, payload: String, context: Context) -> BoxFuture<'static, Outcome>;

    /// Whether it is code of ours that never blocks. It then runs on our own runtime, which saves
    /// waking another thread.
    fn is_ours(&self) -> bool {
        false
    }
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
                Ok(output) => success(&output),
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
                    Ok(output) => success(&output),
                    Err(error) => error.into(),
                }
            };
            match spawner.spawn_blocking(|| catching(work)).await {
                Ok(outcome) => outcome.unwrap_or_else(|panic| panic),
                // The runtime is shutting down.
                Err(error) => HandlerError::from(error).into(),
            }
        })
    }
}

/// Reads a payload. The error names the field, and the attempt is retried: a newer version of the
/// program may be able to read it.
fn read_payload<P: DeserializeOwned>(payload: &str) -> Result<P, Outcome> {
    let mut reader = serde_json::Deserializer::from_str(payload);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let place = match path.as_str() {
            "." => "payload".to_owned(),
            path if path.starts_with('[') => format!("payload{path}"),
            path => format!("payload.{path}"),
        };
        // Serde may quote the value, which leaks nothing: the payload is in the same row.
        let message = format!("{place} cannot be read: {}", without_position(error.inner()));
        HandlerError::new(message).into()
    })
}

/// Serde's message without line and column, which mean nothing in a payload on one line.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn success(output: &impl Serialize) -> Outcome {
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
    fn the_error_for_an_unreadable_payload_names_the_field() {
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
}
