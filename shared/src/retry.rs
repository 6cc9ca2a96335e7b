//! Whether, when and why there is a next attempt at an occurrence.

use std::time::Duration;

use crate::execution::Trigger;
use crate::job::OrphanPolicy;
use crate::outcome::{Failure, Outcome};

/// The longest wait between two attempts, whoever asks for it.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// Where an occurrence stands when one of its attempts ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// The number of the attempt that ends.
    pub attempt: i32,
    /// How many attempts before it don't count, since their worker only shut down.
    pub uncharged: i32,
    /// The job's limit on those that count.
    pub max_attempts: i32,
    /// The job's backoff before the second attempt, in seconds.
    pub retry_base_seconds: i32,
    /// Whether an attempt that lost its worker may be followed by another.
    pub orphan_policy: OrphanPolicy,
    /// Whether the job failed for good when this attempt began.
    pub job_fails: bool,
}

/// The attempt to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAttempt {
    /// What brings it into being.
    pub trigger: Trigger,
    /// How long it waits.
    pub delay: Duration,
}

/// What follows `outcome`, if anything. `random` lies in 0..1 and spreads the backoff (full
/// jitter), so that jobs which failed together don't return together.
pub fn next_attempt(outcome: &Outcome, attempts: &Attempts, random: f64) -> Option<NextAttempt> {
    let charged = attempts.attempt - attempts.uncharged;
    let left = charged < attempts.max_attempts;
    let may_orphan = attempts.orphan_policy == OrphanPolicy::Retry;
    let retry_in = |delay| NextAttempt { trigger: Trigger::Retry, delay };
    let backoff = || retry_in(backoff(charged, attempts.retry_base_seconds).mul_f64(random));
    let at_once = || NextAttempt { trigger: Trigger::Rescue, delay: Duration::ZERO };
    match outcome {
        Outcome::Success(_) | Outcome::Cancelled => None,
        Outcome::Failure(Failure { retry: false, .. }) => None,
        // Whom the handler called said when to come again, which no backoff knows better.
        Outcome::Failure(Failure { retry_after: Some(delay), .. }) => {
            left.then(|| retry_in((*delay).min(BACKOFF_MAX)))
        }
        Outcome::Failure(Failure { retry_after: None, .. })
        | Outcome::Timeout { .. }
        | Outcome::Panic { .. }
        | Outcome::UnknownType { .. } => left.then(backoff),
        Outcome::Lost { .. } => (left && may_orphan).then(at_once),
        // The attempt isn't charged, so one more is always left.
        Outcome::Shutdown { .. } => may_orphan.then(at_once),
    }
}

/// The longest wait after the `charged`-th attempt that counts.
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
        job_fails: false,
    };

    fn failure(retry: bool) -> Outcome {
        Outcome::Failure(Failure { message: "no".into(), detail: None, retry, retry_after: None })
    }

    #[test]
    fn each_outcome_is_followed_by_what_the_contract_says() {
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
    fn the_handler_may_say_when_but_not_more_often_and_not_later_than_in_an_hour() {
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
    fn the_backoff_doubles_up_to_an_hour_and_is_spread() {
        let waits: Vec<u64> = (1..=11).map(|n| backoff(n, 10).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(backoff(i32::MAX, 3600), BACKOFF_MAX);
        let spread = next_attempt(&failure(true), &FIRST, 0.25).unwrap();
        assert_eq!(spread.delay, Duration::from_millis(2500));
    }
}
