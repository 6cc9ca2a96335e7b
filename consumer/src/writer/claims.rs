//! Claims rows by one statement, and decides which claims to try again, refuse or give back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use shared::id::ExecutionId;
use shared::job::OrphanPolicy;
use shared::outcome::Outcome;
use shared::output::Report;
use shared::retry::Attempts;
use shared::store::{Claim, DbTime, StoreError};
use shared::tenants::OpenTenant;

use super::{ClaimRequest, Claimed, FinishRequest, Writers};

impl Writers {
    /// Refuses claims of rows whose result this worker has not written yet: those in `finishes`, and
    /// those that are queued behind them. Returns the other claims.
    pub(super) fn refuse_unfinished(
        &self,
        tenant: &OpenTenant,
        claims: Vec<ClaimRequest>,
        finishes: &[FinishRequest],
    ) -> Vec<ClaimRequest> {
        let batches = self.batches();
        let queued = batches.get(&tenant.tenant.id).map_or(&[][..], |batch| &batch.finishes);
        let unfinished: HashSet<ExecutionId> =
            finishes.iter().chain(queued).map(|finish| finish.id).collect();
        let (refused, others): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| unfinished.contains(&claim.id));
        for request in refused {
            let _ = request.reply.send(Claimed::Refused); // the receiver may be gone
        }
        others
    }

    /// Claims rows by one statement. Returns the requests to try again, and why they failed.
    pub(super) async fn write_claims(
        self: &Arc<Self>,
        tenant: &Arc<OpenTenant>,
        mut requests: Vec<ClaimRequest>,
        now: DbTime,
    ) -> (Vec<ClaimRequest>, Option<StoreError>) {
        requests.sort_by_key(|request| request.id);
        let ids: Vec<ExecutionId> = requests.iter().map(|request| request.id).collect();
        let sent_at = self.clock.boot_time();
        let claims = match tenant.store.claim(&ids, &self.terms, now).await {
            Ok(claims) => claims,
            Err(StoreError::Conflict(_)) if requests.len() > 1 => {
                // One by one: a row that another session has locked must not hold up the others.
                let (mut left, mut failed) = (Vec::new(), None);
                for request in requests {
                    let alone = Box::pin(self.write_claims(tenant, vec![request], now));
                    let (again, error) = alone.await;
                    left.extend(again);
                    failed = error.or(failed);
                }
                return (left, failed);
            }
            Err(error) => return (self.still_worth_trying(requests, &error), Some(error)),
        };
        self.metrics.claim_duration.observe(self.metrics.since(sent_at));
        let mut claims: HashMap<ExecutionId, Claim> =
            claims.into_iter().map(|claim| (claim.id, claim)).collect();
        for request in requests {
            let Some(claim) = claims.remove(&request.id) else {
                self.metrics.claims_refused.inc();
                let _ = request.reply.send(Claimed::Refused); // the receiver may be gone
                continue;
            };
            let undelivered = request.reply.send(Claimed::Yours(Box::new(claim), sent_at));
            if let Err(Claimed::Yours(claim, _)) = undelivered {
                self.give_back(tenant, &claim);
            }
        }
        (Vec::new(), None)
    }

    /// Gives back a claim whose handler was not started. The attempt is not charged, and the next one
    /// follows whatever the orphan policy is, since nothing has run.
    pub(crate) fn give_back(self: &Arc<Self>, tenant: &Arc<OpenTenant>, claim: &Claim) {
        let outcome = Outcome::Shutdown { worker: self.terms.worker.clone() };
        let attempts = Attempts { orphan_policy: OrphanPolicy::Retry, ..claim.attempts() };
        drop(self.finish_as(tenant, claim, attempts, outcome, Report::default()));
    }

    /// The claims to try again. The others are answered with a failure: the error is not transient, or
    /// a claim that succeeded without a reply would have lost its lease by now.
    pub(super) fn still_worth_trying(
        &self,
        requests: Vec<ClaimRequest>,
        error: &StoreError,
    ) -> Vec<ClaimRequest> {
        let is_transient = !matches!(
            error,
            StoreError::Denied(_)
                | StoreError::Schema { .. }
                | StoreError::TooOld { .. }
                | StoreError::Unowned
                | StoreError::Owned(_)
        );
        let now = self.clock.boot_time();
        let (again, given_up): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .partition(|request| is_transient && now - request.requested_at < self.terms.lease);
        for request in given_up {
            let _ = request.reply.send(Claimed::Failed); // the receiver may be gone
        }
        again
    }
}
