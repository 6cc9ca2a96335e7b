//! For tests of handlers: run one against a context that no row stands behind.
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
//! For a test of a whole job, from its schedule to its row, see the crate `polychron-embedded`.

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

use crate::executor::{Executor, Stops};
use crate::{Context, Handler, Registry};

/// The circumstances that a handler is to find.
pub struct FakeContext {
    context: Context,
    timeout: Duration,
    cancel: CancellationToken,
    random: Random,
    url: Option<DatabaseUrl>,
}

/// What a handler did.
#[derive(Debug)]
pub struct Ran {
    /// What it came to: a result, a failure, a timeout, a panic.
    pub outcome: Outcome,
    /// What it logged.
    pub output: String,
    /// How far it said it had come.
    pub progress: Option<Value>,
}

impl Default for FakeContext {
    fn default() -> FakeContext {
        FakeContext::new()
    }
}

impl FakeContext {
    /// The first attempt at an occurrence that is due now, with a minute's time, of a tenant that
    /// has no database. Tenant and job are always the same, so that two contexts for one
    /// occurrence have one idempotency key.
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
            database: Arc::new(database(&url, execution, timeout, cancelled)),
            output: Output::default(),
            redactor: Redactor::default(),
            busy: TaskTracker::new(),
        };
        FakeContext { context, timeout, cancel: CancellationToken::new(), random, url: None }
    }

    /// The tenant's slug.
    pub fn tenant(mut self, slug: &str) -> FakeContext {
        self.context.tenant_slug = slug.to_owned();
        self
    }

    /// Which attempt it is.
    pub fn attempt(mut self, attempt: i32) -> FakeContext {
        self.context.attempt = attempt;
        self
    }

    /// The occurrence.
    pub fn scheduled_for(mut self, time: Time) -> FakeContext {
        self.context.scheduled_for = time;
        self
    }

    /// How long the handler may run.
    pub fn timeout(mut self, timeout: Duration) -> FakeContext {
        self.context.deadline_at = self.context.scheduled_for + delta(timeout);
        self.timeout = timeout;
        self
    }

    /// The tenant's database: a `postgres://` or `sqlite://` URL.
    pub fn database(mut self, url: DatabaseUrl) -> FakeContext {
        self.url = Some(url);
        self
    }

    /// Values that must not be seen in whatever comes back.
    pub fn secrets(mut self, secrets: &[String]) -> FakeContext {
        self.context.redactor = Redactor::new(secrets);
        self.context.output = Output::new(self.context.redactor.clone());
        self
    }

    /// What cancels the execution, for a test of what the handler does then.
    pub fn cancel_by(mut self, token: CancellationToken) -> FakeContext {
        self.cancel = token;
        self
    }

    /// The context alone, to call the handler by hand.
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

    /// Runs a handler as a consumer would: its payload is read, its panic caught, its time
    /// limited, and when it ends or is stopped, what it left is ended.
    pub async fn run<P>(self, handler: impl Handler<P>, payload: Value) -> Ran
    where
        P: DeserializeOwned + Send + 'static,
    {
        let mut registry = Registry::default();
        registry.insert("test", handler);
        self.run_type(&registry, "test", payload).await
    }

    /// Runs a registry's handler of this type.
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
            cancel,
            lease_lost: CancellationToken::new(),
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
        let Report { output, progress } = output.report(true);
        let outcome = outcome.redacted(&redactor);
        Ran { outcome, output: output.unwrap_or_default(), progress }
    }
}

impl Ran {
    /// The handler's result.
    ///
    /// # Panics
    /// When it has none.
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
    /// When it has none.
    #[expect(clippy::panic, reason = "a test that expects an error should stop right there")]
    pub fn failure(&self) -> &Failure {
        match &self.outcome {
            Outcome::Failure(failure) => failure,
            other => panic!("the handler did not fail by an error of its own: {other:?}"),
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
