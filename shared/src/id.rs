//! Typed ids, so that the compiler catches a tenant's id used as an execution's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::clock::Time;
use crate::random::Random;

/// The id of a job within its tenant's database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// The id of a tenant in the control database, in messages and in the tenant's own database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

/// The id of one attempt at one occurrence, in its row, its message and log lines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(pub Uuid);

impl TenantId {
    /// A new id.
    pub fn new(now: Time, random: &Random) -> TenantId {
        TenantId(uuid_at(now, random))
    }
}

impl ExecutionId {
    /// Sorts before every other.
    pub const FIRST: ExecutionId = ExecutionId(Uuid::nil());

    /// Sorts after every other.
    pub const LAST: ExecutionId = ExecutionId(Uuid::max());

    /// A new id. Ids sort by `now`, so history can be paged by id.
    pub fn new(now: Time, random: &Random) -> ExecutionId {
        ExecutionId(uuid_at(now, random))
    }

    /// The time that it was made at, to the millisecond; none if it is not one of the engine's.
    pub fn made_at(self) -> Option<Time> {
        if self.0.get_version_num() != 7 {
            return None;
        }
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)? + i64::from(nanos / 1000);
        Time::from_timestamp_micros(micros)
    }

    /// The smallest possible id of `time`. All smaller ids are older.
    pub fn least_at(time: Time) -> ExecutionId {
        let millis = time.timestamp_millis().max(0).unsigned_abs();
        ExecutionId(Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
    }
}

/// A UUID that begins with the time, with a resolution of a quarter of a microsecond (RFC 9562,
/// version 7, method 3 of section 6.2). The rest is random.
fn uuid_at(now: Time, random: &Random) -> Uuid {
    let millis = now.timestamp_millis().max(0).unsigned_abs();
    let fraction = (now.timestamp_subsec_nanos() % 1_000_000) as u64 * 4096 / 1_000_000;
    let mut bytes = random.bytes::<10>();
    [bytes[0], bytes[1]] = (fraction as u16).to_be_bytes();
    Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TenantId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<TenantId, uuid::Error> {
        Uuid::parse_str(text).map(TenantId)
    }
}

impl FromStr for ExecutionId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<ExecutionId, uuid::Error> {
        Uuid::parse_str(text).map(ExecutionId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let random = Random::seeded(1);
        let start: Time = "2026-11-24T12:00:00Z".parse().unwrap();
        let at =
            |micros| ExecutionId::new(start + chrono::TimeDelta::microseconds(micros), &random);
        let ids: Vec<ExecutionId> = (0..3000).map(at).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[0].0.get_version_num(), 7);
        let made_at = ids[1500].made_at().unwrap();
        assert_eq!(made_at, start + chrono::TimeDelta::milliseconds(1));
        assert_eq!(ExecutionId::FIRST.made_at(), None);
        assert_ne!(at(0), at(0));
        assert!(ExecutionId::least_at(start) <= ids[0]);
        assert!(ExecutionId::least_at(start + chrono::TimeDelta::milliseconds(1)) > ids[999]);
    }
}
