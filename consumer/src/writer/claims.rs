//! Claims, as one statement: which are asked for, tried again, refused or given back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use shared::clock::Time;
use shared::id::ExecutionId;
use shared::job::OrphanPolicy;
use shared::outcome::Outcome;
use shared::output::Report;
use shared::retry::Attempts;
use shared::store::{Claim, StoreError};
use shared::tenants::OpenTenant;

use super::{ClaimRequest, Claimed, EndRequest, Writers};

impl Writers {
    /// Refuses the claims of rows whose end this worker has yet to write: those in `ends`, and those
    /// that wait behind them.
    pub(super) fn without_ending(
        &self,
        tenant: &OpenTenant,
        claims: Vec<ClaimRequest>,
        ends: &[EndRequest],
    ) -> Vec<ClaimRequest> {
        let batches = self.batches();
        let behind = batches.get(&tenant.tenant.id).map_or(&[][..], |batch| &batch.ends);
        let ending: HashSet<ExecutionId> = ends.iter().chain(behind).map(|end| end.id).collect();
        let (refused, left): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| ending.contains(&claim.id));
        for request in refused {
            let _ = request.reply.send(Claimed::Refused); // who doesn't wait need not know
        }
        left
    }

    /// Claims rows together. What is left is to be tried again; the error says why.
    pub(super) async fn write_claims(
        self: &Arc<Self>,
        tenant: &Arc<OpenTenant>,
        mut requests: Vec<ClaimRequest>,
        now: Time,
    ) -> (Vec<ClaimRequest>, Option<StoreError>) {
        requests.sort_by_key(|request| request.id);
        let ids: Vec<ExecutionId> = requests.iter().map(|request| request.id).collect();
        let sent_at = self.clock.boot_time();
        let claims = match tenant.store.claim(&ids, &self.terms, now).await {
            Ok(claims) => claims,
            Err(error) => return (self.still_worth_trying(requests, &error), Some(error)),
        };
        self.metrics.claim_duration.observe(self.metrics.since(sent_at));
        let mut claims: HashMap<ExecutionId, Claim> =
            claims.into_iter().map(|claim| (claim.id, claim)).collect();
        for request in requests {
            let Some(claim) = claims.remove(&request.id) else {
                self.metrics.claims_refused.inc();
                let _ = request.reply.send(Claimed::Refused); // who doesn't wait need not know
                continue;
            };
            let unheard = request.reply.send(Claimed::Yours(Box::new(claim), sent_at));
            if let Err(Claimed::Yours(claim, _)) = unheard {
                self.give_back(tenant, &claim);
            }
        }
        (Vec::new(), None)
    }

    /// Ends a claim that nothing came of, without charging the attempt. Its handler never started,
    /// so that another attempt runs nothing twice, whatever the orphan policy.
    pub(crate) fn give_back(self: &Arc<Self>, tenant: &Arc<OpenTenant>, claim: &Claim) {
        let outcome = Outcome::Shutdown { worker: self.terms.worker.clone() };
        let attempts = Attempts { orphan_policy: OrphanPolicy::Retry, ..claim.attempts() };
        drop(self.finish_as(tenant, claim, attempts, outcome, Report::default()));
    }

    /// Claims to try again. The others are answered: their error is one that trying again won't
    /// change soon, or so much time has passed that a claim made unheard has lost its lease.
    pub(super) fn still_worth_trying(
        &self,
        requests: Vec<ClaimRequest>,
        error: &StoreError,
    ) -> Vec<ClaimRequest> {
        let passing = !matches!(
            error,
            StoreError::Denied(_)
                | StoreError::Schema { .. }
                | StoreError::TooOld { .. }
                | StoreError::Unclaimed
                | StoreError::Owned(_)
        );
        let now = self.clock.boot_time();
        let (again, given_up): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .partition(|request| passing && now - request.asked_at < self.terms.lease);
        for request in given_up {
            let _ = request.reply.send(Claimed::Failed); // who doesn't wait need not know
        }
        again
    }
}
