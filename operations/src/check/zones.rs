//! The time zone rules: which this program uses, and whether all producers use the same.

use shared::installed_rules::InstalledRules;
use shared::schedule::ZoneRules;
use shared::store::ProducerRow;

use crate::finding::Finding;

const SUBJECT: &str = "time zones";

/// The rules that this program uses.
pub(super) fn of_rules(installed: &InstalledRules) -> Finding {
    let (rules, built_in) = (ZoneRules::current(), ZoneRules::built_in());
    let finding = format!("rules of version {rules}");
    if let Some(reason) = installed.problem() {
        let finding = format!("{finding}; those of the installation cannot be used: {reason}");
        let remedy = "run `polychron migrate`; if the rules are damaged, `polychron zones update` \
                      after their rows have been deleted";
        return Finding::problem(SUBJECT, finding, remedy);
    }
    if built_in.version() > rules.version() {
        let finding = format!("{finding}; this program has those of {}", built_in.version());
        let remedy = "`polychron zones update --built-in --dry-run` shows what they change";
        return Finding::problem(SUBJECT, finding, remedy).warning();
    }
    Finding::ok(SUBJECT, finding)
}

/// Producers that use other rules than this program.
pub(super) fn of_producers(producers: &[ProducerRow]) -> Option<Finding> {
    let rules = ZoneRules::current();
    let differs = |one: &&ProducerRow| one.zone_rules.as_deref() != Some(rules.hash());
    let others = producers.iter().filter(differs).map(|one| match &one.zone_rules {
        Some(hash) => format!("{} on {} uses {:.12}", one.pid, one.host, hash),
        None => format!("{} on {} uses its own", one.pid, one.host),
    });
    let others: Vec<String> = others.collect();
    if others.is_empty() {
        return None;
    }
    let finding = format!("not all producers use these rules: {}", others.join(", "));
    let remedy = "check again in 15 s, when they have read them; else see their log, or install this \
                  version there";
    Some(Finding::problem(SUBJECT, finding, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_with_other_rules_are_named() {
        let time = "2026-11-24T12:00:00Z".parse().unwrap();
        let producer = |pid, zone_rules: Option<&str>| ProducerRow {
            name: "p".into(),
            host: "h".into(),
            pid,
            version: "0".into(),
            watched: 1,
            poll_seconds: 30,
            unreachable: Vec::new(),
            started_at: time,
            seen_at: time,
            zone_rules: zone_rules.map(str::to_owned),
        };
        let own = producer(1, Some(ZoneRules::current().hash()));
        assert!(of_producers(std::slice::from_ref(&own)).is_none());
        let other = producer(2, Some("0123456789abcdef"));
        let finding = of_producers(&[own, other, producer(3, None)]).unwrap().finding;
        assert!(finding.contains("2 on h uses 0123456789ab, 3 on h uses its own"), "{finding}");
        assert!(!finding.contains("1 on h"), "{finding}");
    }
}
