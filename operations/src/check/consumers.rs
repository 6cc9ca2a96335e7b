//! Whether the live consumers serve the queues and types that jobs use.

use std::collections::BTreeSet;

use shared::store::Worker;

use super::tenants::Needs;
use crate::finding::Finding;

/// Finds queues and types that jobs use and no live consumer serves.
pub fn compare(workers: &[Worker], needs: &Needs) -> Vec<Finding> {
    if workers.is_empty() {
        let finding = "none is alive";
        return match needs.types.is_empty() {
            true => vec![Finding::ok("consumers", format!("{finding}, and no job needs one"))],
            false => vec![Finding::problem("consumers", finding, "start `polychron-consumer`")],
        };
    }
    let slots: i32 = workers.iter().map(|worker| worker.slots).sum();
    let alive = format!("alive: {}, total slots: {slots}", workers.len());
    let mut findings = vec![Finding::ok("consumers", alive)];
    for ((job_type, queue), tenants) in &needs.types {
        let takers: Vec<&Worker> =
            workers.iter().filter(|worker| worker.queues.contains(queue)).collect();
        let users = names(tenants);
        if takers.is_empty() {
            findings.push(Finding::problem(
                "consumers",
                format!("no live consumer takes from queue {queue}, which jobs use at {users}"),
                format!("start one with {queue} in POLYCHRON_QUEUES"),
            ));
        } else if !takers.iter().any(|worker| worker.job_types.contains(job_type)) {
            findings.push(Finding::problem(
                "consumers",
                format!(
                    "no live consumer of queue {queue} knows job type {job_type}, used at {users}"
                ),
                "start one with a handler for it, or correct the jobs' type",
            ));
        }
    }
    findings
}

/// The first few names.
fn names(tenants: &BTreeSet<String>) -> String {
    const SHOWN: usize = 3;
    let mut text = tenants.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if tenants.len() > SHOWN {
        text += &format!(" and {} more", tenants.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    fn worker(queues: &[&str], job_types: &[&str]) -> Worker {
        let owned = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
        let time = "2026-11-24T12:00:00Z".parse().unwrap();
        Worker {
            name: "w".into(),
            host: "h".into(),
            pid: 1,
            version: "0".into(),
            queues: owned(queues),
            job_types: owned(job_types),
            slots: 5,
            running: 0,
            started_at: time,
            seen_at: time,
            handlers: Vec::new(),
        }
    }

    #[test]
    fn each_type_needs_a_consumer_that_knows_it_at_its_queue() {
        let mut needs = Needs::default();
        for job_type in ["mail", "report"] {
            let tenants = ["a", "b", "c", "d"].map(str::to_owned).into();
            needs.types.insert((job_type.to_owned(), "default".to_owned()), tenants);
        }
        let problems = |workers: &[Worker]| -> Vec<String> {
            let findings = compare(workers, &needs).into_iter();
            let problems = findings.filter(|finding| finding.level == Level::Problem);
            problems.map(|finding| finding.finding).collect()
        };
        assert_eq!(problems(&[]), ["none is alive"]);
        let (all, some) =
            (worker(&["default"], &["mail", "report"]), worker(&["default"], &["mail"]));
        assert!(problems(&[all]).is_empty());
        assert_eq!(
            problems(&[some.clone(), worker(&["other"], &["report"])]),
            ["no live consumer of queue default knows job type report, used at a, b, c and 1 more"]
        );
        assert_eq!(problems(&[worker(&["other"], &["mail", "report"])]).len(), 2);
        assert!(compare(&[], &Needs::default()).iter().all(|finding| finding.level == Level::Ok));
    }
}
