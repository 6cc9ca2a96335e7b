//! Writes results by one statement, and replaces those that the database refuses.

use std::collections::HashMap;

use shared::id::ExecutionId;
use shared::outcome::{Failure, Outcome};
use shared::output::Report;
use shared::store::{DbTime, Finish, Finished, StoreError, chain};
use shared::tenants::OpenTenant;
use tracing::error;

use super::{FinishReply, FinishRequest, Writers};

impl Writers {
    /// Writes results by one statement. Returns the requests to try again, and why they failed.
    pub(super) async fn write_finishes(
        &self,
        tenant: &OpenTenant,
        mut requests: Vec<FinishRequest>,
        now: DbTime,
    ) -> (Vec<FinishRequest>, Option<StoreError>) {
        requests.sort_by_key(|request| request.id);
        let finishes: Vec<Finish> =
            requests.iter().map(|request| self.finish_of(request, now)).collect();
        match tenant.store.finish(&finishes, now).await {
            Ok(mut finished) => {
                let unsure =
                    requests.iter().zip(&finishes).filter(|(request, _)| request.maybe_written);
                for (_, finish) in unsure {
                    finished.extend(Writers::written_before(tenant, finish, &finished).await);
                }
                self.reply(requests, &finishes, &finished);
                (Vec::new(), None)
            }
            Err(StoreError::Refused(_) | StoreError::Conflict(_)) if requests.len() > 1 => {
                // Write them one by one: a row that is refused, or that another session has locked, must
                // not fail the others.
                let (mut left, mut locked) = (Vec::new(), None);
                let mut rest = requests.into_iter();
                while let Some(request) = rest.next() {
                    let alone = Box::pin(self.write_finishes(tenant, vec![request], now));
                    let (again, error) = alone.await;
                    left.extend(again);
                    match error {
                        Some(error @ StoreError::Conflict(_)) => locked = Some(error),
                        None => {}
                        error => {
                            left.extend(rest);
                            return (left, error);
                        }
                    }
                }
                (left, locked)
            }
            Err(refused @ StoreError::Refused(_)) => {
                let requests = requests.into_iter();
                let left = requests.filter_map(|request| self.replace(tenant, request, &refused));
                (left.collect(), None)
            }
            Err(error) => {
                requests.iter_mut().for_each(|request| request.maybe_written = true);
                (requests, Some(error))
            }
        }
    }

    /// Reads back a row that was not updated: an earlier try may have committed its result although
    /// the reply was lost. Whether an attempt followed is unknown then, so both flags are set, which
    /// wakes the producer.
    async fn written_before(
        tenant: &OpenTenant,
        finish: &Finish,
        finished: &[Finished],
    ) -> Option<Finished> {
        if finished.iter().any(|finished| finished.id == finish.id) {
            return None;
        }
        let row = tenant.store.find_execution(finish.id).await.ok()??;
        let ours = row.worker.as_ref() == Some(&finish.worker)
            && (row.status, row.error_kind) == (finish.ending.status, finish.ending.error_kind);
        ours.then_some(Finished { id: finish.id, has_next_attempt: true, needs_poll: true })
    }

    fn finish_of(&self, request: &FinishRequest, now: DbTime) -> Finish {
        let holder = (request.id, self.terms.worker.as_str());
        let finish = Finish::of(&request.outcome, &request.attempts, holder, now, &self.random);
        Finish { report: request.report.clone(), ..finish }
    }

    /// Replies to requests; `finishes` are in the same order.
    fn reply(&self, requests: Vec<FinishRequest>, finishes: &[Finish], finished: &[Finished]) {
        let finished: HashMap<ExecutionId, Finished> =
            finished.iter().map(|finished| (finished.id, *finished)).collect();
        for (request, Finish { ending, .. }) in requests.into_iter().zip(finishes) {
            let reply = match finished.get(&request.id) {
                Some(finished) => {
                    let job_type = Some(request.job_type.as_str());
                    self.metrics.finished(job_type, ending.status, ending.error_kind);
                    FinishReply::Recorded(*finished)
                }
                None => {
                    self.metrics.writes_fenced.inc();
                    FinishReply::NotOurs
                }
            };
            let _ = request.reply.send(reply); // the receiver may be gone
        }
    }

    /// Replaces a result whose data the database refuses by a failure with the reason. Otherwise the row
    /// would stay `running` because of what its handler returned.
    fn replace(
        &self,
        tenant: &OpenTenant,
        request: FinishRequest,
        refused: &StoreError,
    ) -> Option<FinishRequest> {
        let message = format!("the outcome could not be stored: {}", chain(refused));
        error!(tenant = tenant.slug(), execution = %request.id, "{message}");
        let (detail, retry, retry_after) = (None, false, None);
        let instead = Outcome::Failure(Failure { message, detail, retry, retry_after });
        if request.outcome == instead {
            // The failure was refused, too. The rescuer will end the row.
            return None;
        }
        Some(FinishRequest { outcome: instead, report: Report::default(), ..request })
    }
}
