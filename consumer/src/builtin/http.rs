//! The job type `http`: calls a URL.
//!
//! ```json
//! {"method": "POST", "url": "https://example.com/hook", "headers": {"accept": "text/plain"},
//!  "body": {"order": 7}, "expected_status": [200, 202], "timeout_seconds": 30,
//!  "signing_secret": {"$secret": "HOOK"}, "redirects": 0}
//! ```
//!
//! Every call has a connection of its own, to an address that was checked (`guard.rs`), which is
//! closed with it. Nothing of the environment's proxies is heeded.

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

/// What is kept of an answer.
#[derive(Serialize)]
pub(super) struct Answered {
    status: u16,
    /// Its first KiB.
    body: String,
    /// Whether there was more.
    body_cut: bool,
}

impl Http {
    /// Calls public addresses, and those in `allowed`.
    pub(super) fn new(allowed: Vec<Network>, clock: Clock) -> Http {
        Http { guard: Guard::new(allowed), exchange: Exchange::default(), clock }
    }

    /// Follows as many redirects as the job allows, each checked like the first URL.
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
                    return Err(refused(&call.url, &answer, ", a redirect too many").final_());
                }
                None => return Err(self.judge(&call.url, &answer)),
            }
        }
    }

    /// Whether it makes sense to call again, and when.
    fn judge(&self, url: &Url, answer: &Answer) -> HandlerError {
        let error = refused(url, answer, "");
        let status = answer.status.as_u16();
        // The others of 4xx find fault with the request, which would be the same again: all but a
        // timeout, a conflict, a lock, "too early" and "too many".
        if (400..500).contains(&status) && ![408, 409, 423, 425, 429].contains(&status) {
            return error.final_();
        }
        let later = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        match later.and_then(|value| retry_after(value, self.clock.wall_time())) {
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
                    Err(HandlerError::new(format!("no whole answer within {seconds} s")))
                }
            },
            () = context.cancelled.cancelled() => Err(HandlerError::new("stopped")),
        }
    }
}

/// Where a redirect leads.
fn target(from: &Url, answer: &Answer) -> Option<Result<Url, HandlerError>> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers.get(LOCATION)?.to_str().unwrap_or_default();
    Some(from.join(location).map_err(|_| refused(from, answer, " with no valid location").final_()))
}

/// The path and the query are left out: they may hold what only the two sides should know.
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
    Some((at.to_utc() - now).to_std().unwrap_or_default())
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
