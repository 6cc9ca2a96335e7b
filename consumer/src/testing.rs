//! Runs single handlers in tests, with a context that needs no row, queue or consumer.
//!
//! ```
//! use polychron_consumer::testing::FakeContext;
//! use polychron_consumer::{Context, HandlerError};
//! use serde_json::json;
//!
//! async fn greet(name: String, context: Context) -> Result<String, HandlerError> {
//!     context.log("greeting");
//!     Ok(format!("Hello, {name}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let ran = FakeContext::new().tenant("acme").run(greet, json!("Ann")).await;
//! assert_eq!(ran.result(), &json!("Hello, Ann"));
//! assert_eq!(ran.output, "greeting\n");
//! # }
//! ```
//!
//! The crate `polychron-embedded` tests whole jobs, from their schedules to their rows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::clock::{Clock, Time, delta};
use shared::database_url::DatabaseUrl;
use shared::id::{ExecutionId, JobId, TenantId};
use shared::outcome::{Failure, Outcome};
use shared::output::{Output, Report};
use shared::random::Random;
use shared::secrets::Redactor;
use shared::store::TenantDatabase;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::executor::Executor;
use crate::handler::{Handler, Registry};
use crate::stop::{StopSignals, Stops};

/// Names the program that confines the job types `command` and `sql` (over SQLite) in this test
/// process: one whose `main` begins with [`answer`](crate::answer), such as `polychron-consumer`.
/// Otherwise it is what `POLYCHRON_LAUNCHER` names, else `polychron` on the `PATH`.
pub fn use_launcher(program: &Path) {
    launcher::use_program(program);
}

/// The context that a handler runs with.
///
/// ```
/// use std::time::Duration;
///
/// use polychron_consumer::testing::FakeContext;
/// use polychron_consumer::{Context, HandlerError};
/// use serde_json::json;
///
/// async fn describe(_: (), context: Context) -> Result<String, HandlerError> {
///     Ok(format!("attempt {} for {}", context.attempt, context.tenant_slug))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let context = FakeContext::new().tenant("acme").attempt(2).timeout(Duration::from_secs(5));
/// let ran = context.run(describe, json!(null)).await;
/// assert_eq!(ran.result(), &json!("attempt 2 for acme"));
/// # }
/// ```
pub struct FakeContext {
    context: Context,
    timeout: Duration,
    cancel: CancellationToken,
    random: Random,
    url: Option<DatabaseUrl>,
}

/// The result of running a handler.
///
/// ```
/// use polychron_consumer::testing::FakeContext;
/// use polychron_consumer::{Context, HandlerError};
/// use serde_json::json;
///
/// async fn check(amount: i64, context: Context) -> Result<(), HandlerError> {
///     context.log("checking");
///     match amount {
///         0.. => Ok(()),
///         _ => Err(HandlerError::new("the amount is negative").final_()),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let ran = FakeContext::new().run(check, json!(-1)).await;
/// assert_eq!(ran.failure().message, "the amount is negative");
/// assert!(!ran.failure().retry);
/// assert_eq!(ran.output, "checking\n");
/// # }
/// ```
#[derive(Debug)]
pub struct Ran {
    /// A result, a failure, a timeout, a panic and so on.
    pub outcome: Outcome,
    /// The lines that it logged.
    pub output: String,
    /// The progress that it reported last: `done`, `total` and `message`.
    pub progress: Option<Value>,
}

impl Default for FakeContext {
    fn default() -> FakeContext {
        FakeContext::new()
    }
}

impl FakeContext {
    /// The first attempt at an occurrence that is due now, with a timeout of a minute, of a tenant
    /// without a database. Tenant and job are always the same: two contexts for one occurrence have
    /// the same idempotency key.
    pub fn new() -> FakeContext {
        let (random, clock, timeout) = (Random::system(), Clock::System, Duration::from_secs(60));
        let now = clock.wall_time();
        let execution = ExecutionId::new(now, &random);
        let cancelled = CancellationToken::new();
        let url = DatabaseUrl::of_sqlite_file(Path::new("/nonexistent/tenant.db"));
        let context = Context {
            tenant: TenantId::new(Time::UNIX_EPOCH, &Random::seeded(1)),
            tenant_slug: "test".to_owned(),
            job: JobId(1),
            job_name: "test".to_owned(),
            execution,
            attempt: 1,
            scheduled_for: now,
            deadline_at: now + delta(timeout),
            cancelled: cancelled.clone(),
            job_type: "test".to_owned(),
            max_attempts: 3,
            stopped: Arc::default(),
            database: Arc::new(database(&url, execution, timeout, cancelled)),
            output: Output::default(),
            redactor: Redactor::default(),
            blocking: TaskTracker::new(),
        };
        FakeContext { context, timeout, cancel: CancellationToken::new(), random, url: None }
    }

    /// Sets the tenant's slug.
    pub fn tenant(mut self, slug: &str) -> FakeContext {
        self.context.tenant_slug = slug.to_owned();
        self
    }

    /// Sets the number of the attempt; 1 is the first.
    pub fn attempt(mut self, attempt: i32) -> FakeContext {
        self.context.attempt = attempt;
        self
    }

    /// Sets the occurrence.
    pub fn scheduled_for(mut self, time: Time) -> FakeContext {
        self.context.scheduled_for = time;
        self
    }

    /// Sets how long the handler may run.
    pub fn timeout(mut self, timeout: Duration) -> FakeContext {
        self.context.deadline_at = self.context.scheduled_for + delta(timeout);
        self.timeout = timeout;
        self
    }

    /// Sets the tenant's database: a `postgres://` or `sqlite://` URL.
    ///
    /// ```
    /// use polychron_consumer::testing::FakeContext;
    ///
    /// let context = FakeContext::new().database("sqlite:///tmp/acme.db".parse().unwrap());
    /// ```
    pub fn database(mut self, url: DatabaseUrl) -> FakeContext {
        self.url = Some(url);
        self
    }

    /// Sets the values that are redacted in the outcome and the output.
    pub fn secrets(mut self, secrets: &[String]) -> FakeContext {
        self.context.redactor = Redactor::new(secrets);
        self.context.output = Output::new(self.context.redactor.clone());
        self
    }

    /// Cancels the execution when the test cancels `token`, to test how the handler reacts.
    pub fn cancel_by(mut self, token: CancellationToken) -> FakeContext {
        self.cancel = token;
        self
    }

    /// The context alone, for a test that calls the handler itself.
    ///
    /// ```
    /// use polychron_consumer::testing::FakeContext;
    /// use polychron_consumer::{Context, HandlerError};
    ///
    /// async fn double(n: u32, _: Context) -> Result<u32, HandlerError> {
    ///     Ok(2 * n)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// assert_eq!(double(21, FakeContext::new().context()).await.unwrap(), 42);
    /// # }
    /// ```
    pub fn context(mut self) -> Context {
        self.context.cancelled = self.cancel.clone();
        self.ready()
    }

    fn ready(self) -> Context {
        let FakeContext { mut context, timeout, url, .. } = self;
        if let Some(url) = url {
            let cancelled = context.cancelled.clone();
            context.database = Arc::new(database(&url, context.execution, timeout, cancelled));
        }
        context
    }

    /// Runs a handler as a consumer would: reads its payload, catches its panic, enforces its timeout,
    /// and closes its database connections in the end.
    pub async fn run<P>(self, handler: impl Handler<P>, payload: Value) -> Ran
    where
        P: DeserializeOwned + Send + 'static,
    {
        let mut registry = Registry::default();
        registry.insert("test", handler);
        self.run_type(&registry, "test", payload).await
    }

    /// Runs the registry's handler for a job type.
    ///
    /// ```
    /// # use polychron_consumer::{Context, HandlerError, Registry};
    /// # use polychron_consumer::testing::FakeContext;
    /// # use serde_json::json;
    /// # async fn noop(_: (), _: Context) -> Result<(), HandlerError> { Ok(()) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut registry = Registry::default();
    /// registry.insert("noop", noop);
    /// let ran = FakeContext::new().run_type(&registry, "noop", json!(null)).await;
    /// assert_eq!(ran.result(), &json!(null));
    /// # }
    /// ```
    pub async fn run_type(self, registry: &Registry, job_type: &str, payload: Value) -> Ran {
        let (timeout, worker) = (self.timeout, format!("test-{:02x}", self.random.bytes::<1>()[0]));
        let cancel = self.cancel.clone();
        let context = self.ready();
        let Some(handler) = registry.get(job_type) else {
            let (job_type, known) = (job_type.to_owned(), registry.job_types());
            let outcome = Outcome::UnknownType { job_type, known };
            return Ran { outcome, output: String::new(), progress: None };
        };
        let stops = Stops {
            time_left: timeout,
            limit: timeout,
            signals: StopSignals { cancel, ..StopSignals::default() },
            release: CancellationToken::new(),
            worker,
        };
        let (output, database) = (context.output.clone(), context.database.clone());
        let redactor = context.redactor.clone();
        let executor = Executor::new(Handle::current(), Clock::System);
        let (outcome, lingering) =
            executor.execute(handler, payload.to_string(), context, stops).await;
        if let Some(lingering) = lingering {
            let _ = lingering.await; // it never fails, and never panics
        }
        database.close().await;
        let Report { output, progress } = output.final_report();
        let outcome = outcome.redacted(&redactor);
        Ran { outcome, output: output.unwrap_or_default(), progress }
    }
}

impl Ran {
    /// The handler's result.
    ///
    /// # Panics
    /// If the handler did not succeed.
    #[expect(clippy::panic, reason = "a test that expects a result should stop right there")]
    pub fn result(&self) -> &Value {
        match &self.outcome {
            Outcome::Success(result) => result,
            other => panic!("the handler did not succeed: {other:?}"),
        }
    }

    /// The handler's error.
    ///
    /// # Panics
    /// If the handler did not return an error.
    #[expect(clippy::panic, reason = "a test that expects an error should stop right there")]
    pub fn failure(&self) -> &Failure {
        match &self.outcome {
            Outcome::Failure(failure) => failure,
            other => panic!("the handler did not return an error: {other:?}"),
        }
    }
}

fn database(
    url: &DatabaseUrl,
    execution: ExecutionId,
    timeout: Duration,
    cancelled: CancellationToken,
) -> TenantDatabase {
    let deadline = Clock::System.boot_time() + timeout;
    TenantDatabase::new(url, execution, Clock::System, deadline, cancelled)
}
