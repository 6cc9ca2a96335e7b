//! The simulated world of one seed, and its steps, in an order that only the seed determines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use occurrences::{ClockHistory, Rule, Scope};
use shared::clock::{BootTime, Clock, ManualClock, delta};
use shared::database_url::DatabaseUrl;
use shared::id::{ExecutionId, JobId};
use shared::queue::{MemoryBroker, Queue};
use shared::random::Random;
use shared::replan::Review;
use shared::schedule::ZoneRules;
use shared::store::gate::{Decision, Passage, Way};
use shared::store::{Connections, Control};
use testkit::Folder;
use tokio::runtime::{Builder, Runtime};

use crate::chance::Chance as _;
use crate::faults::Faults;
use crate::handlers::{Handlers, Log};
use crate::judge::{Actor, Judge, Verdict};
use crate::process::{Kind, Process, Start};
use crate::scenario::{self, SimTenant};

/// After this time a waiting move fails, as on a connection that has timed out.
const GIVE_UP: Duration = Duration::from_secs(7);

/// A place for a process, which faults empty and refill.
pub(crate) struct Seat {
    kind: Kind,
    starts: u64,
    pub(crate) process: Option<Process>,
}

/// Everything of one seed.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) random: Random,
    pub(crate) manual: ManualClock,
    pub(crate) clock: Clock,
    pub(crate) broker: MemoryBroker,
    pub(crate) control: Control,
    pub(crate) control_dark: bool,
    /// Which process cannot reach which database, although others can.
    pub(crate) cut: BTreeSet<(usize, u64)>,
    pub(crate) tenants: Vec<SimTenant>,
    pub(crate) seats: Vec<Seat>,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
    pub(crate) judge: Judge,
    pub(crate) trace: Vec<String>,
    pub(crate) calm: Arc<AtomicBool>,
    /// Processes that were paused, or whose clock was set: they may go on for a moment after their lease
    /// has ended.
    pub(crate) unpunctual: BTreeSet<String>,
    /// The rows that are named by forged messages.
    pub(crate) forged: BTreeSet<ExecutionId>,
    pub(crate) own: Runtime,
    control_url: DatabaseUrl,
    checks: usize,
    /// Since when each move has been waiting.
    waiting: BTreeMap<(usize, u64, u64), BootTime>,
    _folder: Folder,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let random = Random::seeded(seed);
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let clock = Clock::Manual(manual.clone());
        let own = Builder::new_current_thread().enable_all().build().unwrap();
        let folder = Folder::in_memory();
        let control_url = scenario::control(&folder);
        let connections = Connections::new(clock.clone(), 50);
        let control = Control::new(&control_url, &connections).unwrap();
        let broker = MemoryBroker::new();
        broker.hold();
        let faults = Faults::of(&random);
        let mut world = World {
            seed,
            tenants: Vec::new(),
            seats: Vec::new(),
            log: Log::default(),
            judge: Judge::default(),
            trace: Vec::new(),
            calm: Arc::new(AtomicBool::new(false)),
            control_dark: false,
            cut: BTreeSet::new(),
            unpunctual: BTreeSet::new(),
            forged: BTreeSet::new(),
            checks: 0,
            waiting: BTreeMap::new(),
            _folder: folder,
            random,
            manual,
            clock,
            broker,
            control,
            faults,
            own,
            control_url,
        };
        for n in 0..1 + world.random.below(3) {
            let World { own, _folder, control, random, .. } = &world;
            let made = own.block_on(scenario::tenant(n, _folder, control, &connections, random));
            world.note(format!("tenant {} max_running {:?}", made.slug, made.max_running));
            world.tenants.push(made);
            for _ in 0..1 + world.random.below(4) {
                world.add_job(n);
            }
        }
        let kinds = [
            (Kind::Producer, 1 + world.random.below(3)),
            (Kind::Consumer, 1 + world.random.below(3)),
        ];
        for (kind, count) in kinds {
            world.seats.extend((0..count).map(|_| Seat { kind, starts: 0, process: None }));
        }
        (0..world.seats.len()).for_each(|seat| world.start(seat));
        world
    }

    pub(crate) fn add_job(&mut self, tenant: usize) {
        let World { own, tenants, clock, random, .. } = self;
        let made = own.block_on(tenants[tenant].add_job(clock.wall_time(), random));
        self.note(format!("t{tenant} {made}"));
    }

    pub(crate) fn note(&mut self, text: String) {
        let at = self.clock.boot_time().since_boot().as_millis();
        self.trace.push(format!("{:>9}.{:03} {text}", at / 1000, at % 1000));
    }

    /// Starts a process in a seat, replacing the present one.
    pub(crate) fn start(&mut self, seat: usize) {
        let Seat { kind, starts, process } = &mut self.seats[seat];
        drop(process.take());
        *starts += 1;
        let (kind, label) = (*kind, format!("{kind:?}-{seat}.{starts}").to_lowercase());
        let random = Random::seeded(self.seed ^ ((seat as u64 + 1) << 32) ^ (*starts << 48));
        let start = Start {
            kind,
            label: label.clone(),
            clock: self.clock.clone(),
            control: &self.control_url,
            queue: Queue::Memory(self.broker.clone()),
            random: random.clone(),
            handlers: Handlers {
                process: label.clone(),
                log: self.log.clone(),
                clock: self.clock.clone(),
                random,
                calm: self.calm.clone(),
                wild: self.faults.wild,
            },
        };
        self.seats[seat].process = Some(Process::start(start));
        self.note(format!("{label} starts"));
    }

    /// Kills the process in a seat.
    pub(crate) fn kill(&mut self, seat: usize) {
        if let Some(process) = self.seats[seat].process.take() {
            let label = process.label.clone();
            drop(process);
            self.note(format!("{label} dies"));
        }
    }

    /// Runs every process until it is idle.
    pub(crate) fn run_until_idle(&self) {
        for _ in 0..2 {
            self.seats.iter().filter_map(|seat| seat.process.as_ref()).for_each(Process::run);
        }
    }

    /// The moves that are waiting at the gates.
    pub(crate) fn passages(&self) -> Vec<(usize, Passage)> {
        let alive = self.seats.iter().enumerate();
        let gates = alive.filter_map(|(seat, it)| Some((seat, it.process.as_ref()?)));
        let gates = gates.filter(|(_, process)| !process.paused);
        gates
            .flat_map(|(seat, process)| process.gate.waiting().into_iter().map(move |p| (seat, p)))
            .collect()
    }

    fn is_dark(&self, seat: usize, database: u64) -> bool {
        match database {
            n if self.cut.contains(&(seat, n)) => true,
            0 => self.control_dark,
            n => self.tenants[n as usize - 1].dark,
        }
    }

    /// One step.
    pub(crate) fn step(&mut self) -> Verdict {
        let passages = self.passages();
        self.forget_passed(&passages);
        if let Some((seat, passage)) = self.overdue(&passages) {
            self.decide(seat, passage, Decision::Fail)?;
        } else if !passages.is_empty() && self.random.happens(self.faults.briskness) {
            let (seat, passage) = *self.random.one_of(&passages);
            let fails = match passage.way {
                Way::In if self.is_dark(seat, passage.database) => true,
                Way::In => self.random.happens(self.faults.fails),
                Way::Out => self.random.happens(self.faults.loses_answer),
            };
            let decision = if fails { Decision::Fail } else { Decision::Pass };
            self.decide(seat, passage, decision)?;
        } else {
            self.something(!passages.is_empty())?;
        }
        self.run_until_idle();
        self.judge()
    }

    /// Has the judge check the messages and what is running.
    fn judge(&mut self) -> Verdict {
        self.judge.sent(&self.broker.in_flight(), &self.forged)?;
        self.judge.ran(&self.tenants, &self.log, &self.unpunctual, &self.faults)
    }

    fn forget_passed(&mut self, passages: &[(usize, Passage)]) {
        let now = self.clock.boot_time();
        let key = |seat: usize, passage: &Passage| (seat, self.seats[seat].starts, passage.number);
        let present: BTreeMap<_, _> = passages
            .iter()
            .map(|(seat, passage)| {
                let key = key(*seat, passage);
                (key, self.waiting.get(&key).copied().unwrap_or(now))
            })
            .collect();
        self.waiting = present;
    }

    fn overdue(&self, passages: &[(usize, Passage)]) -> Option<(usize, Passage)> {
        let now = self.clock.boot_time();
        let is_late = |(seat, passage): &&(usize, Passage)| {
            let key = (*seat, self.seats[*seat].starts, passage.number);
            self.waiting.get(&key).is_some_and(|since| now - *since >= GIVE_UP)
        };
        passages.iter().find(is_late).copied()
    }

    pub(crate) fn decide(&mut self, seat: usize, passage: Passage, decision: Decision) -> Verdict {
        let Some(process) = &self.seats[seat].process else { return Ok(()) };
        let (kind, label) = (process.kind, process.label.clone());
        process.gate.decide(passage.number, decision);
        process.run();
        let Passage { database, name, way, .. } = passage;
        let place = if database == 0 { "control".to_owned() } else { format!("t{}", database - 1) };
        let passes = decision == Decision::Pass;
        let failed = if passes { "" } else { " FAILS" };
        self.note(format!("{label} {name} {place} {way:?}{failed}"));
        if database > 0 && way == Way::In && passes && !name.starts_with("read") && name != "poll" {
            self.check_tenant(database as usize - 1, Actor::Process(kind, &label, name))?;
        }
        Ok(())
    }

    /// Has the judge check what has changed in a tenant's database.
    pub(crate) fn check_tenant(&mut self, tenant: usize, actor: Actor<'_>) -> Verdict {
        self.checks += 1;
        let World { own, tenants, judge, checks, .. } = self;
        // Reading everything after every move would take most of the time.
        let rows = match *checks % 50 {
            0 => own.block_on(tenants[tenant].everything()),
            _ => own.block_on(tenants[tenant].what_may_have_changed(judge)),
        };
        judge.moved(&tenants[tenant], rows, *checks % 50 == 0, actor)
    }

    /// Advances the clock to the next sleeper's time, or part of the way.
    pub(crate) fn advance(&mut self, somebody_waits: bool) {
        let most = Duration::from_secs(if somebody_waits { 2 } else { 60 });
        let next = self.manual.next_wake().unwrap_or(most).min(most);
        let part = next.mul_f64(self.random.unit());
        let by = if self.random.one_in(5) {
            Duration::from_millis(part.as_millis() as u64)
        } else {
            next
        };
        self.manual.advance(by.max(Duration::from_millis(1)));
    }

    /// Ends the faults, starts every process again, and adds nothing more: everything must become final.
    pub(crate) fn heal(&mut self) -> Verdict {
        self.note("faults end".into());
        self.calm.store(true, Ordering::Relaxed);
        self.end_faults();
        for seat in 0..self.seats.len() {
            match &mut self.seats[seat].process {
                Some(process) if !process.shutdown.drain.is_cancelled() => process.paused = false,
                _ => self.start(seat),
            }
        }
        self.calm_down(Duration::from_secs(70))?;
        self.check_next_times()?;
        // Rows that the faults have delayed may still be open, and the clock's steps of three hours make
        // them older than they are. The last check allows none.
        self.check_occurrences(delta(self.clock.boot_time().since_boot()) + TimeDelta::hours(24))?;
        let jobs_off = "UPDATE polychron_job SET is_enabled = 0";
        for tenant in 0..self.tenants.len() {
            let before = self.clock.wall_time() - TimeDelta::seconds(60);
            let late = self.own.block_on(self.tenants[tenant].undispatched(before));
            if !late.is_empty() {
                return Err(format!("{late:?} of t{tenant} are due, and not dispatched"));
            }
            self.sql(tenant, jobs_off)?;
        }
        // A hundred missed runs, one at a time, each retried twice, take a while; and what was run by hand
        // before the clock went back three hours is not moved, because it may be wanted then.
        for _ in 0..1200 {
            self.calm_down(Duration::from_secs(15))?;
            if self.judge.open().is_empty() {
                self.check_occurrences(TimeDelta::zero())?;
                return self.judge.all_started();
            }
        }
        Err(format!("these rows never become final: {:#?}", self.judge.open()))
    }

    /// Checks that every job goes on at its schedule's next time, wherever the clock has been.
    fn check_next_times(&mut self) -> Verdict {
        for it in &self.tenants {
            let jobs = self.own.block_on(async {
                let (store, rules) = (&it.store, ZoneRules::current());
                let now = store.now().await.unwrap();
                let review = Review { tenant: it.id, store, now, rules };
                let mut wrong = Vec::new();
                for job in store.read_planned(JobId(0), now.time(), 1000).await.unwrap() {
                    if let Some(deviation) = review.examine(&job).await.unwrap() {
                        wrong.push((job, deviation));
                    }
                }
                wrong
            });
            if !jobs.is_empty() {
                return Err(format!("{} stands still: {jobs:#?}", it.slug));
            }
        }
        Ok(())
    }

    /// Checks the whole history of every tenant.
    fn check_occurrences(&mut self, patience: TimeDelta) -> Verdict {
        let now = self.clock.wall_time();
        // A job that cannot be dispatched gets its row within half a minute.
        let (from, dispatch_patience) = (now - TimeDelta::days(1), TimeDelta::seconds(45));
        let scope = Scope {
            from,
            to: None,
            now,
            patience,
            dispatch_patience,
            clock: if self.faults.sets_clocks() {
                ClockHistory::SetBack
            } else {
                ClockHistory::Monotonic
            },
        };
        let listed = self.own.block_on(self.control.list_tenants()).unwrap();
        for (it, tenant) in self.tenants.iter().zip(&listed) {
            let report = self.own.block_on(occurrences::check(&it.store, tenant, &scope)).unwrap();
            let mut violations = report.violations;
            // A process that was paused writes old times, which look as if it had dispatched too early.
            // The judge has checked the limit after each step.
            if !self.unpunctual.is_empty() {
                violations.retain(|violation| violation.rule != Rule::Limited);
            }
            if !violations.is_empty() {
                return Err(format!("the check of {}: {violations:#?}", it.slug));
            }
        }
        Ok(())
    }

    /// Goes on for a while without faults.
    fn calm_down(&mut self, duration: Duration) -> Verdict {
        let end = self.clock.boot_time() + duration;
        while self.clock.boot_time() < end {
            self.run_until_idle();
            while self.broker.held() > 0 {
                self.broker.arrive(0, 1);
                self.run_until_idle();
            }
            match self.passages().first() {
                Some((seat, passage)) => self.decide(*seat, *passage, Decision::Pass)?,
                None => {
                    let next = self.manual.next_wake().unwrap_or(duration);
                    self.manual.advance(next.max(Duration::from_millis(1)));
                }
            }
            self.run_until_idle();
            self.judge()?;
        }
        Ok(())
    }
}
