//! Log line, spans and lateness of each attempt.

use std::time::Duration;

use shared::clock::{BootTime, delta};
use shared::outcome::Outcome;
use shared::store::Claim;
use shared::tenants::OpenTenant;
use shared::trace::{Span, SpanKind};
use tracing::{info, warn};

use super::Worker;

/// The moments of one attempt.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    pub(super) claimed_at: BootTime,
    pub(super) started_at: BootTime,
    pub(super) ended_at: BootTime,
}

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
                // A backtrace is too long for a log line; it is in the row.
                let causes = detail.starts_with("caused by").then(|| detail.replace('\n', ", "));
                warn!(tenant, job, %execution, attempt, took_ms, %kind, causes, "{}: {message}", ending.status);
            }
        }
    }

    /// Three spans: from the claim to the handler's start, the handler, and until its result is written.
    pub(super) fn spans(
        &self,
        tenant: &OpenTenant,
        claim: &Claim,
        timing: Timing,
        error: Option<&'static str>,
        is_written: bool,
    ) -> Vec<Span> {
        let (wall, boot) = (self.clock.wall_time(), self.clock.boot_time());
        let Timing { claimed_at, started_at, ended_at } = timing;
        let at = |time: BootTime| wall - delta(boot - time);
        let attributes = vec![
            ("polychron.tenant", tenant.slug().to_owned()),
            ("polychron.job", claim.name.clone()),
            ("polychron.execution", claim.id.to_string()),
            ("polychron.attempt", claim.attempt.to_string()),
            ("polychron.worker", self.name.clone()),
        ];
        let span = |name, kind, start, end, error| Span {
            execution: claim.id,
            name,
            kind,
            start,
            end,
            attributes: attributes.clone(),
            error,
        };
        let lost = (!is_written).then_some("not_written");
        vec![
            span("claim", SpanKind::Internal, at(claimed_at), at(started_at), None),
            span("handle", SpanKind::Consumer, at(started_at), at(ended_at), error),
            span("finish", SpanKind::Internal, at(ended_at), wall, lost),
        ]
    }

    /// Records how late a first attempt's handler starts, by the clock of the tenant's database.
    /// `waited` is the time since the claim.
    pub(super) fn note_lateness(&self, claim: &Claim, waited: Duration) {
        if claim.attempt == 1 {
            let late = (claim.started_at - claim.scheduled_for).to_std().unwrap_or_default();
            self.metrics.lateness.observe((late + waited).as_secs_f64());
        }
    }
}
