//! One occurrence: do its attempts follow from one another, and is each row complete?

use chrono::TimeDelta;
use shared::execution::{ErrorKind, Execution, Status, Trigger};
use shared::job::{Job, OrphanPolicy};
use shared::outcome::MESSAGE_BYTES_MAX;

use crate::{ClockHistory, Rule, Scope, Violation};

/// How far two processes' readings of one database's clock may differ.
pub(crate) const SLACK: TimeDelta = TimeDelta::seconds(10);

/// Checks all attempts of one occurrence, in order. `job` is `None` if it was deleted.
pub(crate) fn check(rows: &[Execution], job: Option<&Job>, scope: &Scope) -> Vec<Violation> {
    let mut found = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let mut wrong =
            |rule, what: String| found.push(Violation::new(rule, row.job_id, what, &[row]));
        if let Some(what) = incomplete(row, scope) {
            wrong(Rule::Complete, what);
        }
        if let Some(what) = unfinished(row, scope) {
            wrong(Rule::Finished, what);
        }
        let expected = i32::try_from(n).unwrap_or(i32::MAX).saturating_add(1);
        if row.attempt != expected {
            wrong(Rule::Attempts, format!("attempt {expected} is missing"));
        }
    }
    for pair in rows.windows(2) {
        if let Some(what) = unexplained(&pair[0], &pair[1]) {
            let proof = [&pair[0], &pair[1]];
            found.push(Violation::new(Rule::Attempts, pair[0].job_id, what, &proof));
        }
    }
    if let (Some(last), Some(job)) = (rows.last(), job) {
        found.extend(of_last(rows, last, job));
    }
    found
}

/// Which columns are missing for the row's status, or contradict it.
fn incomplete(row: &Execution, scope: &Scope) -> Option<String> {
    let is_final = row.status.is_final();
    if is_final != row.finished_at.is_some() {
        return Some("finished_at must be set on final rows, and only on those".into());
    }
    let ran = matches!(row.status, Status::Running | Status::Success | Status::Failed);
    let claimed = row.worker.is_some()
        && row.started_at.is_some()
        && row.lease_until.is_some()
        && row.deadline_at.is_some()
        && row.job_version.is_some();
    if ran && !claimed {
        return Some(
            "it ran, but its worker, started_at, lease_until, deadline_at or job_version is null"
                .into(),
        );
    }
    if row.stands_for < 1 {
        return Some(format!("it stands for {} occurrences", row.stands_for));
    }
    use ErrorKind as Kind;
    let kinds: &[Option<Kind>] = match row.status {
        Status::Success | Status::Scheduled | Status::Dispatched | Status::Running => &[None],
        Status::Failed => &[
            Some(Kind::Handler),
            Some(Kind::Timeout),
            Some(Kind::Panic),
            Some(Kind::Crash),
            Some(Kind::UnknownType),
            Some(Kind::Lost),
        ],
        Status::Cancelled => &[Some(Kind::Cancelled), Some(Kind::Shutdown)],
        Status::Skipped => &[Some(Kind::Misfire), Some(Kind::Overlap)],
    };
    if !kinds.contains(&row.error_kind) {
        return Some(format!(
            "a row that is {} cannot have the error kind {:?}",
            row.status, row.error_kind
        ));
    }
    let message = row.error_message.as_deref().map_or(0, str::len);
    if row.error_kind.is_some() && !(1..=MESSAGE_BYTES_MAX).contains(&message) {
        return Some(format!("its error_message has {message} bytes"));
    }
    if row.status == Status::Skipped && row.started_at.is_some() {
        return Some("it was skipped, but has a started_at".into());
    }
    out_of_order(row).filter(|_| scope.clock == ClockHistory::Monotonic)
}

fn out_of_order(row: &Execution) -> Option<String> {
    let times = [row.dispatched_at, row.started_at, row.finished_at];
    let times: Vec<_> = times.into_iter().flatten().collect();
    let wrong = times.windows(2).any(|pair| pair[1] < pair[0] - SLACK);
    // A producer that was suspended during a poll writes a `dispatched_at` that is too early, which
    // is harmless. A start before the planned time is not.
    let early = row.started_at.is_some_and(|at| at < row.scheduled_for - SLACK);
    (wrong || early).then(|| "its times are not in order".into())
}

/// What an unfinished row has been waiting for, if for longer than `patience` allows.
fn unfinished(row: &Execution, scope: &Scope) -> Option<String> {
    let (since, what) = match row.status {
        Status::Running => (row.lease_until?, "its lease ran out, and no producer has rescued it"),
        Status::Scheduled => (row.available_at?, "it was due, and no producer has dispatched it"),
        Status::Dispatched => {
            (row.dispatched_at?, "it was dispatched, and no consumer has claimed it")
        }
        Status::Success | Status::Failed | Status::Cancelled | Status::Skipped => return None,
    };
    (since < scope.now - scope.patience)
        .then(|| format!("{what}: since {}", since.format("%FT%TZ")))
}

/// Why `next` may not follow `row`.
fn unexplained(row: &Execution, next: &Execution) -> Option<String> {
    use ErrorKind as Kind;
    if !row.status.is_final() {
        return Some("an attempt was made before the previous one was final".into());
    }
    if row.cancel_requested {
        return Some("an attempt followed one that was asked to cancel".into());
    }
    let explained = match (next.trigger, row.status, row.error_kind) {
        (Trigger::Retry, Status::Failed, Some(kind)) => {
            matches!(
                kind,
                Kind::Handler | Kind::Timeout | Kind::Panic | Kind::Crash | Kind::UnknownType
            )
        }
        (Trigger::Rescue, Status::Failed, Some(Kind::Lost)) => true,
        (Trigger::Rescue, Status::Cancelled, Some(Kind::Shutdown)) => true,
        _ => false,
    };
    (!explained)
        .then(|| "an attempt's trigger doesn't follow from how the previous one ended".into())
}

/// Whether the next attempt is missing, or there were too many. Not checked if the job was edited
/// since, because the attempts ran under another definition.
fn of_last(rows: &[Execution], last: &Execution, job: &Job) -> Option<Violation> {
    use ErrorKind as Kind;
    if last.job_version.is_some_and(|version| version != job.version) {
        return None;
    }
    let uncharged = rows.iter().filter(|row| row.error_kind == Some(Kind::Shutdown)).count();
    let charged = rows.len() - uncharged;
    let most = usize::try_from(job.max_attempts).unwrap_or_default();
    let all: Vec<&Execution> = rows.iter().collect();
    if charged > most {
        let what = format!("{charged} attempts, at most {most} are allowed");
        return Some(Violation::new(Rule::Attempts, job.id, what, &all));
    }
    let follows = match last.error_kind {
        // A handler may have said that its error is permanent.
        Some(Kind::Timeout | Kind::Panic | Kind::Crash | Kind::UnknownType) => charged < most,
        Some(Kind::Lost) => charged < most && job.orphan_policy == OrphanPolicy::Retry,
        Some(Kind::Shutdown) => job.orphan_policy == OrphanPolicy::Retry,
        Some(Kind::Handler | Kind::Cancelled | Kind::Misfire | Kind::Overlap) | None => false,
    };
    (follows && !last.cancel_requested)
        .then(|| Violation::new(Rule::Attempts, job.id, "the next attempt is missing", &all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{at, job, row, scope, success};

    /// The rules that are broken by these attempts.
    fn broken(rows: &[Execution]) -> Vec<Rule> {
        check(rows, Some(&job()), &scope()).iter().map(|violation| violation.rule).collect()
    }

    fn failed(attempt: i32, kind: ErrorKind) -> Execution {
        row("12:10:00", attempt, Status::Failed, Some(kind))
    }

    fn rescued(attempt: i32, status: Status, kind: Option<ErrorKind>) -> Execution {
        Execution { trigger: Trigger::Rescue, ..row("12:10:00", attempt, status, kind) }
    }

    #[test]
    fn attempts_that_follow_from_one_another_pass() {
        use ErrorKind::{Handler, Lost, Panic, Shutdown};
        assert_eq!(broken(&[success("12:10:00")]), []);
        assert_eq!(broken(&[failed(1, Handler)]), [], "it may have been permanent");
        assert_eq!(broken(&[failed(1, Handler), failed(2, Panic), failed(3, Handler)]), []);
        assert_eq!(broken(&[failed(1, Lost), rescued(2, Status::Success, None)]), []);
        let given_back = row("12:10:00", 1, Status::Cancelled, Some(Shutdown));
        let after = [
            given_back,
            rescued(2, Status::Failed, Some(Handler)),
            failed(3, Handler),
            failed(4, Panic),
        ];
        assert_eq!(broken(&after), [], "a shutdown isn't charged");
    }

    #[test]
    fn attempts_that_do_not_follow_are_violations() {
        use ErrorKind::{Handler, Lost, Timeout};
        let wrong = [Rule::Attempts];
        assert_eq!(broken(&[failed(2, Handler)]), wrong, "the first is missing");
        assert_eq!(broken(&[failed(1, Handler), failed(3, Handler)]), wrong, "a hole");
        assert_eq!(broken(&[success("12:10:00"), failed(2, Handler)]), wrong, "after a success");
        assert_eq!(broken(&[failed(1, Lost), failed(2, Handler)]), wrong, "no rescue, a retry");
        assert_eq!(broken(&[failed(1, Timeout)]), wrong, "the next is missing");
        let cancel_requested = Execution { cancel_requested: true, ..failed(1, Handler) };
        assert_eq!(
            broken(&[cancel_requested, failed(2, Handler)]),
            wrong,
            "a cancelled one has no retry"
        );
        let too_many: Vec<Execution> = (1..=4).map(|n| failed(n, Handler)).collect();
        assert_eq!(broken(&too_many), wrong);
    }

    #[test]
    fn a_row_has_the_columns_of_its_status_and_no_others() {
        let one = |change: fn(&mut Execution)| {
            let mut row = success("12:10:00");
            change(&mut row);
            broken(&[row])
        };
        let wrong = [Rule::Complete];
        assert_eq!(one(|row| row.worker = None), wrong);
        assert_eq!(one(|row| row.finished_at = None), wrong);
        assert_eq!(one(|row| row.error_kind = Some(ErrorKind::Handler)), wrong);
        assert_eq!(one(|row| row.status = Status::Failed), wrong);
        assert_eq!(one(|row| row.stands_for = 0), wrong);
        assert_eq!(one(|row| row.started_at = Some(at("11:00:00"))), wrong);
    }

    #[test]
    fn overdue_rows_are_found() {
        for status in [Status::Running, Status::Dispatched] {
            assert_eq!(broken(&[row("12:10:00", 1, status, None)]), [Rule::Finished]);
            assert_eq!(broken(&[row("12:58:00", 1, status, None)]), []);
        }
    }
}
