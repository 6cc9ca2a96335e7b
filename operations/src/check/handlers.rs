//! The commands that start handler processes, as the live consumers registered them.

use std::collections::BTreeMap;

use shared::handler_status::{HandlerState, HandlerStatus};
use shared::store::Worker;

use crate::finding::Finding;

/// How much of the last output a finding has, in bytes.
const OUTPUT_BYTES_MAX: usize = 500;

/// One finding for each command and state, however many consumers have it.
pub(super) fn findings(workers: &[Worker]) -> Vec<Finding> {
    let mut alike: BTreeMap<_, Vec<(&Worker, &HandlerStatus)>> = BTreeMap::new();
    for worker in workers {
        for status in &worker.handlers {
            let state = (&status.command, status.status.as_str(), &status.reason);
            let kind = (state, &status.types, status.silent > 0);
            alike.entry(kind).or_default().push((worker, status));
        }
    }
    alike.into_values().map(|alike| finding(&alike)).collect()
}

fn finding(alike: &[(&Worker, &HandlerStatus)]) -> Finding {
    let Some((worker, first)) = alike.first() else { return Finding::ok("handlers", "none") };
    let sum = |count: fn(&HandlerStatus) -> usize| -> usize {
        alike.iter().map(|(_, status)| count(status)).sum()
    };
    let (command, state) = (&first.command, first.status.as_str());
    let mut text = format!("`{command}` at {}: {state}", places(worker, alike.len()));
    if let Some(reason) = &first.reason {
        text += &format!(": {reason}");
    }
    text += &format!("; types: {}", types(first));
    text += &format!(
        "; processes: {}, running: {}, waiting: {}",
        sum(|status| status.processes),
        sum(|status| status.running),
        sum(|status| status.waiting)
    );
    let silent = sum(|status| status.silent);
    if silent > 0 {
        text += &format!(", silent: {silent}");
    }
    if let Some((_, status)) = alike.iter().find(|(_, status)| !status.last_output.is_empty()) {
        text += &format!("; last output: {}", end_of(&status.last_output));
    }
    match (first.status, silent) {
        (HandlerState::NotReady, _) => Finding::problem(
            "handlers",
            text,
            "correct the program or the setting `handlers`; its types wait, and the consumer tries again by itself",
        ),
        (_, 1..) => Finding::problem(
            "handlers",
            text,
            "see whether handlers block the process, or the machine is overloaded; deadlines still end them",
        )
        .warning(),
        _ => Finding::ok("handlers", text),
    }
}

/// The first consumer, and how many more there are.
fn places(worker: &Worker, count: usize) -> String {
    let first = format!("{} (pid {})", worker.host, worker.pid);
    match count {
        1 => first,
        more => format!("{first} and {} more", more - 1),
    }
}

fn types(status: &HandlerStatus) -> String {
    let names = match status.types.is_empty() {
        true => "not known yet".to_owned(),
        false => status.types.join(", "),
    };
    match status.more_types {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

fn end_of(output: &str) -> &str {
    &output[output.ceil_char_boundary(output.len().saturating_sub(OUTPUT_BYTES_MAX))..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    fn status(command: &str, status: HandlerState) -> HandlerStatus {
        HandlerStatus {
            command: command.into(),
            types: vec!["mail".into(), "report".into()],
            more_types: 0,
            status,
            reason: None,
            processes: 2,
            running: 1,
            waiting: 0,
            silent: 0,
            last_output: String::new(),
        }
    }

    fn worker(pid: i32, handlers: Vec<HandlerStatus>) -> Worker {
        let time = "2026-11-24T12:00:00Z".parse().unwrap();
        Worker {
            name: format!("w{pid}"),
            host: "h".into(),
            pid,
            version: "0".into(),
            queues: Vec::new(),
            job_types: Vec::new(),
            slots: 5,
            running: 0,
            started_at: time,
            seen_at: time,
            handlers,
        }
    }

    #[test]
    fn commands_in_the_same_state_are_one_finding() {
        let ready = || status("python", HandlerState::Ready);
        let found = findings(&[worker(1, vec![ready()]), worker(2, vec![ready()])]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Ok);
        assert_eq!(
            found[0].finding,
            "`python` at h (pid 1) and 1 more: ready; types: mail, report; processes: 4, running: 2, waiting: 0"
        );
        assert!(findings(&[worker(1, Vec::new())]).is_empty());
    }

    #[test]
    fn what_fails_is_a_problem_with_its_reason_and_output_and_silence_a_warning() {
        let failing = HandlerStatus {
            types: Vec::new(),
            reason: Some("it said no hello within 30 s".into()),
            last_output: format!("{}ModuleNotFoundError", "é".repeat(2000)),
            ..status("node", HandlerState::NotReady)
        };
        let silent = HandlerStatus { silent: 1, ..status("python", HandlerState::Ready) };
        let found = findings(&[worker(1, vec![failing, silent])]);
        let levels: Vec<_> = found.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Problem, Level::Warning]);
        let text = &found[0].finding;
        assert!(
            text.contains("not ready: it said no hello within 30 s; types: not known"),
            "{text}"
        );
        assert!(text.ends_with("ModuleNotFoundError") && text.len() < 800, "{text}");
        assert!(found[1].finding.contains("silent: 1"), "{}", found[1].finding);
    }
}
