//! From due to dispatched: the occurrences' rows, the jobs' next times and the waiting rows whose
//! turn has come, in one guarded move; then the messages.
//!
//! In the life of a job: `schedule.rs` before this, `message.rs` after it.

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
    Arm, Dispatch, Dispatched, DueJob, NewExecution, PollSummary, Ready, Result, StoreError,
    UnarmedJob, chain,
};
use shared::tenants::OpenTenant;
use tracing::{debug, warn};

use crate::backlog::{Backlog, Room};
use crate::messenger::Messenger;
use crate::planner::{HOLD, Plan, plan};

/// The most jobs in one dispatch; the rest comes after the other tenants have had their turn.
const BATCH_MAX: u32 = 500;
/// The fewest jobs that are read, however little room there is: some may need none.
const BATCH_MIN: u32 = 20;

/// From so many on, what is dispatched at once is much.
const MUCH: usize = 10;

/// How a dispatch left things; the more pressing, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// Nothing more is due now, as far as it has seen.
    Nothing,
    /// What is due has to wait until a queue has room.
    Blocked,
    /// All that was due is dispatched, and that was much: more will have come due in a moment.
    Soon,
    /// There may be more: look again, in turn.
    More,
    /// A whole batch is dispatched and there is more of the same: go on in turn, without a look.
    Full,
}

/// What a dispatch works with.
pub struct Dispatcher<'a> {
    /// Whose jobs.
    pub tenant: &'a Arc<OpenTenant>,
    /// How much the queues take.
    pub backlog: &'a Backlog,
    /// Sends the messages.
    pub messenger: &'a Messenger,
    /// For ids.
    pub random: &'a Random,
    /// The tenant's database's time.
    pub now: Time,
    /// Where it counts what it does.
    pub metrics: &'a Metrics,
}

impl Dispatcher<'_> {
    /// Works out the first times of new and edited jobs.
    pub async fn arm(&self) -> Result<Left> {
        let unarmed = self.tenant.store.read_unarmed(BATCH_MAX.into()).await?;
        let left = if unarmed.len() as u32 == BATCH_MAX { Left::More } else { Left::Nothing };
        let mut arms = Vec::with_capacity(unarmed.len());
        for job in &unarmed {
            match self.first_time(job) {
                Ok(next_run_at) => {
                    arms.push(Arm { job: job.id, version: job.version, next_run_at });
                }
                Err(reason) => self.quarantine(job.id, job.version, &reason).await?,
            }
        }
        match self.tenant.store.arm(&arms, self.now).await {
            // One time that the table refuses must not hold up the others.
            Err(StoreError::Refused(_)) => {
                for arm in arms {
                    if let Err(refused @ StoreError::Refused(_)) =
                        self.tenant.store.arm(&[arm], self.now).await
                    {
                        self.quarantine(arm.job, arm.version, &chain(&refused)).await?;
                    }
                }
                Ok(left)
            }
            armed => armed.map(|()| left),
        }
    }

    fn first_time(&self, job: &UnarmedJob) -> std::result::Result<Time, String> {
        let schedule = self.read(job.id, &job.schedule).map_err(|error| error.to_string())?;
        schedule.first_after(self.now).ok_or_else(|| {
            format!(
                "schedule: it has no occurrence after {}; extend its `end`",
                self.now.format("%F %T UTC")
            )
        })
    }

    /// Dispatches what is due and what has waited, as far as there is room.
    pub async fn tick(&self, look: &PollSummary) -> Result<Left> {
        match self.dispatch(look, BATCH_MAX).await {
            // The database refused some job's data. That job must not fail its neighbours: the
            // oldest goes alone, until it is the one to be taken out.
            Err(StoreError::Refused(_)) => {
                let look = self.tenant.store.poll().await?;
                Ok(self.dispatch(&look, 1).await?.min(Left::More))
            }
            left => left,
        }
    }

    async fn dispatch(&self, look: &PollSummary, at_most: u32) -> Result<Left> {
        let (store, now) = (&self.tenant.store, self.now);
        let mut free = self.free_at_tenant(look);
        let mut room = self.backlog.take(free.min(at_most)).await;
        let limit = room.total().min(free).max(BATCH_MIN).min(at_most);
        let with_room = room.queues();
        let short = free > 0 && !room.is_everywhere();

        let mut waiting = Vec::new();
        if is_waiting(look, now) && !with_room.is_empty() {
            waiting = store.read_waiting(now, &with_room, limit.into()).await?;
        }
        let mut jobs = Vec::new();
        if is_due(look, now) {
            jobs = store.read_due(now, now - delta(HOLD), &with_room, limit.into()).await?;
        }
        let full_batch = waiting.len().max(jobs.len()) as u32 == limit;
        waiting.retain(|row| spend(&mut room, &mut free, &row.queue, 1));
        let released = waiting.iter().map(|row| row.id).collect();
        let mut dispatch = Dispatch { released, ..Dispatch::default() };
        self.plan(&jobs, &mut dispatch, &mut room, &mut free).await?;
        drop(room);
        if dispatch.advances.is_empty() && dispatch.released.is_empty() {
            let blocked = short && (is_due(look, now) || is_waiting(look, now));
            return Ok(if blocked { Left::Blocked } else { Left::Nothing });
        }
        let much = jobs.len().max(waiting.len()) >= MUCH;
        let done = match self.carry_out(&dispatch, look.dispatch_no, jobs, waiting).await {
            Err(refused @ StoreError::Refused(_)) if at_most == 1 => {
                for advance in &dispatch.advances {
                    self.quarantine(advance.job, advance.version, &chain(&refused)).await?;
                }
                false
            }
            done => done?,
        };
        Ok(match full_batch {
            true if done => Left::Full,
            true => Left::More,
            false if short => Left::Blocked,
            false if much => Left::Soon,
            false => Left::More,
        })
    }

    /// How many more rows of this tenant may be dispatched or running.
    fn free_at_tenant(&self, look: &PollSummary) -> u32 {
        match self.tenant.tenant.max_running {
            None => u32::MAX,
            Some(most) => {
                let busy = look.dispatched + look.running;
                u32::try_from(i64::from(most) - busy).unwrap_or_default()
            }
        }
    }

    /// Plans each job. A schedule that cannot be read takes its job out.
    async fn plan(
        &self,
        jobs: &[DueJob],
        dispatch: &mut Dispatch,
        room: &mut Room<'_>,
        free: &mut u32,
    ) -> Result<()> {
        for job in jobs {
            let schedule = match self.read(job.id, &job.schedule) {
                Ok(schedule) => schedule,
                Err(error) => {
                    self.quarantine(job.id, job.version, &error.to_string()).await?;
                    continue;
                }
            };
            let may = room.of(&job.queue).min(*free);
            let mut left = may;
            if let Plan::Go(advance, executions) =
                plan(job, &schedule, self.now, &mut left, self.random)
            {
                spend(room, free, &job.queue, may - left);
                dispatch.advances.push(advance);
                dispatch.executions.extend(executions);
            }
        }
        Ok(())
    }

    /// Makes the move and sends the messages. False: another producer had the turn.
    async fn carry_out(
        &self,
        dispatch: &Dispatch,
        dispatch_no: i64,
        jobs: Vec<DueJob>,
        waiting: Vec<Ready>,
    ) -> Result<bool> {
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
                Ok(true)
            }
            Dispatched::Stale => {
                debug!(tenant = self.tenant.slug(), "another producer dispatched; looking again");
                Ok(false)
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

    fn read(&self, job: JobId, schedule: &str) -> std::result::Result<Schedule, ScheduleError> {
        Schedule::read(schedule, Spread::new(self.tenant.tenant.id, job))
    }

    async fn quarantine(&self, job: JobId, version: i32, reason: &str) -> Result<()> {
        if self.tenant.store.quarantine(job, version, reason).await? {
            warn!(tenant = self.tenant.slug(), job_id = %job, "the job is in quarantine until its schedule is edited: {reason}");
        }
        Ok(())
    }
}

fn is_due(look: &PollSummary, now: Time) -> bool {
    look.next_due_at.is_some_and(|due_at| due_at <= now)
}

/// Whether rows wait for their turn, or their time has come.
fn is_waiting(look: &PollSummary, now: Time) -> bool {
    look.waiting > 0 || look.next_available_at.is_some_and(|available_at| available_at <= now)
}

/// Uses up room at the queue and at the tenant, if both have it.
fn spend(room: &mut Room<'_>, free: &mut u32, queue: &str, count: u32) -> bool {
    let spent = *free >= count && room.spend(queue, count);
    if spent {
        *free -= count;
    }
    spent
}

/// The rows that were dispatched, with what their messages show.
fn ready(
    dispatched: &[ExecutionId],
    executions: &[NewExecution],
    jobs: Vec<DueJob>,
    waiting: Vec<Ready>,
) -> Vec<Ready> {
    let dispatched: HashSet<ExecutionId> = dispatched.iter().copied().collect();
    let jobs: HashMap<JobId, DueJob> = jobs.into_iter().map(|job| (job.id, job)).collect();
    let born = executions.iter().filter_map(|row| {
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
    born.chain(waiting).filter(|row| dispatched.contains(&row.id)).collect()
}
