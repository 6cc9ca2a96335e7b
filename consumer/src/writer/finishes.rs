//! Results, as one statement; and what becomes of those that the database won't have.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use shared::clock::Time;
use shared::id::ExecutionId;
use shared::outcome::{Failure, Outcome};
use shared::output::Report;
use shared::store::{Finish, Finished, StoreError, chain};
use shared::tenants::OpenTenant;
use tracing::error;

use super::{EndRequest, FinishReply, Writers};

impl Writers {
    /// Writes results together. What is left is to be tried again; the error says why.
    pub(super) async fn write_ends(
        &self,
        tenant: &OpenTenant,
        mut requests: Vec<EndRequest>,
        now: Time,
    ) -> (Vec<EndRequest>, Option<StoreError>) {
        requests.sort_by_key(|request| request.id);
        let ends: Vec<Finish> = requests.iter().map(|request| self.end(request, now)).collect();
        match tenant.store.finish(&ends, None, now).await {
            Ok(mut ended) => {
                let unheard = requests.iter().zip(&ends).filter(|(request, _)| request.unheard);
                for (_, end) in unheard {
                    ended.extend(Writers::written_before(tenant, end, &ended).await);
                }
                self.answer(requests, &ends, &ended);
                (Vec::new(), None)
            }
            Err(StoreError::Refused(_)) if requests.len() > 1 => {
                // One row must not fail its neighbours.
                let (mut left, mut rest) = (Vec::new(), requests.into_iter());
                while let Some(request) = rest.next() {
                    let alone = Box::pin(self.write_ends(tenant, vec![request], now));
                    let (again, error) = alone.await;
                    left.extend(again);
                    if error.is_some() {
                        left.extend(rest);
                        return (left, error);
                    }
                }
                (left, None)
            }
            Err(refused @ StoreError::Refused(_)) => {
                let of_one = requests.into_iter();
                let left = of_one.filter_map(|request| self.unstorable(tenant, request, &refused));
                (left.collect(), None)
            }
            Err(error) => {
                requests.iter_mut().for_each(|request| request.unheard = true);
                (requests, Some(error))
            }
        }
    }

    /// Reads back an end that was refused now: it may stand by an earlier try, whose answer was
    /// lost. What else that brought is not known any more, so that the producer is to look.
    async fn written_before(
        tenant: &OpenTenant,
        end: &Finish,
        ended: &[Finished],
    ) -> Option<Finished> {
        if ended.iter().any(|ended| ended.id == end.id) {
            return None;
        }
        let row = tenant.store.find_execution(end.id).await.ok()??;
        let ours = row.worker.as_ref() == Some(&end.worker)
            && (row.status, row.error_kind) == (end.ending.status, end.ending.error_kind);
        ours.then_some(Finished { id: end.id, followed: true, freed: true })
    }

    fn end(&self, request: &EndRequest, now: Time) -> Finish {
        let holder = (request.id, self.terms.worker.as_str());
        let end = Finish::of(&request.outcome, &request.attempts, holder, now, &self.random);
        Finish { report: request.report.clone(), ..end }
    }

    /// `ends` are what the requests came to, in their order.
    fn answer(&self, requests: Vec<EndRequest>, ends: &[Finish], ended: &[Finished]) {
        self.unwritten_ends.fetch_sub(requests.len(), Ordering::Relaxed);
        let ended: HashMap<ExecutionId, Finished> =
            ended.iter().map(|end| (end.id, *end)).collect();
        for (request, Finish { ending, .. }) in requests.into_iter().zip(ends) {
            let finished = match ended.get(&request.id) {
                Some(ended) => {
                    let job_type = Some(request.job_type.as_str());
                    self.metrics.finished(job_type, ending.status, ending.error_kind);
                    FinishReply::Recorded(*ended)
                }
                None => {
                    self.metrics.writes_fenced.inc();
                    FinishReply::NotOurs
                }
            };
            let _ = request.reply.send(finished); // written all the same if nobody waits
        }
    }

    /// A result that the database refuses for its data becomes a failure that says so; no row is
    /// left running for what its handler returned.
    fn unstorable(
        &self,
        tenant: &OpenTenant,
        request: EndRequest,
        refused: &StoreError,
    ) -> Option<EndRequest> {
        let message = format!("the outcome could not be stored: {}", chain(refused));
        error!(tenant = tenant.slug(), execution = %request.id, "{message}");
        let (detail, retry, retry_after) = (None, false, None);
        let instead = Outcome::Failure(Failure { message, detail, retry, retry_after });
        if request.outcome == instead {
            // Not even that: the rescuer ends the row.
            self.unwritten_ends.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(EndRequest { outcome: instead, report: Report::default(), ..request })
    }
}
