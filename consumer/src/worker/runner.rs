//! Prepares a claimed row's handler and runs it: payload, secrets, context, database.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::outcome::Outcome;
use shared::output::Output;
use shared::secrets::{Resolved, Secrets};
use shared::store::{Claim, TenantDatabase};
use shared::tenants::OpenTenant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::error::HandlerError;
use crate::executor::{Executor, Lingering};
use crate::handler::{ErasedHandler, Registry};
use crate::handler_process::Handlers;
use crate::reporter::Reporter;
use crate::stop::{StopSignals, Stops};

/// Runs handlers for claimed rows.
pub(crate) struct Runner {
    pub(crate) worker: String,
    pub(crate) registry: Registry,
    pub(crate) handlers: Handlers,
    pub(crate) secrets: Secrets,
    pub(crate) executor: Executor,
    pub(crate) reporter: Arc<Reporter>,
    /// Cancelled when the process gives back what still runs.
    pub(crate) release: CancellationToken,
    pub(crate) clock: Clock,
}

/// What running a handler left behind.
pub(super) struct Executed {
    pub(super) outcome: Outcome,
    pub(super) output: Output,
    /// The handler, if it has not returned yet.
    pub(super) lingering: Option<Lingering>,
    /// To be closed once the handler has returned.
    pub(super) database: Arc<TenantDatabase>,
}

/// How long the attempt may run, from its claim.
pub(super) fn time_limit(claim: &Claim) -> Duration {
    (claim.deadline_at - claim.started_at).to_std().unwrap_or_default()
}

impl Runner {
    /// The job types that have a handler.
    pub(crate) fn job_types(&self) -> Vec<String> {
        let mut types = self.registry.job_types();
        types.extend(self.handlers.job_types());
        types.sort();
        types
    }

    /// Runs the handler of a row that was claimed at `claimed_at`: the one `in_process` if a handler
    /// process has it, else one of this program.
    pub(super) async fn run(
        &self,
        tenant: &OpenTenant,
        claim: &Claim,
        claimed_at: BootTime,
        signals: StopSignals,
        in_process: Option<Arc<dyn ErasedHandler>>,
    ) -> Executed {
        let cancelled = CancellationToken::new();
        let (url, clock) = (&tenant.tenant.database_url, self.clock.clone());
        let deadline = claimed_at + time_limit(claim);
        let database = TenantDatabase::new(url, claim.id, clock, deadline, cancelled.clone());
        let database = Arc::new(database);
        let not_started = |outcome| Executed {
            outcome,
            output: Output::default(),
            lingering: None,
            database: database.clone(),
        };
        let handler = in_process.or_else(|| self.registry.get(&claim.job_type));
        let Some(handler) = handler else {
            let job_type = claim.job_type.clone();
            let known = self.job_types();
            return not_started(Outcome::UnknownType { job_type, known });
        };
        let Some(payload) = &claim.payload else {
            let too_long = "the payload is longer than 64 KiB: shorten it in the job";
            return not_started(HandlerError::new(too_long).final_().into());
        };
        let Resolved { payload, redactor } = match self.secrets.resolve(tenant.slug(), payload) {
            Ok(resolved) => resolved,
            Err(why) => return not_started(HandlerError::new(why).into()),
        };
        let output = Output::new(redactor.clone());
        let context = Context {
            tenant: tenant.tenant.id,
            tenant_slug: tenant.tenant.slug.clone(),
            job: claim.job_id,
            job_name: claim.name.clone(),
            execution: claim.id,
            attempt: claim.attempt,
            scheduled_for: claim.scheduled_for,
            deadline_at: claim.deadline_at,
            cancelled,
            job_type: claim.job_type.clone(),
            max_attempts: claim.max_attempts,
            stopped: Arc::default(),
            database: database.clone(),
            output: output.clone(),
            redactor: redactor.clone(),
            blocking: TaskTracker::new(),
        };
        let _watch = self.reporter.watch(tenant.tenant.id, claim.id, output.clone());
        let stops = self.stops(claim, claimed_at, signals);
        let (outcome, lingering) = self.executor.execute(handler, payload, context, stops).await;
        Executed { outcome: outcome.redacted(&redactor), output, lingering, database }
    }

    fn stops(&self, claim: &Claim, claimed_at: BootTime, signals: StopSignals) -> Stops {
        let limit = time_limit(claim);
        let spent = self.clock.boot_time() - claimed_at;
        Stops {
            time_left: limit.saturating_sub(spent),
            limit,
            signals,
            release: self.release.clone(),
            worker: self.worker.clone(),
        }
    }
}
