//! The job type `http`: calls a URL.
//!
//! ```json
//! {"method": "POST", "url": "https://example.com/hook", "headers": {"accept": "text/plain"},
//!  "body": {"order": 7}, "expected_status": [200, 202], "timeout_seconds": 30,
//!  "signing_secret": {"$secret": "HOOK"}, "redirects": 0}
//! ```
//!
//! Every call opens a connection of its own, to an address that was checked (`guard.rs`), and closes
//! it in the end. Proxies that the environment names are ignored.

mod exchange;
mod guard;
mod request;

use std::time::Duration;

use hyper::header::{LOCATION, RETRY_AFTER};
use serde::Serialize;
use shared::clock::{Clock, Time};
use shared::config::Network;
use tokio::time::timeout;
use url::Url;

use crate::{Context, Handler, HandlerError};
use exchange::{Answer, Exchange};
use guard::Guard;
use request::Call;
pub(super) use request::Request;

/// Calls URLs.
pub(super) struct Http {
    guard: Guard,
    exchange: Exchange,
    clock: Clock,
}

/// The result: what is kept of the answer.
#[derive(Serialize)]
pub(super) struct Answered {
    status: u16,
    /// Its first KiB, as text.
    body: String,
    /// Whether there was more.
    body_cut: bool,
}

impl Http {
    /// Calls public addresses, and those in `allowed`.
    pub(super) fn new(allowed: Vec<Network>, clock: Clock) -> Http {
        Http { guard: Guard::new(allowed), exchange: Exchange::default(), clock }
    }

    /// Follows as many redirects as the job allows. Each URL is checked like the first one.
    async fn call(&self, request: &Request, context: &Context) -> Result<Answered, HandlerError> {
        let mut call = Call::new(request, context, self.clock.wall_time())?;
        let mut redirects = request.redirects();
        loop {
            let addresses = self.guard.addresses(&call.url).await?;
            let answer = self.exchange.exchange(&call, &addresses).await?;
            if request.expects(answer.status) {
                let Answer { status, body, body_cut, .. } = answer;
                return Ok(Answered { status: status.as_u16(), body, body_cut });
            }
            match target(&call.url, &answer) {
                Some(url) if redirects > 0 => {
                    redirects -= 1;
                    call.redirect(url?, answer.status)?;
                }
                Some(_) => {
                    return Err(refused(
                        &call.url,
                        &answer,
                        ", one redirect more than the job allows",
                    )
                    .final_());
                }
                None => return Err(self.error(&call.url, &answer)),
            }
        }
    }

    /// The error for an answer: whether to try again, and when.
    fn error(&self, url: &Url, answer: &Answer) -> HandlerError {
        let error = refused(url, answer, "");
        let status = answer.status.as_u16();
        // Most of 4xx mean that the request is wrong, and it would be the same next time. Exceptions:
        // timeout, conflict, locked, too early, too many requests.
        if (400..500).contains(&status) && ![408, 409, 423, 425, 429].contains(&status) {
            return error.final_();
        }
        let retry_after_header =
            answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        match retry_after_header.and_then(|value| retry_after(value, self.clock.wall_time())) {
            Some(delay) => error.retry_after(delay),
            None => error,
        }
    }
}

impl Handler<Request> for Http {
    type Output = Answered;

    async fn run(&self, request: Request, context: Context) -> Result<Answered, HandlerError> {
        let limit = request.timeout();
        tokio::select! {
            answered = timeout(limit, self.call(&request, &context)) => match answered {
                Ok(answered) => answered,
                Err(_) => {
                    let seconds = limit.as_secs();
                    Err(HandlerError::new(format!("no complete answer within {seconds} s")))
                }
            },
            () = context.cancelled.cancelled() => Err(HandlerError::new("stopped")),
        }
    }
}

/// The URL that a redirect leads to; `None` if the answer is not a redirect.
fn target(from: &Url, answer: &Answer) -> Option<Result<Url, HandlerError>> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers.get(LOCATION)?.to_str().unwrap_or_default();
    Some(
        from.join(location)
            .map_err(|_| refused(from, answer, " without a valid location").final_()),
    )
}

/// Names the host only: the path and the query may contain secrets.
fn refused(url: &Url, answer: &Answer, more: &str) -> HandlerError {
    let host = url.host_str().unwrap_or_default();
    let error = HandlerError::new(format!("{host} answered {}{more}", answer.status.as_u16()));
    if answer.body.is_empty() { error } else { error.with_detail(answer.body.clone()) }
}

/// `Retry-After` is a number of seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: Time) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(value.trim()).ok()?;
    Some((Time::nearest(at.to_utc()) - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let seconds = |value| retry_after(value, now).map(|delay| delay.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Tue, 24 Nov 2026 12:01:30 GMT"), Some(90));
        assert_eq!(seconds("Tue, 24 Nov 2026 11:00:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-5"), None);
    }
}
