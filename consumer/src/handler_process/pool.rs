//! The handler processes of one command: their states, their free places, and the queue of those who wait
//! for a place.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::{BootTime, Clock};
use shared::config::HandlerCommand;
use shared::id::TenantId;
use shared::readiness::HandlerStatus;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::protocol::Hello;
use super::restarts::Restarts;
use super::run::{Place, Request};
use super::types::Types;
use super::waiting_queue::WaitingQueue;

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
    slots: usize,
    types: Types,
    /// Notified when a process of any command has said hello.
    heard: Arc<Notify>,
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
    Heard,
    /// The process failed before its hello.
    Failed,
    /// Another handler has one of its types.
    Conflict(String),
}

#[derive(Default)]
struct State {
    processes: BTreeMap<ProcessNumber, Entry>,
    waiting: WaitingQueue,
    last_number: ProcessNumber,
    /// The types that the command offers; none before the first hello.
    types: Option<BTreeSet<String>>,
    restarts: Restarts,
    /// The end of what the last process that died wrote outside of executions.
    last_output: String,
    /// Incremented by a reload. Processes of earlier generations run old code.
    generation: u32,
    ending: bool,
}

struct Entry {
    requests: mpsc::UnboundedSender<Request>,
    generation: u32,
    started_at: BootTime,
    /// What its hello offered; none before the hello.
    offer: Option<Offer>,
    /// Whether it starts no more executions. A replacement may start before it exits.
    retired: bool,
    /// Whether it starts no more executions and is about to exit. A replacement starts after that.
    lost: bool,
    /// How many of its places are taken.
    taken: usize,
    /// The tenant whose execution took a place last, while any place is taken.
    tenant: Option<TenantId>,
    silent: bool,
}

/// What a process offers.
struct Offer {
    types: BTreeSet<String>,
    /// How many executions it runs concurrently.
    concurrency: usize,
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
    /// The consumer stopped it, or it died while it held executions.
    Expected,
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
        heard: Arc<Notify>,
        clock: Clock,
    ) -> Pool {
        let (label, first) = (command.label(), watch::Sender::new(First::Pending));
        let (state, changed, gone) = (Mutex::default(), Notify::new(), Notify::new());
        Pool { number, label, command, clock, slots, types, heard, state, changed, gone, first }
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
        reserved.await.ok()
    }

    /// Decides whether to start another process.
    pub(super) fn next(&self) -> Next {
        let mut state = self.state();
        if state.ending {
            return Next::Ended;
        }
        state.waiting.remove_closed();
        let current = |entry: &&Entry| entry.generation == state.generation && !entry.retired;
        let usable = state.processes.values().filter(current).count();
        let is_starting = |entry: &&Entry| current(entry) && entry.offer.is_none();
        let starting = state.processes.values().filter(is_starting).count();
        let (all, most) = (state.processes.len(), self.processes_max(&state));
        let is_needed = match usable {
            // While the other processes only finish their executions, one new process may exceed the limit.
            0 => all <= most,
            _ => state.waiting.len() > starting && all < most,
        };
        if !is_needed {
            return Next::Enough;
        }
        let now = self.clock.boot_time();
        if state.restarts.next() > now {
            return Next::At(state.restarts.next());
        }
        state.last_number += 1;
        let (number, (requests, received)) = (state.last_number, mpsc::unbounded_channel());
        let entry = Entry {
            requests,
            generation: state.generation,
            started_at: now,
            offer: None,
            retired: false,
            lost: false,
            taken: 0,
            tenant: None,
            silent: false,
        };
        state.processes.insert(number, entry);
        Next::Start(number, received)
    }

    /// A process said hello.
    ///
    /// # Errors
    /// A sentence that says why the hello is not accepted.
    pub(super) fn heard(
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
        state.types = Some(all);
        state.restarts.heard();
        let Some(entry) = state.processes.get_mut(&number) else { return Ok(()) };
        entry.offer = Some(Offer { types, concurrency: hello.concurrency() });
        let generation = entry.generation;
        for old in state.processes.values_mut().filter(|entry| entry.generation < generation) {
            retire(old);
        }
        self.assign(&mut state);
        drop(state);
        self.decide(First::Heard);
        self.heard.notify_waiters();
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
    pub(super) fn lost(&self, number: ProcessNumber) {
        if let Some(entry) = self.state().processes.get_mut(&number) {
            entry.lost = true;
        }
    }

    /// Records whether a process is unresponsive.
    pub(super) fn silent(&self, number: ProcessNumber, silent: bool) {
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
        let (mut state, now) = (self.state(), self.clock.boot_time());
        let entry = state.processes.remove(&number);
        let lived = entry.map_or(Duration::ZERO, |entry| now - entry.started_at);
        if !last_output.is_empty() {
            state.last_output = last_output;
        }
        match end {
            End::Expected => {}
            End::Died(reason) => state.restarts.died(now, lived, reason),
            End::Refused(reason) => state.restarts.refused(now, reason),
        }
        drop(state);
        if !matches!(end, End::Expected) {
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
            let mut gone = pin!(self.gone.notified());
            gone.as_mut().enable();
            if self.state().processes.is_empty() {
                return;
            }
            gone.await;
        }
    }

    /// The command's state, as the health report shows it.
    pub(super) fn status(&self) -> HandlerStatus {
        let state = self.state();
        let is_up = |entry: &&Entry| entry.offer.is_some() && !entry.retired && !entry.lost;
        let up = state.processes.values().filter(is_up).count();
        let (status, reason) = match (state.restarts.not_ready(), up) {
            (Some(reason), _) => ("not ready", Some(reason.to_owned())),
            (None, 0) => ("starting", None),
            (None, _) => ("ready", None),
        };
        HandlerStatus {
            command: self.label.clone(),
            types: state.types.iter().flatten().cloned().collect(),
            status,
            reason,
            processes: state.processes.len(),
            running: state.processes.values().map(|entry| entry.taken).sum(),
            silent: state.processes.values().filter(|entry| entry.silent).count(),
            last_output: state.last_output.clone(),
        }
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
        let offered =
            state.processes.values().filter_map(|entry| Some(entry.offer.as_ref()?.concurrency));
        let offered = offered.max();
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

    /// Takes a place in a process, of those that fit the one with the most places taken.
    fn take_place(
        self: &Arc<Self>,
        state: &mut State,
        tenant: TenantId,
        job_type: Option<&String>,
    ) -> Option<(ProcessNumber, Place)> {
        let share = self.command.share_tenants;
        let fits = |entry: &Entry| {
            !entry.retired
                && !entry.lost
                && entry.offer.as_ref().is_some_and(|offer| {
                    let has = |job_type| offer.types.contains(job_type);
                    entry.taken < offer.concurrency && job_type.is_none_or(has)
                })
                && (share || entry.tenant.is_none_or(|other| other == tenant))
        };
        let fitting = state.processes.iter_mut().filter(|(_, entry)| fits(entry));
        let (number, entry) = fitting.max_by_key(|(_, entry)| entry.taken)?;
        entry.taken += 1;
        entry.tenant = Some(tenant);
        let (pool, number) = (self.clone(), *number);
        Some((number, Place::new(entry.requests.clone(), move || pool.release(number))))
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

impl State {
    /// Whether all processes that may start executions offer the same types.
    fn offers_are_alike(&self) -> bool {
        let usable = self.processes.values().filter(|entry| !entry.retired && !entry.lost);
        let mut offers = usable.filter_map(|entry| Some(&entry.offer.as_ref()?.types));
        let Some(first) = offers.next() else { return true };
        offers.all(|types| types == first)
    }

    /// The types that other processes of this generation or a later one offer.
    fn offered_by_others(&self, number: ProcessNumber) -> BTreeSet<String> {
        let generation = self.processes.get(&number).map_or(0, |entry| entry.generation);
        let others = self.processes.iter().filter(|(other, entry)| {
            **other != number && !entry.retired && entry.generation >= generation
        });
        let offers = others.filter_map(|(_, entry)| entry.offer.as_ref());
        offers.flat_map(|offer| offer.types.iter().cloned()).collect()
    }

    fn release(&mut self, number: ProcessNumber) {
        if let Some(entry) = self.processes.get_mut(&number) {
            entry.taken = entry.taken.saturating_sub(1);
            if entry.taken == 0 {
                entry.tenant = None;
            }
        }
    }
}

fn retire(entry: &mut Entry) {
    entry.retired = true;
    let _ = entry.requests.send(Request::Retire); // it may have exited
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use shared::clock::ManualClock;
    use shared::random::Random;

    use super::*;

    fn pool(settings: HandlerCommand, slots: usize) -> (Arc<Pool>, ManualClock) {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let (types, heard) = (Types::default(), Arc::new(Notify::new()));
        let clock = Clock::Manual(manual.clone());
        (Arc::new(Pool::new(0, settings, slots, types, heard, clock)), manual)
    }

    fn hello(text: &str) -> Hello {
        serde_json::from_str(text).unwrap()
    }

    /// Starts the next process, whose hello is `offer`. The caller must keep the receiver.
    fn started(pool: &Arc<Pool>, offer: &str) -> (ProcessNumber, mpsc::UnboundedReceiver<Request>) {
        let Next::Start(number, requests) = pool.next() else { panic!("no process is needed") };
        assert_eq!(pool.heard(number, &hello(offer)), Ok(()));
        (number, requests)
    }

    fn tenants() -> [TenantId; 2] {
        [1, 2].map(|seed| {
            TenantId::new("2026-11-24T12:00:00Z".parse().unwrap(), &Random::seeded(seed))
        })
    }

    const TWO_AT_ONCE: &str = r#"{"protocol":1,"types":["report"],"concurrency":2}"#;
    const ONE_AT_ONCE: &str = r#"{"protocol":1,"types":["report"]}"#;

    #[tokio::test]
    async fn waiting_callers_get_places_strictly_in_order() {
        let settings = HandlerCommand { processes: Some(1), ..HandlerCommand::default() };
        let (pool, _) = pool(settings, 5);
        let _process = started(&pool, TWO_AT_ONCE);
        let [acme, globex] = tenants();
        let first = pool.try_reserve(acme).expect("it is idle");
        let mut theirs = Box::pin(pool.reserve("report", globex));
        assert!(poll!(&mut theirs).is_pending(), "the process holds one tenant's executions only");
        assert!(pool.try_reserve(acme).is_none(), "another tenant has waited for longer");
        let mut second = Box::pin(pool.reserve("report", acme));
        assert!(poll!(&mut second).is_pending());
        drop(first);
        let theirs = theirs.await;
        assert!(poll!(&mut second).is_pending());
        drop(theirs);
        assert!(second.await.is_some());
    }

    #[tokio::test]
    async fn a_cancelled_wait_takes_no_place() {
        let settings = HandlerCommand { processes: Some(1), ..HandlerCommand::default() };
        let (pool, _) = pool(settings, 5);
        let _process = started(&pool, ONE_AT_ONCE);
        let [acme, _] = tenants();
        let place = pool.try_reserve(acme).unwrap();
        let mut given_up = Box::pin(pool.reserve("report", acme));
        assert!(poll!(&mut given_up).is_pending());
        drop(given_up);
        drop(place);
        assert!(pool.try_reserve(acme).is_some());
    }

    #[tokio::test]
    async fn processes_are_started_for_waiting_callers_up_to_the_limit() {
        let (pool, _) = pool(HandlerCommand::default(), 2);
        let (first, _requests) = started(&pool, ONE_AT_ONCE);
        assert!(matches!(pool.next(), Next::Enough));
        let [acme, _] = tenants();
        let _held = pool.try_reserve(acme).unwrap();
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(pool.reserve("report", acme))).collect();
        for wait in &mut waits {
            assert!(poll!(wait).is_pending());
        }
        let _second = started(&pool, ONE_AT_ONCE);
        assert!(poll!(&mut waits[0]).is_ready());
        assert!(matches!(pool.next(), Next::Enough), "there is one process per slot");
        pool.retire(first);
        assert!(matches!(pool.next(), Next::Enough), "its slot is busy");
        pool.exited(first, &End::Expected, String::new());
        assert!(matches!(pool.next(), Next::Start(..)));
    }

    #[tokio::test]
    async fn new_code_takes_over_once_it_has_said_hello() {
        let (pool, manual) = pool(HandlerCommand::default(), 1);
        let (_, mut old) = started(&pool, ONE_AT_ONCE);
        let [acme, _] = tenants();
        let held = pool.try_reserve(acme).unwrap();
        pool.reload();
        let Next::Start(broken, _requests) = pool.next() else {
            panic!("new code needs a process")
        };
        pool.exited(broken, &End::Refused("no hello".into()), "no module".into());
        assert_eq!(
            (pool.status().status, pool.status().last_output.as_str()),
            ("not ready", "no module")
        );
        drop(held);
        let held = pool.try_reserve(acme).expect("the old process still serves");
        assert!(old.try_recv().is_err(), "the old process is not retired");
        let Next::Start(_, _requests) = pool.next() else {
            panic!("the first failure has no delay")
        };
        manual.advance(Duration::from_secs(1));
        pool.exited(2, &End::Died("status 1".into()), String::new());
        pool.exited(3, &End::Died("status 1".into()), String::new());
        let Next::At(at) = pool.next() else { panic!("further failures have a delay") };
        manual.advance(at - pool.clock.boot_time());
        let _new = started(&pool, TWO_AT_ONCE);
        assert!(matches!(old.try_recv(), Ok(Request::Retire)));
        assert_eq!(pool.status().status, "ready");
        drop(held);
        assert!(pool.try_reserve(acme).is_some(), "the new process has a place");
    }

    #[tokio::test]
    async fn callers_for_a_type_that_new_code_lacks_stop_waiting() {
        let settings = HandlerCommand { processes: Some(1), ..HandlerCommand::default() };
        let (pool, _) = pool(settings, 5);
        let _old = started(&pool, r#"{"protocol":1,"types":["mail","report"]}"#);
        let [acme, globex] = tenants();
        let held = pool.try_reserve(acme).unwrap();
        let mut mail = Box::pin(pool.reserve("mail", acme));
        let mut report = Box::pin(pool.reserve("report", globex));
        assert!(poll!(&mut mail).is_pending() && poll!(&mut report).is_pending());
        pool.reload();
        let _new = started(&pool, ONE_AT_ONCE);
        assert!(poll!(&mut mail).is_ready(), "no process will ever have a place for it");
        assert!(poll!(&mut report).is_ready(), "it does not wait behind it");
        drop(held);
    }

    #[tokio::test]
    async fn a_command_must_offer_the_types_that_the_operator_names() {
        let types = ["report".to_owned(), "mail".to_owned()].into();
        let (pool, _) = pool(HandlerCommand { types, ..HandlerCommand::default() }, 1);
        let Next::Start(number, _requests) = pool.next() else { panic!("a process is needed") };
        let refused = pool.heard(number, &hello(ONE_AT_ONCE)).unwrap_err();
        assert!(refused.contains("does not offer `mail`"), "{refused}");
    }
}
