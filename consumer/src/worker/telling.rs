//! What is told of each attempt: a line in the log, its spans, and how late it started.

use std::time::Duration;

use shared::clock::{BootTime, delta};
use shared::outcome::Outcome;
use shared::store::Claim;
use shared::tenants::OpenTenant;
use shared::trace::{Place, Span};
use tracing::{info, warn};

use super::Worker;

impl Worker {
    /// One line for each attempt: INFO for a success, WARN for anything else.
    pub(super) fn log(
        &self,
        tenant: &OpenTenant,
        claim: &Claim,
        outcome: &Outcome,
        started: BootTime,
    ) {
        let took_ms = (self.clock.boot_time() - started).as_millis() as u64;
        let (tenant, job) = (tenant.slug(), &claim.name);
        let (execution, attempt) = (claim.id, claim.attempt);
        let ending = outcome.ending();
        match ending.error_kind {
            None => info!(tenant, job, %execution, attempt, took_ms, "succeeded"),
            Some(kind) => {
                let message = ending.error_message.unwrap_or_default();
                let detail = ending.error_detail.unwrap_or_default();
                // A backtrace stands in the row; a chain of causes fits the line.
                let causes = detail.starts_with("caused by").then(|| detail.replace('\n', ", "));
                warn!(tenant, job, %execution, attempt, took_ms, %kind, causes, "{}: {message}", ending.status);
            }
        }
    }

    /// From the claim to the start, the handler's work, and from its end until that was written.
    pub(super) fn spans(
        &self,
        tenant: &OpenTenant,
        claim: &Claim,
        [claimed, started, ended]: [BootTime; 3],
        error: Option<&'static str>,
        written: bool,
    ) -> Vec<Span> {
        let (wall, boot) = (self.clock.wall_time(), self.clock.boot_time());
        let at = |time: BootTime| wall - delta(boot - time);
        let attributes = vec![
            ("polychron.tenant", tenant.slug().to_owned()),
            ("polychron.job", claim.name.clone()),
            ("polychron.execution", claim.id.to_string()),
            ("polychron.attempt", claim.attempt.to_string()),
            ("polychron.worker", self.name.clone()),
        ];
        let span = |name, place, start, end, error| Span {
            execution: claim.id,
            name,
            place,
            start,
            end,
            attributes: attributes.clone(),
            error,
        };
        let lost = (!written).then_some("not_written");
        vec![
            span("claim", Place::Inner, at(claimed), at(started), None),
            span("handle", Place::Received, at(started), at(ended), error),
            span("finish", Place::Inner, at(ended), wall, lost),
        ]
    }

    /// How late a first attempt's handler starts, by the tenant's database's clock; `waited` has
    /// passed since the claim.
    pub(super) fn note_lateness(&self, claim: &Claim, waited: Duration) {
        if claim.attempt == 1 {
            let late = (claim.started_at - claim.scheduled_for).to_std().unwrap_or_default();
            self.metrics.lateness.observe((late + waited).as_secs_f64());
        }
    }
}
