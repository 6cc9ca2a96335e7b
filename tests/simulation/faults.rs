//! Faults, and what people do meanwhile.

use std::time::Duration;

use chrono::TimeDelta;
use shared::execution::Status;
use shared::id::ExecutionId;
use shared::message::Message;
use shared::queue::BrokerState;
use shared::random::Random;
use shared::store::{DbTime, Guarded, TenantEdit};
use shared::tenant::TenantStatus;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::chance::Chance as _;
use crate::judge::{Actor, Verdict};
use crate::scenario::schedule;
use crate::world::World;

/// How likely faults are under one seed.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// No faults at all.
    pub(crate) none: bool,
    /// Handlers fail, hang and panic.
    pub(crate) wild: bool,
    /// How likely a waiting move goes on, rather than something else happening first.
    pub(crate) briskness: f64,
    /// How often a move does not reach the database.
    pub(crate) fails: f64,
    /// How often its answer is lost.
    pub(crate) loses_answer: f64,
    /// How often messages are lost, and duplicated.
    lost: f64,
    doubled: f64,
    /// How often a process is killed, started or paused, a database becomes unreachable, and so on.
    processes: f64,
    databases: f64,
    broker: f64,
    clock: f64,
    people: f64,
}

impl Faults {
    /// Some seeds have none, some one kind, some all.
    pub(crate) fn of(random: &Random) -> Faults {
        let none = random.one_in(5);
        let some = |scale: f64| if !none && random.one_in(2) { random.unit() * scale } else { 0.0 };
        Faults {
            none,
            wild: random.one_in(2),
            // A database that delays moves long enough is a fault, too.
            briskness: if none { 1.0 } else { *random.one_of(&[0.98, 0.9, 0.7]) },
            fails: some(0.1),
            loses_answer: some(0.1),
            lost: some(0.5),
            doubled: some(0.5),
            processes: some(0.05),
            databases: some(0.05),
            broker: some(0.02),
            clock: some(0.01),
            people: if random.one_in(2) { random.unit() * 0.1 } else { 0.0 },
        }
    }

    /// Whether wall time is set.
    pub(crate) fn sets_clocks(&self) -> bool {
        self.clock > 0.0
    }

    fn any(&self, kind: f64, random: &Random) -> bool {
        kind > 0.0 && random.happens(kind)
    }
}

impl World {
    /// Anything but a move.
    pub(crate) fn something(&mut self, somebody_waits: bool) -> Verdict {
        let (faults, random) = (self.faults.clone(), self.random.clone());
        if faults.any(faults.processes, &random) {
            self.meddle_with_a_process();
        } else if faults.any(faults.databases, &random) {
            self.switch_a_database();
        } else if faults.any(faults.broker, &random) {
            self.meddle_with_the_broker();
        } else if faults.any(faults.clock, &random) {
            // Leases are checked by the database's clock, so setting it may end them.
            let all = self.seats.iter().filter_map(|seat| seat.process.as_ref());
            self.unpunctual.extend(all.map(|process| process.label.clone()));
            let seconds = *random.one_of(&[-10_800, -60, -2, 2, 60, 600, 10_800]);
            self.manual.step_wall_time(TimeDelta::seconds(seconds));
            self.note(format!("wall time steps by {seconds} s"));
        } else if faults.any(faults.people, &random) {
            self.people_act()?;
        } else if self.broker.held() > 0 && random.one_in(2) {
            let which = random.below(self.broker.held());
            let times = match random.unit() {
                luck if luck < faults.lost => 0,
                luck if luck > 1.0 - faults.doubled => 2,
                _ => 1,
            };
            self.broker.arrive(which, times);
            self.note(format!("message {which} arrives {times} times"));
        } else {
            self.advance(somebody_waits);
        }
        Ok(())
    }

    fn meddle_with_a_process(&mut self) {
        let seat = self.random.below(self.seats.len());
        let choice = self.random.below(4);
        match &mut self.seats[seat].process {
            None => self.start(seat),
            Some(process) if process.is_over() => self.start(seat),
            Some(process) if process.paused => {
                process.paused = false;
                let text = format!("{} goes on", process.label);
                self.note(text);
            }
            Some(process) => match choice {
                0 => {
                    process.paused = true;
                    self.unpunctual.insert(process.label.clone());
                    let text = format!("{} is paused", process.label);
                    self.note(text);
                }
                1 => {
                    match process.shutdown.drain.is_cancelled() {
                        true => process.shutdown.release.cancel(),
                        false => process.shutdown.drain.cancel(),
                    }
                    let text = format!("{} is asked to stop", process.label);
                    self.note(text);
                }
                2 => self.kill(seat),
                _ => self.start(seat),
            },
        }
    }

    fn switch_a_database(&mut self) {
        let which = self.random.below(self.tenants.len() + 1);
        if self.random.one_in(2) {
            let line = (self.random.below(self.seats.len()), which as u64);
            let cut = !self.cut.remove(&line) && self.cut.insert(line);
            let state = if cut { "cut off from" } else { "reaches" };
            return self.note(format!("seat {} {state} database {which}", line.0));
        }
        let dark = match which.checked_sub(1) {
            None => &mut self.control_dark,
            Some(tenant) => &mut self.tenants[tenant].dark,
        };
        *dark = !*dark;
        let text = format!("database {which} is {}", if *dark { "dark" } else { "back" });
        self.note(text);
    }

    fn meddle_with_the_broker(&mut self) {
        let text = match self.random.below(5) {
            0 => {
                self.broker.refuse();
                "the queue is full"
            }
            1 => {
                self.broker.set_state(BrokerState::Blocked);
                "the broker blocks"
            }
            2 => {
                self.broker.purge();
                "the queue is purged"
            }
            3 => {
                let tenant = self.tenants[self.random.below(self.tenants.len())].id;
                let execution = ExecutionId::new(self.clock.wall_time(), &self.random);
                self.forged.insert(execution);
                self.broker.inject("default", Message { tenant, execution }.encode());
                self.broker.inject("default", b"{}".to_vec());
                "forged messages come"
            }
            _ => {
                self.broker.set_state(BrokerState::Open);
                self.broker.accept();
                "the broker is open"
            }
        };
        self.note(text.into());
    }

    /// People edit jobs, run them manually, and cancel executions.
    fn people_act(&mut self) -> Verdict {
        let (random, tenant) = (self.random.clone(), self.random.below(self.tenants.len()));
        let job = 1 + random.below(self.tenants[tenant].made);
        let now = self.clock.wall_time();
        match random.below(9) {
            0 => {
                let schedule = schedule(now, &random);
                self.sql(
                    tenant,
                    &format!("UPDATE polychron_job SET schedule = '{schedule}' WHERE id = {job}"),
                )
            }
            1 => self.sql(
                tenant,
                &format!("UPDATE polychron_job SET is_enabled = 1 - is_enabled WHERE id = {job}"),
            ),
            2 if random.one_in(3) => {
                self.sql(tenant, &format!("DELETE FROM polychron_job WHERE id = {job}"))
            }
            3 if self.tenants[tenant].made < 8 => {
                self.add_job(tenant);
                Ok(())
            }
            4 | 5 => self.run_by_hand(tenant, job),
            6 => self.cancel_one(tenant),
            7 if !self.faults.none => self.switch_tenant(tenant),
            _ => self.sql(
                tenant,
                &format!("UPDATE polychron_job SET payload = '{{\"n\":1}}' WHERE id = {job}"),
            ),
        }
    }

    fn run_by_hand(&mut self, tenant: usize, job: usize) -> Verdict {
        let now = DbTime::shown_by(&self.manual);
        let id = ExecutionId::new(now.time(), &self.random);
        let name = format!("job-{job}");
        let request = self.tenants[tenant].store.run_job(&name, id, None, now);
        // A second manual run in the same microsecond is refused, and so is one at an occurrence.
        let done = self.own.block_on(request).is_ok_and(Guarded::is_applied);
        self.note(format!("t{tenant} {name} is run by hand: {done}"));
        self.check_tenant(tenant, Actor::People)
    }

    fn cancel_one(&mut self, tenant: usize) -> Verdict {
        let open: Vec<ExecutionId> = self
            .judge
            .rows_of(&self.tenants[tenant].slug)
            .filter(|row| !row.status.is_final() || self.random.one_in(10))
            .map(|row| row.id)
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let id = *self.random.one_of(&open);
        let request = self.tenants[tenant].store.cancel(id, DbTime::shown_by(&self.manual));
        let status: Option<Status> = self.own.block_on(request).unwrap();
        self.note(format!("t{tenant} {id} is to be cancelled: {status:?}"));
        self.check_tenant(tenant, Actor::People)
    }

    fn switch_tenant(&mut self, tenant: usize) -> Verdict {
        let suspended = !self.tenants[tenant].suspended;
        self.suspend(tenant, suspended);
        Ok(())
    }

    fn suspend(&mut self, tenant: usize, suspended: bool) {
        let status = if suspended { TenantStatus::Suspended } else { TenantStatus::Active };
        let edit = TenantEdit { status: Some(status), ..TenantEdit::default() };
        let now = DbTime::shown_by(&self.manual);
        let edited = self.control.edit_tenant(self.tenants[tenant].id, &edit, now);
        assert!(self.own.block_on(edited).unwrap().is_applied());
        self.tenants[tenant].suspended = suspended;
        self.note(format!("t{tenant} is {status}"));
    }

    /// A statement of the tenant's application.
    pub(crate) fn sql(&mut self, tenant: usize, statement: &str) -> Verdict {
        let sql = &mut self.tenants[tenant].sql;
        let done = self.own.block_on(sql.execute(AssertSqlSafe(statement.to_owned()))).unwrap();
        self.note(format!("t{tenant} {statement}: {}", done.rows_affected()));
        self.check_tenant(tenant, Actor::People)
    }

    pub(crate) fn end_faults(&mut self) {
        self.control_dark = false;
        self.cut.clear();
        self.broker.set_state(BrokerState::Open);
        self.broker.accept();
        for tenant in 0..self.tenants.len() {
            self.tenants[tenant].dark = false;
            if self.tenants[tenant].suspended {
                self.suspend(tenant, false);
            }
        }
        self.manual.advance(Duration::from_millis(1));
    }
}
