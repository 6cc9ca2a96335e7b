//! Instants that stay in range.
//!
//! Rows, requests and messages may contain any time that their format can express, and chrono's arithmetic
//! panics outside chrono's range. So instants are checked when they are decoded, and arithmetic saturates.

use std::fmt;
use std::ops::{Add, AddAssign, Deref, Sub, SubAssign};
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// An instant in UTC, between the years 1 and 9999: what both databases can store and order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Time(DateTime<Utc>);

/// The instant is not between the years 1 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is not between the years 1 and 9999")]
pub struct OutOfRange;

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// It is not in the format of RFC 3339.
    #[error(transparent)]
    Malformed(#[from] chrono::ParseError),
    /// Not between the years 1 and 9999.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

impl Time {
    /// The beginning of the year 1, before or at every time.
    pub const MIN: Time = Time::constant(-62_135_596_800, 0);
    /// The last microsecond of the year 9999, after or at every time.
    pub const MAX: Time = Time::constant(253_402_300_799, 999_999_000);
    /// The beginning of the year 1970.
    pub const UNIX_EPOCH: Time = Time::constant(0, 0);

    const fn constant(seconds: i64, nanoseconds: u32) -> Time {
        match DateTime::from_timestamp(seconds, nanoseconds) {
            Some(instant) => Time(instant),
            None => panic!("a constant out of range"),
        }
    }

    /// The instant this many seconds and nanoseconds after the beginning of 1970; none if out of range.
    pub fn from_timestamp(seconds: i64, nanoseconds: u32) -> Option<Time> {
        Time::try_from(DateTime::from_timestamp(seconds, nanoseconds)?).ok()
    }

    /// The instant this many microseconds after the beginning of 1970; none if out of range.
    pub fn from_timestamp_micros(microseconds: i64) -> Option<Time> {
        Time::try_from(DateTime::from_timestamp_micros(microseconds)?).ok()
    }

    /// The nearest instant in range.
    pub fn nearest(instant: DateTime<Utc>) -> Time {
        Time(instant.clamp(Time::MIN.0, Time::MAX.0))
    }

    fn plus(self, delta: TimeDelta) -> Time {
        match self.0.checked_add_signed(delta) {
            Some(instant) => Time::nearest(instant),
            None if delta < TimeDelta::zero() => Time::MIN,
            None => Time::MAX,
        }
    }
}

impl Deref for Time {
    type Target = DateTime<Utc>;
    fn deref(&self) -> &DateTime<Utc> {
        &self.0
    }
}

impl From<Time> for DateTime<Utc> {
    fn from(time: Time) -> DateTime<Utc> {
        time.0
    }
}

impl TryFrom<DateTime<Utc>> for Time {
    type Error = OutOfRange;
    fn try_from(instant: DateTime<Utc>) -> Result<Time, OutOfRange> {
        let in_range = (Time::MIN.0..=Time::MAX.0).contains(&instant);
        if in_range { Ok(Time(instant)) } else { Err(OutOfRange) }
    }
}

impl FromStr for Time {
    type Err = InvalidTime;
    fn from_str(text: &str) -> Result<Time, InvalidTime> {
        Ok(Time::try_from(text.parse::<DateTime<Utc>>()?)?)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let instant = DateTime::<Utc>::deserialize(deserializer)?;
        Time::try_from(instant).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Add<TimeDelta> for Time {
    type Output = Time;
    /// Saturates at [`Time::MIN`] and [`Time::MAX`].
    fn add(self, delta: TimeDelta) -> Time {
        self.plus(delta)
    }
}

impl Sub<TimeDelta> for Time {
    type Output = Time;
    fn sub(self, delta: TimeDelta) -> Time {
        self.plus(-delta.clamp(-TimeDelta::MAX, TimeDelta::MAX))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        self.plus(delta(duration))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, duration: Duration) -> Time {
        self.plus(-delta(duration))
    }
}

impl Sub for Time {
    type Output = TimeDelta;
    /// Two instants in range are never too far apart.
    fn sub(self, earlier: Time) -> TimeDelta {
        self.0.signed_duration_since(earlier.0)
    }
}

impl AddAssign<TimeDelta> for Time {
    fn add_assign(&mut self, delta: TimeDelta) {
        *self = self.plus(delta);
    }
}

impl SubAssign<TimeDelta> for Time {
    fn sub_assign(&mut self, delta: TimeDelta) {
        *self = *self - delta;
    }
}

/// Truncates an instant to microseconds, the resolution of both databases.
pub fn cut(time: Time) -> Time {
    time.0.duration_trunc(TimeDelta::microseconds(1)).map_or(time, Time::nearest)
}

/// Converts a duration to chrono's type, saturating at its maximum.
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_out_of_range_are_refused_where_they_are_read() {
        for text in [
            "+262142-12-31T23:59:59Z",
            "-262143-01-01T00:00:00Z",
            "+10000-01-01T00:00:00Z",
            "0000-12-31T23:59:59Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(InvalidTime::OutOfRange(OutOfRange)), "{text}");
            let json = format!("\"{text}\"");
            assert!(serde_json::from_str::<Time>(&json).is_err(), "{text}");
        }
        for time in [Time::MIN, Time::MAX] {
            let text = time.to_rfc3339();
            assert_eq!(text.parse(), Ok(time), "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        for (delta, end) in [
            (TimeDelta::MAX, Time::MAX),
            (TimeDelta::days(4_000_000), Time::MAX),
            (TimeDelta::MIN, Time::MIN),
            (TimeDelta::days(-4_000_000), Time::MIN),
        ] {
            for from in [Time::MIN, Time::UNIX_EPOCH, Time::MAX] {
                assert_eq!(from + delta, end, "{from} + {delta}");
                assert!(Time::MAX - from >= TimeDelta::zero());
            }
            assert_eq!(
                Time::UNIX_EPOCH - delta,
                if end == Time::MAX { Time::MIN } else { Time::MAX }
            );
        }
        assert_eq!(Time::MAX + Duration::MAX, Time::MAX);
        assert_eq!(Time::MIN - Duration::MAX, Time::MIN);
    }
}
