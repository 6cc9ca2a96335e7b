//! The handler processes of one command, shared by those who run executions in them, the supervisor that
//! starts them, and the task of each process.

mod measures;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::config::HandlerCommand;
use shared::handler_status::{HandlerState, HandlerStatus};
use shared::id::TenantId;
use shared::metrics::Metrics;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::protocol::Hello;
use super::run::{Place, Request};
use super::types::Types;
use state::{Offer, State};

/// The number of a process within its pool.
pub(super) type ProcessNumber = u64;

/// The processes of one command.
pub(super) struct Pool {
    /// The command's position in the settings.
    pub(super) number: usize,
    /// The command as users see it.
    pub(super) label: String,
    pub(super) command: HandlerCommand,
    pub(super) clock: Clock,
    metrics: Metrics,
    slots: usize,
    types: Types,
    /// Notified when a process of any command has said hello.
    hello_received: Arc<Notify>,
    state: Mutex<State>,
    /// Notified when another process may be needed.
    pub(super) changed: Notify,
    /// Notified when a process has exited.
    gone: Notify,
    /// The outcome of the first start.
    first: watch::Sender<First>,
}

/// The outcome of a command's first start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// No process has said hello or failed yet.
    Pending,
    /// A process has said a valid hello.
    SaidHello,
    /// The process failed before its hello.
    Failed,
    /// Another handler has one of its types.
    Conflict(String),
}

/// Whether to start another process.
pub(super) enum Next {
    /// Start a process with this number, which receives these requests.
    Start(ProcessNumber, mpsc::UnboundedReceiver<Request>),
    /// A process is needed, but may not start before this time.
    At(BootTime),
    /// No process is needed.
    Enough,
    /// The pool has ended.
    Ended,
}

/// How a process ended.
pub(super) enum End {
    /// The consumer stopped it.
    Stopped,
    /// It exited by itself while it held executions.
    Crashed,
    /// It exited by itself while it held no execution.
    Died(String),
    /// It did not start, or said no valid hello.
    Refused(String),
}

impl Pool {
    pub(super) fn new(
        number: usize,
        command: HandlerCommand,
        slots: usize,
        types: Types,
        hello_received: Arc<Notify>,
        clock: Clock,
        metrics: Metrics,
    ) -> Pool {
        let (label, first) = (command.label(), watch::Sender::new(First::Pending));
        let (state, changed, gone) = (Mutex::default(), Notify::new(), Notify::new());
        Pool {
            number,
            label,
            command,
            clock,
            metrics,
            slots,
            types,
            hello_received,
            state,
            changed,
            gone,
            first,
        }
    }

    /// Waits for the outcome of the first start.
    pub(super) async fn first(&self) -> First {
        let mut first = self.first.subscribe();
        // This cannot fail: the sender lives as long as the pool.
        let decided = first.wait_for(|first| *first != First::Pending).await;
        decided.map_or(First::Failed, |first| first.clone())
    }

    /// The types that the command offers; none before the first hello.
    pub(super) fn offered(&self) -> Option<BTreeSet<String>> {
        self.state().types.clone()
    }

    /// Whether the command's types are known and its processes do not keep failing.
    pub(super) fn is_ready(&self) -> bool {
        let state = self.state();
        state.types.is_some() && state.restarts.not_ready().is_none()
    }

    /// Reserves a place for an execution of any type, if one is free and no other caller is waiting. None
    /// if the processes offer different types.
    pub(super) fn try_reserve(self: &Arc<Self>, tenant: TenantId) -> Option<Place> {
        let mut state = self.state();
        if !state.waiting.is_empty() || !state.offers_are_alike() {
            return None;
        }
        self.take_place(&mut state, tenant, None).map(|(_, place)| place)
    }

    /// Waits for a place in a process that handles the type. None if the pool has ended or no longer offers
    /// the type.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        job_type: &str,
        tenant: TenantId,
    ) -> Option<Place> {
        let (place, reserved) = oneshot::channel();
        {
            let mut state = self.state();
            if state.ending {
                return None;
            }
            state.waiting.push(job_type.to_owned(), tenant, place);
            self.assign(&mut state);
        }
        self.changed.notify_one();
        let (since, place) = (self.metrics.now(), reserved.await.ok()?);
        let labels = measures::command(self);
        let waits = self.metrics.handler_process_wait.get_or_create(&labels);
        waits.observe(self.metrics.since(since));
        Some(place)
    }

    /// Decides whether to start another process.
    pub(super) fn next(&self) -> Next {
        let mut state = self.state();
        if state.ending {
            return Next::Ended;
        }
        state.waiting.remove_closed();
        if !state.is_process_needed(self.processes_max(&state)) {
            return Next::Enough;
        }
        let now = self.clock.boot_time();
        if state.restarts.next() > now {
            return Next::At(state.restarts.next());
        }
        let (number, requests) = state.add(now);
        self.metrics.handler_process_starts.get_or_create(&measures::command(self)).inc();
        Next::Start(number, requests)
    }

    /// A process said hello.
    ///
    /// # Errors
    /// A sentence that says why the hello is not accepted.
    pub(super) fn said_hello(
        self: &Arc<Self>,
        number: ProcessNumber,
        hello: &Hello,
    ) -> Result<(), String> {
        let offered: BTreeSet<String> = hello.types.iter().cloned().collect();
        let types = match self.command.types.is_empty() {
            true => offered,
            false => {
                if let Some(missing) = self.command.types.difference(&offered).next() {
                    return Err(format!("it does not offer `{missing}`, which `types` names"));
                }
                self.command.types.clone()
            }
        };
        let mut all = self.state().offered_by_others(number);
        all.extend(types.iter().cloned());
        if let Err(conflict) = self.types.claim(self.number, &self.label, &all) {
            self.decide(First::Conflict(conflict.clone()));
            return Err(conflict);
        }
        let mut state = self.state();
        // New code may lack a type. Its first caller would wait forever, and all others behind it.
        state.waiting.retain_types(|job_type| all.contains(job_type));
        state.types = Some(all.clone());
        state.restarts.said_hello();
        state.offer(number, Offer { types, concurrency: hello.concurrency() });
        self.assign(&mut state);
        drop(state);
        self.metrics.add_known_job_types(all);
        self.decide(First::SaidHello);
        self.hello_received.notify_waiters();
        self.changed.notify_one();
        Ok(())
    }

    /// Marks a process that starts no more executions.
    pub(super) fn retire(&self, number: ProcessNumber) {
        if let Some(entry) = self.state().processes.get_mut(&number) {
            entry.retired = true;
        }
        self.changed.notify_one();
    }

    /// Marks a process that starts no more executions and is about to exit. Its exit then decides when a
    /// replacement may start.
    pub(super) fn mark_exiting(&self, number: ProcessNumber) {
        if let Some(entry) = self.state().processes.get_mut(&number) {
            entry.exiting = true;
        }
    }

    /// Records whether a process is unresponsive.
    pub(super) fn set_silent(&self, number: ProcessNumber, silent: bool) {
        if let Some(entry) = self.state().processes.get_mut(&number) {
            entry.silent = silent;
        }
    }

    /// A process has finished an execution.
    pub(super) fn worked(&self) {
        self.state().restarts.worked();
    }

    /// A process and its descendants are dead.
    pub(super) fn exited(&self, number: ProcessNumber, end: &End, last_output: String) {
        self.metrics.handler_process_ends.get_or_create(&measures::end(self, end)).inc();
        let (mut state, now) = (self.state(), self.clock.boot_time());
        let entry = state.processes.remove(&number);
        let lived = entry.map_or(Duration::ZERO, |entry| now - entry.started_at);
        if !last_output.is_empty() {
            state.last_output = last_output;
        }
        match end {
            End::Stopped | End::Crashed => {}
            End::Died(reason) => state.restarts.died(now, lived, reason),
            End::Refused(reason) => state.restarts.refused(now, reason),
        }
        drop(state);
        if matches!(end, End::Died(_) | End::Refused(_)) {
            self.decide(First::Failed);
        }
        self.changed.notify_one();
        self.gone.notify_waiters();
    }

    /// Whether it has ended, or is about to.
    pub(super) fn is_ending(&self) -> bool {
        self.state().ending
    }

    /// Restarts the processes. Once a new one has said hello, the old ones retire.
    pub(super) fn reload(&self) {
        self.state().generation += 1;
        self.changed.notify_one();
    }

    /// Ends all processes. Returns once they are dead.
    pub(super) async fn end(&self) {
        {
            let mut state = self.state();
            state.ending = true;
            state.waiting.clear();
            for entry in state.processes.values() {
                let _ = entry.requests.send(Request::End); // it may have exited
            }
        }
        self.changed.notify_one();
        loop {
            let gone = self.gone.notified();
            if self.state().processes.is_empty() {
                return;
            }
            gone.await;
        }
    }

    /// The command's state, as the health report shows it.
    pub(super) fn status(&self) -> HandlerStatus {
        let state = self.state();
        let is_any_up = state
            .processes
            .values()
            .any(|entry| entry.offer.is_some() && entry.starts_executions());
        let (status, reason) = match (state.restarts.not_ready(), is_any_up) {
            (Some(reason), _) => (HandlerState::NotReady, Some(reason.to_owned())),
            (None, false) => (HandlerState::Starting, None),
            (None, true) => (HandlerState::Ready, None),
        };
        let status = HandlerStatus {
            command: self.label.clone(),
            types: state.types.iter().flatten().cloned().collect(),
            status,
            reason,
            more_types: 0,
            processes: state.processes.len(),
            running: state.processes.values().map(|entry| entry.taken).sum(),
            waiting: state.waiting.len(),
            silent: state.processes.values().filter(|entry| entry.silent).count(),
            last_output: state.last_output.clone(),
        };
        drop(state);
        status.bounded()
    }

    fn decide(&self, outcome: First) {
        self.first.send_if_modified(|first| {
            let pending = *first == First::Pending;
            if pending {
                *first = outcome;
            }
            pending
        });
    }

    /// The maximum number of processes. If a process holds executions of one tenant only, other tenants
    /// must not wait for it: there may be one process per slot, however many executions each can hold.
    fn processes_max(&self, state: &State) -> usize {
        let offers = state.processes.values().filter_map(|entry| entry.offer.as_ref());
        let offered = offers.map(|offer| offer.concurrency).max();
        let each = if self.command.share_tenants { offered.unwrap_or(1) } else { 1 };
        self.command.processes.unwrap_or_else(|| self.slots.div_ceil(each))
    }

    /// Gives places to the waiting callers, strictly in the queue's order. Otherwise a busy tenant could
    /// occupy a process forever, while another tenant waits until the process is free.
    fn assign(self: &Arc<Self>, state: &mut State) {
        while let Some(waiting) = state.waiting.pop() {
            let Some((number, place)) =
                self.take_place(state, waiting.tenant, Some(&waiting.job_type))
            else {
                state.waiting.put_back(waiting);
                return;
            };
            if let Err(place) = waiting.place.send(place) {
                // The caller has just stopped waiting. Dropping the place would lock the state again.
                place.disarm();
                state.release(number);
            }
        }
    }

    fn take_place(
        self: &Arc<Self>,
        state: &mut State,
        tenant: TenantId,
        job_type: Option<&String>,
    ) -> Option<(ProcessNumber, Place)> {
        let (number, requests) = state.take_place(tenant, job_type, self.command.share_tenants)?;
        let pool = self.clone();
        Some((number, Place::new(requests, move || pool.release(number))))
    }

    fn release(self: Arc<Self>, number: ProcessNumber) {
        let mut state = self.state();
        state.release(number);
        self.assign(&mut state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
