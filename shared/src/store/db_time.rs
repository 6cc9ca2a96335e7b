//! The time of a database, as a type of its own.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::{Clock, ManualClock, Time};

/// An instant of a database's clock: its current time ([`Store::now`](super::Store::now),
/// [`Control::now`](super::Control::now)), or a time relative to that. Statements that depend on the time
/// take a `DbTime`, because this machine's wall time may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DbTime(Time);

impl DbTime {
    /// Only for [`ServerClock`](super::server_clock::ServerClock), which reads the database's clock.
    pub(super) fn read(time: Time) -> DbTime {
        DbTime(time)
    }

    /// The database's time in a test with a manual clock.
    pub fn shown_by(clock: &ManualClock) -> DbTime {
        DbTime(Clock::Manual(clock.clone()).wall_time())
    }

    /// The instant, as rows contain it.
    pub fn time(self) -> Time {
        self.0
    }
}

impl Add<Duration> for DbTime {
    type Output = DbTime;
    fn add(self, duration: Duration) -> DbTime {
        DbTime(self.0 + duration)
    }
}

impl Sub<Duration> for DbTime {
    type Output = DbTime;
    fn sub(self, duration: Duration) -> DbTime {
        DbTime(self.0 - duration)
    }
}

impl Add<TimeDelta> for DbTime {
    type Output = DbTime;
    fn add(self, delta: TimeDelta) -> DbTime {
        DbTime(self.0 + delta)
    }
}

impl Sub<TimeDelta> for DbTime {
    type Output = DbTime;
    fn sub(self, delta: TimeDelta) -> DbTime {
        DbTime(self.0 - delta)
    }
}

impl Sub for DbTime {
    type Output = TimeDelta;
    fn sub(self, earlier: DbTime) -> TimeDelta {
        self.0 - earlier.0
    }
}

/// The time since an instant in a row; negative if that is later.
impl Sub<Time> for DbTime {
    type Output = TimeDelta;
    fn sub(self, earlier: Time) -> TimeDelta {
        self.0 - earlier
    }
}

/// The time from the database's time to an instant in a row; negative if that has passed.
impl Sub<DbTime> for Time {
    type Output = TimeDelta;
    fn sub(self, earlier: DbTime) -> TimeDelta {
        self - earlier.0
    }
}

impl PartialEq<Time> for DbTime {
    fn eq(&self, other: &Time) -> bool {
        self.0 == *other
    }
}

impl PartialOrd<Time> for DbTime {
    fn partial_cmp(&self, other: &Time) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(other)
    }
}

impl PartialEq<DbTime> for Time {
    fn eq(&self, other: &DbTime) -> bool {
        *self == other.0
    }
}

impl PartialOrd<DbTime> for Time {
    fn partial_cmp(&self, other: &DbTime) -> Option<std::cmp::Ordering> {
        self.partial_cmp(&other.0)
    }
}

impl From<DbTime> for Time {
    fn from(db_time: DbTime) -> Time {
        db_time.0
    }
}

impl fmt::Display for DbTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
