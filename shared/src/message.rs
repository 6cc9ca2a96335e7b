//! What crosses the broker: two ids, and headers for the person who looks.
//!
//! The message is a nudge, the row is the truth: a message that is lost, doubled, late or forged
//! does no harm, because the consumer claims the row in the tenant's own database before it does
//! anything. So no payload, no URL and no secret ever enters the broker.
//!
//! In the life of a job: `producer/dispatcher.rs` makes it, `queue.rs` carries it,
//! `consumer/worker.rs` reads it.

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::id::{ExecutionId, TenantId};

/// The most bytes a body may have; a longer one is no message of ours.
pub const BODY_BYTES_MAX: usize = 1024;

/// The version of the body that is written, and the only one that is read.
const VERSION: u8 = 1;

/// Which execution to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Whose database the row is in.
    pub tenant: TenantId,
    /// The row.
    pub execution: ExecutionId,
}

/// A message on its way to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The body.
    pub message: Message,
    /// Which queue it goes to: the job's `queue`.
    pub queue: String,
    /// What the headers show.
    pub label: Label,
}

/// What a person sees beside a message in RabbitMQ's management UI. Nothing reads it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The tenant's slug.
    pub tenant: String,
    /// The job's name.
    pub job: String,
    /// The job's type.
    pub job_type: String,
    /// The occurrence.
    pub scheduled_for: Time,
    /// Which attempt at it.
    pub attempt: i32,
}

/// Why a body is no message of ours. It never holds the body, which anybody may have written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MessageError {
    /// Longer than [`BODY_BYTES_MAX`].
    #[error("{0} bytes long, at most {BODY_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Not the JSON that is expected.
    #[error("not a message: {0}")]
    Malformed(String),
    /// Written by a newer or unknown program.
    #[error("version {0}, only {VERSION} is known")]
    Version(u8),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    v: u8,
    tenant: TenantId,
    execution: ExecutionId,
}

impl Message {
    /// The body.
    pub fn encode(&self) -> Vec<u8> {
        let Message { tenant, execution } = self;
        format!(r#"{{"v":{VERSION},"tenant":"{tenant}","execution":"{execution}"}}"#).into_bytes()
    }

    /// Reads a body that anybody may have written.
    pub fn decode(body: &[u8]) -> Result<Message, MessageError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(MessageError::TooLong(body.len()));
        }
        let body: Body = serde_json::from_slice(body).map_err(|error| {
            let kind = format!("{:?}", error.classify()).to_lowercase();
            MessageError::Malformed(format!("{kind} error at column {}", error.column()))
        })?;
        if body.v != VERSION {
            return Err(MessageError::Version(body.v));
        }
        Ok(Message { tenant: body.tenant, execution: body.execution })
    }

    /// The trace that this execution belongs to (W3C Trace Context, level 1): the execution's id
    /// is the trace id, so that either can be found by the other.
    pub fn traceparent(&self) -> String {
        let (trace, span) = trace_of(self.execution);
        format!("00-{trace:032x}-{span:016x}-01")
    }
}

/// An execution's trace, and that trace's root span.
pub(crate) fn trace_of(execution: ExecutionId) -> (u128, u64) {
    let trace = execution.0.as_u128();
    // A span id of zero would be invalid; a version 7 uuid's low half never is, but a forged id's
    // may be.
    (trace, (trace as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            tenant: "01934b7e-0000-7000-8000-000000000001".parse().unwrap(),
            execution: "01934b7e-0000-7000-8000-0000000000ff".parse().unwrap(),
        }
    }

    #[test]
    fn a_body_is_read_back_as_written() {
        let body = message().encode();
        assert_eq!(
            String::from_utf8(body.clone()).unwrap(),
            r#"{"v":1,"tenant":"01934b7e-0000-7000-8000-000000000001","execution":"01934b7e-0000-7000-8000-0000000000ff"}"#
        );
        assert_eq!(Message::decode(&body), Ok(message()));
    }

    #[test]
    fn garbage_is_refused_without_being_repeated() {
        let secret = br#"{"v":1,"password":"hunter2"}"#;
        let tenant = "01934b7e-0000-7000-8000-000000000001";
        let extra = format!(r#"{{"v":1,"tenant":"{tenant}","execution":"{tenant}","more":1}}"#);
        let newer = format!(r#"{{"v":2,"tenant":"{tenant}","execution":"{tenant}"}}"#);
        let long = vec![b' '; BODY_BYTES_MAX + 1];
        for body in [b"".as_slice(), b"{}", b"\xff\xfe", b"[1]", secret, extra.as_bytes(), &long] {
            let error = Message::decode(body).unwrap_err().to_string();
            assert!(!error.contains("hunter2") && error.len() < 100, "{error}");
        }
        assert_eq!(Message::decode(newer.as_bytes()), Err(MessageError::Version(2)));
        assert_eq!(Message::decode(&long), Err(MessageError::TooLong(1025)));
    }

    #[test]
    fn the_trace_is_named_after_the_execution() {
        assert_eq!(
            message().traceparent(),
            "00-01934b7e0000700080000000000000ff-80000000000000ff-01"
        );
    }
}
