//! Notifications about jobs that fail permanently, are late, or have recovered.
//!
//! A notification is an ordinary execution of the tenant's job [`NOTIFIER`], whose type
//! [`JOB_TYPE`] every consumer handles. Its row is written in the same transaction as the event, so
//! neither exists without the other. Leases, rescue, retries, secrets and the restrictions on
//! addresses are those of any `http` job.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Time;
use crate::execution::ErrorKind;
use crate::id::ExecutionId;
use crate::printable;
use crate::string_enum::string_enum;

/// The job whose executions are notifications. Its payload is the tenant's target, which applies to
/// jobs without their own.
pub const NOTIFIER: &str = "polychron-notifications";
/// The type of that job.
pub const JOB_TYPE: &str = "notification";

string_enum! {
    /// What a notification is about.
    pub enum Event {
        /// An occurrence has failed permanently, the first one since the job last succeeded.
        Failed = "failed",
        /// An occurrence has succeeded, the first one since the job failed.
        Recovered = "recovered",
        /// An occurrence has not started within the grace, the first one since the job was on time.
        Late = "late",
        /// No occurrence of the job is late any more.
        CaughtUp = "caught_up",
    }
}

/// The target: the notifier's payload without the notification, and the value of `job.notify`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    url: Option<Value>,
    headers: Option<serde_json::Map<String, Value>>,
    signing_secret: Option<Value>,
    on: Option<Vec<Event>>,
}

/// What happened to a job, as the target receives it.
#[derive(Debug, Serialize)]
pub struct NotificationPayload {
    /// What happened.
    pub event: Event,
    /// The job's name.
    pub job: String,
    /// When it happened, by the clock of the tenant's database.
    pub at: Time,
    /// Since when the job has been failing or late; if it has recovered, since when it had been.
    pub since: Time,
    /// The execution that caused the event.
    pub execution: Option<ExecutionId>,
    /// The execution's occurrence.
    pub scheduled_for: Option<Time>,
    /// The number of the attempt.
    pub attempt: Option<i32>,
    /// How it failed.
    pub error_kind: Option<ErrorKind>,
    /// The error message, as stored in the row: without secrets.
    pub error_message: Option<String>,
}

/// Validates a target.
///
/// # Errors
/// What is wrong with it, with the name of the field.
pub fn check(target: &Value) -> Result<(), String> {
    let read: Target = serde_json::from_value(target.clone())
        .map_err(|error| format!("notify must have url, headers, signing_secret or on: {error}"))?;
    match &read.url {
        None if target.as_object().is_some_and(serde_json::Map::is_empty) => return Ok(()),
        None => return Err("notify.url is missing; use {} to disable notifications".to_owned()),
        Some(url) => text(url, "url")?,
    }
    if let Some(url) = read.url.as_ref().and_then(Value::as_str) {
        let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        match host {
            None | Some("") => {
                return Err("notify.url is not an http:// or https:// URL".to_owned());
            }
            Some(host) if host.contains('@') => {
                return Err(
                    "notify.url must not hold a user or a password; send a header, or name \
                            the whole URL as a secret: {\"$secret\": \"NAME\"}"
                        .to_owned(),
                );
            }
            Some(_) => {}
        }
    }
    if read.on.is_some_and(|on| on.is_empty()) {
        return Err("notify.on is empty; use {} to disable notifications".to_owned());
    }
    if let Some(secret) = &read.signing_secret {
        text(secret, "signing_secret")?;
    }
    for (name, value) in read.headers.iter().flatten() {
        text(value, &format!("headers.{name}"))?;
    }
    Ok(())
}

/// Checks that a value is a string or names a secret.
fn text(value: &Value, field: &str) -> Result<(), String> {
    let is_secret = |value: &Value| value.as_object().is_some_and(|only| only.len() == 1);
    match value {
        Value::String(_) => Ok(()),
        value if is_secret(value) && value["$secret"].is_string() => Ok(()),
        _ => Err(format!("notify.{field} must be a string or {{\"$secret\": \"NAME\"}}")),
    }
}

/// The payload of a notification: the job's target, or else the tenant's, with the notification.
/// None if notifications are disabled or the target does not want the event. An invalid target is
/// passed on, because the notification's execution will then fail with the reason.
pub fn payload(
    job: Option<&Value>,
    tenants: &Value,
    notification: &NotificationPayload,
) -> Option<Value> {
    let mut target = job.unwrap_or(tenants).as_object()?.clone();
    target.get("url")?;
    if let Some(on) = target.remove("on") {
        let on: Vec<Event> = serde_json::from_value(on).unwrap_or(Event::ALL.to_vec());
        if !on.contains(&notification.event) {
            return None;
        }
    }
    target.insert("notification".to_owned(), readable(notification));
    Some(Value::Object(target))
}

/// A notification as JSON. People read it in chats and mails, where a hostile name or error would
/// show as something else: such characters are escaped.
fn readable(notification: &NotificationPayload) -> Value {
    let mut value = json!(notification);
    for text in value.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        if let Value::String(text) = text {
            *text = printable::lines(text).into_owned();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_or_error_is_escaped() {
        let mut hostile = notification(Event::Failed);
        hostile.job = "pay\u{202e}lol\u{200b}".to_owned();
        hostile.error_message = Some("one\ntwo\u{1b}[2J\u{9b}".to_owned());
        let target = json!({"url": "https://example.org"});
        let sent = payload(None, &target, &hostile).unwrap();
        assert_eq!(sent["notification"]["job"], "pay\\u{202e}lol\\u{200b}");
        assert_eq!(sent["notification"]["error_message"], "one\ntwo\\u{1b}[2J\\u{9b}");
    }

    fn notification(event: Event) -> NotificationPayload {
        let at = "2026-11-24T12:00:00Z".parse().unwrap();
        let (execution, scheduled_for, attempt) = (None, None, None);
        let (error_kind, error_message) = (None, None);
        let job = "job".to_owned();
        let since = at;
        NotificationPayload {
            event,
            job,
            at,
            since,
            execution,
            scheduled_for,
            attempt,
            error_kind,
            error_message,
        }
    }

    #[test]
    fn a_jobs_target_takes_precedence_over_the_tenants() {
        let (own, tenants) = (json!({"url": "https://a/"}), json!({"url": "https://b/"}));
        let url = |job, tenants: &Value| {
            Some(payload(job, tenants, &notification(Event::Failed))?["url"].clone())
        };
        assert_eq!(url(Some(&own), &tenants), Some(json!("https://a/")));
        assert_eq!(url(None, &tenants), Some(json!("https://b/")));
        let disabled = json!({});
        assert_eq!(url(Some(&disabled), &tenants), None, "disabled for this job");
        assert_eq!(url(None, &json!({})), None);
    }

    #[test]
    fn only_the_wanted_events_are_sent() {
        let target = json!({"url": "https://a/", "on": ["failed", "recovered"]});
        let sent = |event| payload(Some(&target), &json!({}), &notification(event));
        assert!(sent(Event::Late).is_none() && sent(Event::CaughtUp).is_none());
        let payload = sent(Event::Failed).unwrap();
        assert_eq!(payload["notification"]["event"], "failed");
        assert!(payload.get("on").is_none());
    }

    #[test]
    fn an_invalid_target_is_rejected_with_its_field() {
        for (target, problem) in [
            (json!("https://a/"), "notify must have"),
            (json!({"uri": "https://a/"}), "unknown field `uri`"),
            (json!({"on": ["failed"]}), "notify.url is missing"),
            (json!({"url": "ftp://a/"}), "notify.url is not an http"),
            (json!({"url": "https://"}), "notify.url is not an http"),
            (json!({"url": "https://ann:s3cret@a/"}), "must not hold a user"),
            (json!({"url": "https://a/", "on": ["failure"]}), "unknown variant `failure`"),
            (json!({"url": "https://a/", "on": []}), "notify.on is empty"),
            (json!({"url": "https://a/", "headers": {"x": 1}}), "notify.headers.x"),
            (json!({"url": "https://a/", "signing_secret": {"$secret": 1}}), "notify.signing"),
        ] {
            let error = check(&target).unwrap_err();
            assert!(error.contains(problem) && !error.contains("s3cret"), "{target}: {error}");
        }
        let secret = json!({"$secret": "HOOK"});
        for target in [
            json!({}),
            json!({"url": "https://a:8443/x?y=me@here"}),
            json!({"url": secret, "headers": {"authorization": secret}, "on": ["late"]}),
            json!({"url": "http://a", "signing_secret": secret}),
        ] {
            assert_eq!(check(&target), Ok(()), "{target}");
        }
    }
}
