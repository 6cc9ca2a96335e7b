//! The handlers of the simulation, and the log of what really ran.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use consumer::{Context, HandlerError, Registry};
use serde_json::Value;
use shared::clock::{BootTime, Clock, Time};
use shared::id::{ExecutionId, JobId, TenantId};
use shared::random::Random;
use tokio_util::sync::CancellationToken;

use crate::chance::Chance as _;

/// One start of a handler.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) process: String,
    pub(crate) tenant: TenantId,
    pub(crate) job: JobId,
    pub(crate) occurrence: Time,
    pub(crate) attempt: i32,
    pub(crate) execution: ExecutionId,
    /// `None` while it runs. Killing a process ends its handlers.
    pub(crate) ended: Option<BootTime>,
    /// Whether it returned by itself.
    pub(crate) returned: bool,
    /// Cancelled once the consumer has cancelled the handler.
    pub(crate) cancelled: CancellationToken,
}

/// All starts. Clones share the log.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Run>>>);

impl Log {
    pub(crate) fn runs(&self) -> MutexGuard<'_, Vec<Run>> {
        self.0.lock().unwrap()
    }

    fn start(&self, process: &str, context: &Context, clock: &Clock) -> Running {
        let mut runs = self.runs();
        runs.push(Run {
            process: process.to_owned(),
            tenant: context.tenant,
            job: context.job,
            occurrence: context.scheduled_for,
            attempt: context.attempt,
            execution: context.execution,
            ended: None,
            returned: false,
            cancelled: context.cancelled.clone(),
        });
        Running { log: self.clone(), at: runs.len() - 1, clock: clock.clone() }
    }
}

/// Records the end, however it comes about.
struct Running {
    log: Log,
    at: usize,
    clock: Clock,
}

impl Running {
    fn returned(&self) {
        self.log.runs()[self.at].returned = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.log.runs()[self.at].ended = Some(self.clock.boot_time());
    }
}

/// The settings of one process's handlers.
#[derive(Clone)]
pub(crate) struct Handlers {
    pub(crate) process: String,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Set when the faults have ended: from then on every handler succeeds soon.
    pub(crate) calm: Arc<AtomicBool>,
    /// Whether handlers may fail, hang and panic.
    pub(crate) wild: bool,
}

impl Handlers {
    pub(crate) fn registry(self) -> Registry {
        let mut registry = Registry::default();
        registry.insert("work", move |_: Value, context: Context| self.clone().work(context));
        registry
    }

    async fn work(self, context: Context) -> Result<Value, HandlerError> {
        let running = self.log.start(&self.process, &context, &self.clock);
        let calm = self.calm.load(Ordering::Relaxed) || !self.wild;
        let random = &self.random;
        let (fate, heeds) = (random.unit(), random.one_in(2));
        // Once the faults have ended, a hundred missed runs, one at a time, must not take too long.
        let longest = if self.calm.load(Ordering::Relaxed) { 0.1 } else { 40.0 };
        let seconds = if random.one_in(3) { 0.0 } else { random.unit() * longest };
        let hangs = !calm && fate > 0.95;
        let work = async {
            if hangs {
                std::future::pending::<()>().await;
            }
            self.clock.sleep(Duration::from_secs_f64(seconds)).await;
        };
        tokio::select! {
            biased;
            () = work => {}
            () = context.cancelled.cancelled(), if heeds => return Err(HandlerError::new("told to stop")),
        }
        running.returned();
        match fate {
            _ if calm => Ok(Value::from(seconds)),
            ..0.15 => Err(HandlerError::new("it failed")),
            ..0.18 => Err(HandlerError::new("it failed for good").final_()),
            ..0.185 => panic!("it panicked"),
            _ => Ok(Value::from(seconds)),
        }
    }
}
