//! Dispatches what is due at one tenant: one guarded statement inserts the occurrences' rows, advances
//! the jobs to their next times and releases waiting rows; then the messages are published.
//!
//! In the life of a job, `schedule.rs` comes before this file and `message.rs` after it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use shared::clock::{Time, delta};
use shared::execution::Status;
use shared::failpoint;
use shared::id::{ExecutionId, JobId};
use shared::metrics::Metrics;
use shared::random::Random;
use shared::schedule::{Schedule, ScheduleError, Spread};
use shared::store::{
    Arm, DbTime, Dispatch, Dispatched, DueJob, NewExecution, PollSummary, Ready, Result,
    StoreError, UnarmedJob, chain,
};
use shared::tenants::OpenTenant;
use tracing::{debug, warn};

use crate::capacity::{QueueCapacity, Reservation};
use crate::messenger::Messenger;
use crate::plan_budget::PlanBudget;
use crate::planner::{HOLD, Plan, is_held, plan};

/// The most jobs in one dispatch. The rest is dispatched after other tenants have been polled.
const BATCH_MAX: u32 = 500;
/// The fewest jobs that are read, however little capacity there is: some may need none.
const BATCH_MIN: u32 = 20;
/// From this many jobs or waiting rows on, a dispatch is a burst.
const BURST_MIN: usize = 10;

/// What is left to do at a tenant, in the order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remaining {
    /// Nothing that could be done now.
    Nothing,
    /// Perhaps nothing: it takes a new summary to tell.
    Unknown,
    /// What is due waits until a queue has capacity.
    QueuesFull,
    /// Nothing, but much was dispatched: more will be due in a moment.
    Burst,
    /// There may be more.
    More,
    /// More full batches, which can be dispatched by the same summary.
    FullBatches,
}

/// What became of a batch that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    Dispatched,
    /// No row was changed: the rows are locked, or the jobs were edited meanwhile.
    Unchanged,
    /// Another producer dispatched first, or the database refused a job, which is now in quarantine.
    Dropped,
}

/// How many of the jobs that were read have been planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planned {
    All,
    /// Evaluating their schedules has taken so long that the others are left to the next poll.
    InPart,
}

/// Dispatches jobs of one tenant.
pub struct Dispatcher<'a> {
    /// The tenant.
    pub tenant: &'a Arc<OpenTenant>,
    /// Limits how much is published.
    pub capacity: &'a QueueCapacity,
    /// Publishes the messages.
    pub messenger: &'a Messenger,
    /// Makes ids.
    pub random: &'a Random,
    /// The time of the tenant's database.
    pub now: DbTime,
    /// Counts what is dispatched.
    pub metrics: &'a Metrics,
}

impl Dispatcher<'_> {
    /// Arms new and edited jobs, if there are any: works out their first times. They may be due already.
    pub async fn arm(&self, summary: &PollSummary) -> Result<Remaining> {
        if !summary.has_unarmed {
            return Ok(Remaining::Nothing);
        }
        let unarmed = self.tenant.store.read_unarmed(BATCH_MAX.into()).await?;
        let mut arms = Vec::with_capacity(unarmed.len());
        let mut budget = PlanBudget::new(self.metrics);
        for job in &unarmed {
            let Some(first) = budget.evaluate(|| self.first_time(job)).await else { break };
            match first {
                Ok(next_run_at) => {
                    arms.push(Arm { job: job.id, version: job.version, next_run_at });
                }
                Err(reason) => self.quarantine(job.id, job.version, &reason).await?,
            }
        }
        let armed = match self.tenant.store.arm(&arms, self.now).await {
            // If the table refuses one job's time, the other jobs must still be armed.
            Err(StoreError::Refused(_)) => {
                for arm in arms {
                    if let Err(refused @ StoreError::Refused(_)) =
                        self.tenant.store.arm(&[arm], self.now).await
                    {
                        self.quarantine(arm.job, arm.version, &chain(&refused)).await?;
                    }
                }
                return Ok(Remaining::More);
            }
            armed => armed?,
        };
        Ok(match armed {
            _ if unarmed.is_empty() => Remaining::Nothing, // their rows are locked
            0 => Remaining::Burst,
            _ => Remaining::More,
        })
    }

    fn first_time(&self, job: &UnarmedJob) -> std::result::Result<Time, String> {
        let schedule = self.parse(job.id, &job.schedule).map_err(|error| error.to_string())?;
        schedule.first_after(self.now.time()).ok_or_else(|| {
            format!(
                "schedule: it has no occurrence after {}; extend it",
                self.now.time().format("%F %T UTC")
            )
        })
    }

    /// Dispatches what is due and what has waited, as far as there is capacity.
    pub async fn dispatch(&self, summary: &PollSummary) -> Result<Remaining> {
        match self.dispatch_batch(summary, BATCH_MAX).await {
            // The database refused some job's data. The job must not fail its neighbours, so the jobs
            // are dispatched one by one, oldest first, until the refused one is quarantined.
            Err(StoreError::Refused(_)) => {
                let summary = self.tenant.store.poll().await?;
                Ok(self.dispatch_batch(&summary, 1).await?.min(Remaining::More))
            }
            remaining => remaining,
        }
    }

    async fn dispatch_batch(&self, summary: &PollSummary, at_most: u32) -> Result<Remaining> {
        let (store, now) = (&self.tenant.store, self.now);
        let mut quota = self.tenant_quota(summary);
        let mut reservation = self.capacity.reserve(quota.min(at_most)).await;
        let limit = reservation.total().min(quota).max(BATCH_MIN).min(at_most);
        let open_queues = reservation.queues();
        let queues_short = quota > 0 && !reservation.covers_every_queue();

        let mut waiting = Vec::new();
        if has_waiting(summary, now) && !open_queues.is_empty() {
            waiting = store.read_waiting(now, &open_queues, limit.into()).await?;
        }
        let mut jobs = Vec::new();
        if has_due(summary, now) {
            jobs = store.read_due(now, now - delta(HOLD), &open_queues, limit.into()).await?;
        }
        let read = waiting.len().max(jobs.len()) as u32;
        waiting.retain(|row| try_spend(&mut reservation, &mut quota, &row.queue, 1));
        let released = waiting.iter().map(|row| row.id).collect();
        let mut dispatch = Dispatch { released, ..Dispatch::default() };
        let planned = self.plan(&jobs, &mut dispatch, &mut reservation, &mut quota).await?;
        drop(reservation);
        let is_full = read == limit || planned == Planned::InPart;
        if dispatch.advances.is_empty() && dispatch.released.is_empty() {
            if planned == Planned::InPart {
                return Ok(Remaining::More);
            }
            let blocked = queues_short && (has_due(summary, now) || has_waiting(summary, now));
            return Ok(match blocked {
                true => Remaining::QueuesFull,
                false => Remaining::Nothing,
            });
        }
        let waiting_only = dispatch.advances.is_empty();
        let is_burst = jobs.len().max(waiting.len()) >= BURST_MIN;
        let batch = match self.carry_out(&dispatch, summary.dispatch_no, jobs, waiting).await {
            Err(refused @ StoreError::Refused(_)) if at_most == 1 => {
                for advance in &dispatch.advances {
                    self.quarantine(advance.job, advance.version, &chain(&refused)).await?;
                }
                Batch::Dropped
            }
            batch => batch?,
        };
        Ok(match is_full {
            // Rows that stay locked are left out of the next batch.
            _ if batch == Batch::Unchanged => match waiting_only {
                true => Remaining::Nothing,
                false => Remaining::Burst,
            },
            // A limit on the tenant's running executions needs the count of a new summary.
            true if batch == Batch::Dispatched && self.tenant.tenant.max_running.is_none() => {
                Remaining::FullBatches
            }
            true => Remaining::More,
            false if queues_short => Remaining::QueuesFull,
            false if is_burst => Remaining::Burst,
            false => Remaining::More,
        })
    }

    /// How many more rows `max_running` allows to be dispatched or running.
    fn tenant_quota(&self, summary: &PollSummary) -> u32 {
        match self.tenant.tenant.max_running {
            None => u32::MAX,
            Some(most) => {
                let busy = summary.dispatched + summary.running;
                u32::try_from(i64::from(most) - busy).unwrap_or_default()
            }
        }
    }

    /// Plans each job, as far as the budget goes. A job whose schedule cannot be parsed is quarantined.
    async fn plan(
        &self,
        jobs: &[DueJob],
        dispatch: &mut Dispatch,
        reservation: &mut Reservation<'_>,
        quota: &mut u32,
    ) -> Result<Planned> {
        let (now, mut budget) = (self.now.time(), PlanBudget::new(self.metrics));
        for job in jobs {
            let allowed = reservation.remaining(&job.queue).min(*quota);
            // Jobs that stay due must not use up the budget of each poll.
            if is_held(job, now, allowed) {
                continue;
            }
            let mut unused = allowed;
            let evaluate = || {
                let schedule = self.parse(job.id, &job.schedule)?;
                Ok(plan(job, &schedule, now, &mut unused, self.random))
            };
            match budget.evaluate(evaluate).await {
                None => return Ok(Planned::InPart),
                Some(Ok(Plan::Hold)) => {}
                Some(Ok(Plan::Go(advance, executions))) => {
                    try_spend(reservation, quota, &job.queue, allowed - unused);
                    dispatch.advances.push(advance);
                    dispatch.executions.extend(executions);
                }
                Some(Err::<_, ScheduleError>(error)) => {
                    self.quarantine(job.id, job.version, &error.to_string()).await?;
                }
            }
        }
        Ok(Planned::All)
    }

    /// Writes the dispatch and publishes the messages.
    async fn carry_out(
        &self,
        dispatch: &Dispatch,
        dispatch_no: i64,
        jobs: Vec<DueJob>,
        waiting: Vec<Ready>,
    ) -> Result<Batch> {
        failpoint::reach("before_dispatch");
        let before = self.metrics.now();
        match self.tenant.store.dispatch(dispatch, dispatch_no, self.now).await? {
            Dispatched::Done(ids) => {
                failpoint::reach("after_dispatch");
                self.metrics.dispatch_duration.observe(self.metrics.since(before));
                self.count(dispatch, ids.len());
                let messages = ready(&ids, &dispatch.executions, jobs, waiting);
                if !messages.is_empty() {
                    self.messenger.send(self.tenant, messages, None).await;
                }
                Ok(Batch::Dispatched)
            }
            Dispatched::Nothing => Ok(Batch::Unchanged),
            Dispatched::Stale => {
                debug!(
                    tenant = self.tenant.slug(),
                    "another producer dispatched first; polling again"
                );
                Ok(Batch::Dropped)
            }
        }
    }

    fn count(&self, dispatch: &Dispatch, dispatched: usize) {
        self.metrics.executions_dispatched.inc_by(dispatched as u64);
        let skipped = dispatch.executions.iter().filter(|row| row.status == Status::Skipped);
        for row in skipped {
            if let Some(reason) = row.error_kind {
                self.metrics.skipped(reason, row.stands_for);
            }
        }
    }

    fn parse(&self, job: JobId, schedule: &str) -> std::result::Result<Schedule, ScheduleError> {
        Schedule::read(schedule, Spread::new(self.tenant.tenant.id, job))
    }

    async fn quarantine(&self, job: JobId, version: i32, reason: &str) -> Result<()> {
        if self.tenant.store.quarantine(job, version, reason).await?.is_applied() {
            warn!(tenant = self.tenant.slug(), job_id = %job, "the job is in quarantine until its schedule is edited: {reason}");
        }
        Ok(())
    }
}

fn has_due(summary: &PollSummary, now: DbTime) -> bool {
    summary.next_due_at.is_some_and(|due_at| due_at <= now)
}

/// Whether rows wait for their turn, or are available by now.
fn has_waiting(summary: &PollSummary, now: DbTime) -> bool {
    summary.waiting > 0 || summary.next_available_at.is_some_and(|available_at| available_at <= now)
}

/// Uses capacity and quota for `count` rows if there is enough of both, and returns whether it did.
fn try_spend(reservation: &mut Reservation<'_>, quota: &mut u32, queue: &str, count: u32) -> bool {
    let spent = *quota >= count && reservation.try_spend(queue, count);
    if spent {
        *quota -= count;
    }
    spent
}

/// The dispatched rows, with what their messages show.
fn ready(
    dispatched: &[ExecutionId],
    executions: &[NewExecution],
    jobs: Vec<DueJob>,
    waiting: Vec<Ready>,
) -> Vec<Ready> {
    let dispatched: HashSet<ExecutionId> = dispatched.iter().copied().collect();
    let jobs: HashMap<JobId, DueJob> = jobs.into_iter().map(|job| (job.id, job)).collect();
    let inserted = executions.iter().filter_map(|row| {
        let job = jobs.get(&row.job)?;
        Some(Ready {
            id: row.id,
            scheduled_for: row.scheduled_for,
            attempt: 1,
            name: job.name.clone(),
            job_type: job.job_type.clone(),
            queue: job.queue.clone(),
        })
    });
    inserted.chain(waiting).filter(|row| dispatched.contains(&row.id)).collect()
}
