//! Decides whether there is a next attempt at an occurrence, and when.

use std::time::Duration;

use crate::execution::Trigger;
use crate::job::OrphanPolicy;
use crate::outcome::{Failure, Outcome};

/// The longest delay between two attempts, even if a handler requests more.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// The facts that decide about the next attempt when an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// The number of the attempt that ends.
    pub attempt: i32,
    /// How many earlier attempts do not count because their worker shut down.
    pub uncharged: i32,
    /// The job's maximum number of attempts that count.
    pub max_attempts: i32,
    /// The maximum delay before the second attempt, in seconds.
    pub retry_base_seconds: i32,
    /// Whether another attempt may follow one that lost its worker.
    pub orphan_policy: OrphanPolicy,
    /// Whether the job was failing when this attempt began.
    pub job_is_failing: bool,
}

/// The next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAttempt {
    /// Why it is created.
    pub trigger: Trigger,
    /// Its delay.
    pub delay: Duration,
}

/// The attempt that follows `outcome`, if any. `random` is in `0..1` and gives the backoff full
/// jitter: jobs that failed together do not retry together.
pub fn next_attempt(outcome: &Outcome, attempts: &Attempts, random: f64) -> Option<NextAttempt> {
    let charged = attempts.attempt.saturating_sub(attempts.uncharged);
    let left = charged < attempts.max_attempts;
    let may_orphan = attempts.orphan_policy == OrphanPolicy::Retry;
    let retry_in = |delay| NextAttempt { trigger: Trigger::Retry, delay };
    let backoff = || retry_in(backoff(charged, attempts.retry_base_seconds).mul_f64(random));
    let immediately = || NextAttempt { trigger: Trigger::Rescue, delay: Duration::ZERO };
    match outcome {
        Outcome::Success(_) | Outcome::Cancelled => None,
        Outcome::Failure(Failure { retry: false, .. }) => None,
        // The called service said when to retry, which takes precedence over the backoff.
        Outcome::Failure(Failure { retry_after: Some(delay), .. }) => {
            left.then(|| retry_in((*delay).min(BACKOFF_MAX)))
        }
        Outcome::Failure(Failure { retry_after: None, .. })
        | Outcome::Timeout { .. }
        | Outcome::Panic { .. }
        | Outcome::Crash { .. }
        | Outcome::UnknownType { .. } => left.then(backoff),
        Outcome::Lost { .. } => (left && may_orphan).then(immediately),
        // This attempt does not count, so there is always one left.
        Outcome::Shutdown { .. } => may_orphan.then(immediately),
    }
}

/// The maximum delay after the `charged`-th attempt that counts.
fn backoff(charged: i32, base_seconds: i32) -> Duration {
    let doublings = charged.saturating_sub(1).clamp(0, 30).unsigned_abs();
    let base = Duration::from_secs(u64::from(base_seconds.max(0).unsigned_abs()));
    (base * (1 << doublings)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const FIRST: Attempts = Attempts {
        attempt: 1,
        uncharged: 0,
        max_attempts: 3,
        retry_base_seconds: 10,
        orphan_policy: OrphanPolicy::Retry,
        job_is_failing: false,
    };

    fn failure(retry: bool) -> Outcome {
        Outcome::Failure(Failure { message: "no".into(), detail: None, retry, retry_after: None })
    }

    #[test]
    fn the_next_attempt_follows_from_the_outcome_and_the_orphan_policy() {
        let worker = || "w".to_owned();
        let retry = Some((Trigger::Retry, 10));
        let rescue = Some((Trigger::Rescue, 0));
        let table = [
            (Outcome::Success(Value::Null), None, None),
            (Outcome::Cancelled, None, None),
            (failure(true), retry, retry),
            (failure(false), None, None),
            (Outcome::Timeout { limit: Duration::ZERO }, retry, retry),
            (Outcome::Panic { message: String::new(), detail: String::new() }, retry, retry),
            (Outcome::Crash { message: String::new(), detail: None }, retry, retry),
            (Outcome::UnknownType { job_type: String::new(), known: vec![] }, retry, retry),
            (Outcome::Lost { worker: worker() }, rescue, None),
            (Outcome::Shutdown { worker: worker() }, rescue, None),
        ];
        for (outcome, if_retry, if_fail) in table {
            for (orphan_policy, expected) in
                [(OrphanPolicy::Retry, if_retry), (OrphanPolicy::Fail, if_fail)]
            {
                let next = next_attempt(&outcome, &Attempts { orphan_policy, ..FIRST }, 1.0);
                let next = next.map(|next| (next.trigger, next.delay.as_secs()));
                assert_eq!(next, expected, "{outcome:?} with orphan policy {orphan_policy}");
            }
        }
    }

    #[test]
    fn a_handler_may_set_the_delay_up_to_an_hour_but_adds_no_attempts() {
        let after = |seconds, retry| {
            let retry_after = Some(Duration::from_secs(seconds));
            Outcome::Failure(Failure { message: "no".into(), detail: None, retry, retry_after })
        };
        let delay = |outcome: Outcome, attempts: Attempts| {
            next_attempt(&outcome, &attempts, 0.5).map(|next| next.delay.as_secs())
        };
        assert_eq!(delay(after(90, true), FIRST), Some(90));
        assert_eq!(delay(after(86_400, true), FIRST), Some(3600));
        assert_eq!(delay(after(90, false), FIRST), None);
        assert_eq!(delay(after(90, true), Attempts { attempt: 3, ..FIRST }), None);
    }

    #[test]
    fn attempts_end_at_the_limit_and_shutdowns_do_not_count() {
        let third = Attempts { attempt: 3, ..FIRST };
        assert_eq!(next_attempt(&failure(true), &third, 1.0), None);
        assert_eq!(next_attempt(&Outcome::Lost { worker: "w".into() }, &third, 1.0), None);
        assert!(next_attempt(&Outcome::Shutdown { worker: "w".into() }, &third, 1.0).is_some());
        let uncharged = Attempts { uncharged: 1, ..third };
        assert!(next_attempt(&failure(true), &uncharged, 1.0).is_some());
    }

    #[test]
    fn the_backoff_doubles_up_to_an_hour_and_has_jitter() {
        let waits: Vec<u64> = (1..=11).map(|n| backoff(n, 10).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(backoff(i32::MAX, 3600), BACKOFF_MAX);
        let jittered = next_attempt(&failure(true), &FIRST, 0.25).unwrap();
        assert_eq!(jittered.delay, Duration::from_millis(2500));
    }
}
