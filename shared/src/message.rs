//! The message that a producer sends to consumers: two ids, and headers for people.
//!
//! The message is a nudge and the row is the truth. A lost, duplicate, late or forged message does no
//! harm, because the consumer first claims the row in the tenant's own database. The broker never
//! sees a payload, a URL or a secret.
//!
//! `producer/dispatcher.rs` creates messages, `queue.rs` transports them, and `consumer/worker.rs`
//! receives them.

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::id::{ExecutionId, TenantId};

/// The longest valid body, in bytes.
pub const BODY_BYTES_MAX: usize = 1024;

/// The version of the body's format; no other is accepted.
const VERSION: u8 = 1;

/// Names an execution that may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The tenant whose database has the row.
    pub tenant: TenantId,
    /// The row's id.
    pub execution: ExecutionId,
}

/// A message on its way to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The body.
    pub message: Message,
    /// The queue that it is published to: the job's `queue`.
    pub queue: String,
    /// The headers.
    pub label: Label,
}

/// Headers for people who inspect a message in RabbitMQ's management UI. No program reads them.
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
    /// The number of the attempt.
    pub attempt: i32,
}

/// Why a body is not a valid message. It never contains the body, which is untrusted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MessageError {
    /// Longer than [`BODY_BYTES_MAX`].
    #[error("{0} bytes long, at most {BODY_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Not the expected JSON.
    #[error("not a message: {0}")]
    Malformed(String),
    /// Another version of the format.
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
    /// Encodes the body.
    pub fn encode(&self) -> Vec<u8> {
        let Message { tenant, execution } = self;
        format!(r#"{{"v":{VERSION},"tenant":"{tenant}","execution":"{execution}"}}"#).into_bytes()
    }

    /// Decodes an untrusted body.
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

    /// The execution's `traceparent` (W3C Trace Context, level 1). The execution's id is the trace
    /// id, so each can be found from the other.
    pub fn traceparent(&self) -> String {
        let (trace, span) = trace_of(self.execution);
        format!("00-{trace:032x}-{span:016x}-01")
    }
}

/// The ids of an execution's trace and of the trace's root span.
pub(crate) fn trace_of(execution: ExecutionId) -> (u128, u64) {
    let trace = execution.0.as_u128();
    // A span id must not be zero. The low half of a version 7 UUID never is, but that of a forged
    // id may be.
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
    fn encoding_and_decoding_round_trip() {
        let body = message().encode();
        assert_eq!(
            String::from_utf8(body.clone()).unwrap(),
            r#"{"v":1,"tenant":"01934b7e-0000-7000-8000-000000000001","execution":"01934b7e-0000-7000-8000-0000000000ff"}"#
        );
        assert_eq!(Message::decode(&body), Ok(message()));
    }

    #[test]
    fn invalid_bodies_are_rejected_without_quoting_them() {
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
    fn the_trace_id_is_the_executions_id() {
        assert_eq!(
            message().traceparent(),
            "00-01934b7e0000700080000000000000ff-80000000000000ff-01"
        );
    }
}
