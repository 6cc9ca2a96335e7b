//! Typed ids, so that a tenant's id cannot stand where an execution's belongs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

use crate::clock::Time;

/// Names one job within its tenant's database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

/// Names one tenant, in the control database, in messages and in its own database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

/// Names one attempt at one occurrence: the row, the message and the log line alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(pub Uuid);

impl TenantId {
    /// A fresh id.
    pub fn new(now: Time) -> TenantId {
        TenantId(uuid_at(now))
    }
}

impl ExecutionId {
    /// A fresh id that sorts by `now`, so that history can be paged by id.
    pub fn new(now: Time) -> ExecutionId {
        ExecutionId(uuid_at(now))
    }
}

/// A uuid that begins with the time (RFC 9562, version 7); the rest is random.
fn uuid_at(now: Time) -> Uuid {
    let seconds = now.timestamp().max(0).unsigned_abs();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
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
