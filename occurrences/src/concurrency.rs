//! What ran at the same time: within one job, and within one tenant.

use shared::clock::Time;
use shared::execution::Execution;
use shared::id::{ExecutionId, JobId};

use crate::attempts::SLACK;
use crate::{Rule, Violation};

/// How many spans of one tenant are kept; in a wider scope the limit is checked for the first ones only.
pub(crate) const SPANS_MAX: usize = 1_000_000;

/// From when to when an execution was running, or counted for a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    from: Time,
    to: Time,
    job: JobId,
    row: ExecutionId,
}

impl Span {
    /// While the handler ran, less [`SLACK`].
    pub(crate) fn running(row: &Execution, now: Time) -> Option<Span> {
        Span::between(row, row.started_at?, now)
    }

    /// While the row counted for `max_running`, less [`SLACK`].
    pub(crate) fn counted(row: &Execution, now: Time) -> Option<Span> {
        Span::between(row, row.dispatched_at?, now)
    }

    fn between(row: &Execution, from: Time, now: Time) -> Option<Span> {
        let to = row.finished_at.unwrap_or(now) - SLACK;
        (to > from).then_some(Span { from, to, job: row.job_id, row: row.id })
    }
}

/// The open spans at the first moment at which there were more than `most`.
fn too_many(spans: &mut [Span], most: usize) -> Option<Vec<Span>> {
    spans.sort_by_key(|span| (span.from, span.row));
    let mut open: Vec<Span> = Vec::new();
    for span in spans {
        open.retain(|other| other.to > span.from);
        open.push(*span);
        if open.len() > most {
            return Some(open);
        }
    }
    None
}

/// Two runs of one job that overlapped.
pub(crate) fn overlap(spans: &mut [Span]) -> Option<Violation> {
    let open = too_many(spans, 1)?;
    let what =
        format!("two of its runs overlap, which its policy doesn't allow: {}", listed(&open));
    Some(Violation { rule: Rule::Disjoint, job: open[0].job, what, rows: Vec::new() })
}

/// A moment at which a tenant exceeded its `max_running`.
pub(crate) fn over_limit(spans: &mut [Span], most: usize) -> Option<Violation> {
    let open = too_many(spans, most)?;
    let at = open[open.len() - 1].from.format("%FT%TZ");
    let what =
        format!("{} at once at {at}, at most {most} are allowed: {}", open.len(), listed(&open));
    Some(Violation { rule: Rule::Limited, job: open[0].job, what, rows: Vec::new() })
}

fn listed(spans: &[Span]) -> String {
    let ids: Vec<String> = spans.iter().map(|span| span.row.to_string()).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{at, success};

    #[test]
    fn overlapping_runs_and_exceeded_limits_are_found() {
        let spans = |rows: &[&str]| -> Vec<Span> {
            let now = at("13:00:00");
            rows.iter().filter_map(|at| Span::running(&success(at), now)).collect()
        };
        // Each runs for a minute.
        let mut apart = spans(&["12:00:00", "12:01:00", "12:02:00"]);
        assert!(overlap(&mut apart).is_none());
        let mut touching = spans(&["12:00:00", "12:00:55"]);
        assert!(overlap(&mut touching).is_none(), "two clocks may be that far apart");
        let mut three = spans(&["12:00:30", "12:00:00", "12:00:15"]);
        assert!(overlap(&mut three).is_some());
        assert!(over_limit(&mut three, 3).is_none());
        assert!(over_limit(&mut three, 2).unwrap().what.starts_with("3 at once"));
    }
}
