//! The live producers, and how they divide the tenants.

use shared::store::ProducerRow;
use shared::tenant::Tenant;

use crate::finding::Finding;
use crate::format::counted;

/// How many tenants are named.
const SHOWN_MAX: usize = 10;

/// Lists the live producers, and says whether they watch all tenants.
pub(super) fn compare(producers: &[ProducerRow], tenants: usize) -> Vec<Finding> {
    const SUBJECT: &str = "producers";
    if producers.is_empty() {
        let remedy = "start `polychron-producer`; the engine within `polychron up` needs none";
        let finding = Finding::problem(SUBJECT, "none is alive", remedy);
        return vec![finding.warning()];
    }
    let watched: Vec<String> = producers.iter().map(|one| one.watched.to_string()).collect();
    let slowest = producers.iter().map(|one| one.poll_seconds).max().unwrap_or_default();
    let finding = format!(
        "alive: {}, tenants watched: {}, changes in their tables seen within {slowest} s",
        producers.len(),
        watched.join(" + ")
    );
    let mut findings = vec![Finding::ok(SUBJECT, finding)];
    let sum: i64 = producers.iter().map(|one| i64::from(one.watched)).sum();
    if sum < tenants as i64 {
        let finding = format!("watched are {sum} of {}", counted(tenants, "tenant"));
        let remedy = "check again in 15 s: a producer has just started or stopped, or tenants were just added";
        findings.push(Finding::problem(SUBJECT, finding, remedy).warning());
    }
    findings
}

/// The tenants whose databases a producer cannot use, whatever this program finds from where it runs.
pub(super) fn of_unusable(producers: &[ProducerRow], tenants: &[Tenant]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ProducerRow { host, pid, unreachable, .. } in producers {
        let unusable = tenants.iter().filter(|tenant| unreachable.contains(&tenant.id));
        let slugs: Vec<&str> = unusable.map(|tenant| tenant.slug.as_str()).collect();
        let (shown, rest) = slugs.split_at(slugs.len().min(SHOWN_MAX));
        let more =
            if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        if !shown.is_empty() {
            findings.push(Finding::problem(
                "producers",
                format!(
                    "the one on {host} with pid {pid} cannot use the databases of {}{more}",
                    shown.join(", ")
                ),
                "if nothing is found at these tenants below, look at the way from that host to their \
                 databases; its log says why",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    fn producer(watched: i32, poll_seconds: i32) -> ProducerRow {
        let time = "2026-11-24T12:00:00Z".parse().unwrap();
        ProducerRow {
            name: "p".into(),
            host: "h".into(),
            pid: 1,
            version: "0".into(),
            watched,
            poll_seconds,
            unreachable: Vec::new(),
            started_at: time,
            seen_at: time,
            zone_rules: None,
        }
    }

    #[test]
    fn it_reports_how_many_tenants_each_producer_watches_and_whether_some_are_unwatched() {
        let two = [producer(20, 30), producer(19, 125)];
        let findings = compare(&two, 39);
        let text = "alive: 2, tenants watched: 20 + 19, changes in their tables seen within 125 s";
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].level, findings[0].finding.as_str()), (Level::Ok, text));
        let findings = compare(&two, 40);
        assert_eq!(findings[1].level, Level::Warning);
        assert_eq!(findings[1].finding, "watched are 39 of 40 tenants");
        assert_eq!(compare(&[], 0)[0].level, Level::Warning);
    }
}
