//! The database server's time, which decides when a tenant's jobs are due.
//!
//! Reading the server's clock for each statement would cost a round trip. So it is read every ten seconds,
//! and the boot time since then is added. Two processes whose own clocks are an hour apart therefore
//! behave alike.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use super::db::{Db, run};
use super::db_time::DbTime;
use super::error::Result;
use super::sql;
use crate::clock::{BootTime, Clock, Time, cut, delta};

/// How long one reading of the server's clock is used.
const READING_LASTS: Duration = Duration::from_secs(10);

/// Readings jitter backwards. A smaller step back than this is clamped to the last time; a larger one
/// means that the server's clock was set, and is followed.
const CLAMPED_MAX: TimeDelta = TimeDelta::seconds(1);

/// Derives one server's time from boot time.
pub(super) struct ServerClock {
    clock: Clock,
    reading: Mutex<Option<Reading>>,
    /// The last time that was returned.
    last: Mutex<Option<Time>>,
}

#[derive(Clone, Copy)]
struct Reading {
    /// The server's time when this machine booted.
    booted: Time,
    taken: BootTime,
    identity: DatabaseIdentity,
}

impl Reading {
    /// The server's time at an instant of this machine's boot clock.
    fn at(&self, boot_time: BootTime) -> Time {
        self.booted + delta(boot_time.since_boot())
    }
}

/// The identity of a PostgreSQL database: its server and its number there, whatever the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DatabaseIdentity {
    /// When the server started, to the microsecond, which distinguishes it from other servers.
    pub(super) started_at: Time,
    /// The database's `oid` on that server.
    pub(super) database: i64,
}

impl ServerClock {
    pub(super) fn new(clock: Clock) -> ServerClock {
        ServerClock { clock, reading: Mutex::default(), last: Mutex::default() }
    }

    /// The clock it is derived from.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The server's time now.
    pub(super) async fn now(&self, db: &Db) -> Result<DbTime> {
        let database = match (db, &self.clock) {
            (Db::Postgres(database), Clock::System) => database,
            // An SQLite file is on this machine, and a test's manual clock stands for every server's.
            (Db::Sqlite(_), _) | (_, Clock::Manual(_)) => {
                return Ok(DbTime::read(self.clock.wall_time()));
            }
        };
        let boot_time = self.clock.boot_time();
        if let Some(reading) = self.reading()
            && boot_time - reading.taken < READING_LASTS
        {
            return Ok(DbTime::read(self.clamped(cut(reading.at(boot_time)))));
        }
        let ((time, started_at, database), before, after) = run!(database, |connection| async {
            let before = self.clock.boot_time();
            let server: (Time, Time, i64) =
                sqlx::query_as(sql::READ_SERVER.postgres).fetch_one(connection).await?;
            Ok((server, before, self.clock.boot_time()))
        })?;
        // The server read its clock between `before` and `after`: their middle errs by at most half the
        // round trip.
        let booted = time - delta((before + (after - before) / 2).since_boot());
        let reading =
            Reading { booted, taken: after, identity: DatabaseIdentity { started_at, database } };
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        Ok(DbTime::read(self.clamped(cut(reading.at(after)))))
    }

    /// The time if no server needs to be asked for it.
    pub(super) fn on_this_machine(&self, db: &Db) -> Option<DbTime> {
        match (db, &self.clock) {
            (Db::Postgres(_), Clock::System) => None,
            (Db::Sqlite(_), _) | (_, Clock::Manual(_)) => {
                Some(DbTime::read(self.clock.wall_time()))
            }
        }
    }

    /// The identity of a PostgreSQL database at the last reading; none before the first.
    pub(super) fn identity(&self) -> Option<DatabaseIdentity> {
        self.reading().map(|reading| reading.identity)
    }

    fn reading(&self) -> Option<Reading> {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clamps small steps back, which are due to the inexact readings.
    fn clamped(&self, derived: Time) -> Time {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match *last {
            Some(last) if last > derived && last - derived < CLAMPED_MAX => last,
            _ => derived,
        };
        *last = Some(now);
        now
    }

    /// How long until the server's clock shows `time`, by the last reading. Zero if that time has passed,
    /// or before the first reading.
    pub(super) fn until(&self, db: &Db, time: Time) -> Duration {
        let now = match (db, &self.clock, self.reading()) {
            (Db::Postgres(_), Clock::System, Some(reading)) => reading.at(self.clock.boot_time()),
            (Db::Postgres(_), Clock::System, None) => return Duration::ZERO,
            (Db::Sqlite(_), _, _) | (_, Clock::Manual(_), _) => self.clock.wall_time(),
        };
        (time - now).max(TimeDelta::zero()).to_std().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_step_back_is_clamped_and_a_larger_one_is_followed() {
        let server = ServerClock::new(Clock::System);
        let noon: Time = "2026-11-24T12:00:00Z".parse().unwrap();
        let at = |millis| noon + TimeDelta::milliseconds(millis);
        for (derived, expected) in
            [(0, 0), (500, 500), (-300, 500), (499, 500), (501, 501), (-499, -499), (-400, -400)]
        {
            assert_eq!(server.clamped(at(derived)), at(expected), "{derived}");
        }
    }
}
