//! The Grafana dashboard, the alert rules and the documentation match the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ALERTS: &str = include_str!("../../../deploy/alerts.yml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana.json");

/// All names of metrics in a text, without the suffixes that Prometheus adds.
fn named(text: &str) -> BTreeSet<&str> {
    let begins = text.match_indices("polychron_").map(|(at, _)| &text[at..]);
    begins
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            let added = ["_total", "_bucket", "_count", "_sum"];
            added.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
        })
        .collect()
}

/// The documented metrics; a unit test compares them with the registry.
fn known() -> BTreeSet<String> {
    let page = include_str!("../../../docs/metrics.md");
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    names.map(|name| name.strip_suffix("_total").unwrap_or(name).to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_use_existing_metrics() {
    let known = known();
    for (file, text) in [("alerts.yml", ALERTS), ("grafana.json", DASHBOARD)] {
        for name in named(text) {
            assert!(known.contains(name), "{file} uses {name}, which does not exist");
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown = named(DASHBOARD);
    for name in known() {
        assert!(shown.contains(name.as_str()), "grafana.json doesn't show {name}");
    }
}

#[test]
fn each_alert_has_a_remedy_and_a_summary() {
    let count = |text: &str| ALERTS.matches(text).count();
    assert!(count("- alert: ") >= 15);
    assert_eq!(count("- alert: "), count("\n          remedy: "));
    assert_eq!(count("- alert: "), count("\n          summary: "));
}

/// The constant beginnings of the messages that a source file logs as WARN or ERROR.
fn warnings(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = Vec::new();
    for (at, _) in source.match_indices("warn!(").chain(source.match_indices("error!(")) {
        let call = source[at..].split(';').next().unwrap_or_default();
        // The message is the first string that is not a field's value.
        let text = call.match_indices('"').step_by(2).find_map(|(open, _)| {
            let (before, after) = (call[..open].trim_end(), &call[open + 1..]);
            let alone = before.ends_with('(') || before.ends_with(',');
            alone.then(|| after.split('"').next().unwrap_or_default().to_owned())
        });
        let text = text.unwrap_or_default();
        found.push(
            text.split('{').next().unwrap_or_default().trim_end_matches([':', ' ']).to_owned(),
        );
    }
    found
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, into),
            false if path.extension().is_some_and(|ending| ending == "rs") => into.push(path),
            false => {}
        }
    }
}

#[test]
fn each_warning_is_documented() {
    let page = include_str!("../../../docs/logs.md");
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for program in
        ["shared", "producer", "consumer", "embedded", "operations", "cli", "web", "polychron"]
    {
        sources(&top.join(program).join("src"), &mut files);
    }
    let mut count = 0;
    for file in files {
        for text in warnings(&std::fs::read_to_string(&file).unwrap()) {
            // A message without a constant beginning cannot be checked.
            assert!(page.contains(&text), "docs/logs.md doesn't explain `{text}` of {file:?}");
            count += usize::from(!text.is_empty());
        }
    }
    assert!(count > 25, "only {count} were found");
}

/// What the last column of a table names in backquotes.
fn last_column(page: &str) -> Vec<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// The tests that prove a control: a file, a module, or a function.
#[test]
fn each_test_of_the_threat_table_exists() {
    let (_, controls) =
        include_str!("../../../docs/security.md").split_once("## Controls").unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(top).unwrap() {
        let path = entry.unwrap().path();
        if path.join("Cargo.toml").exists() {
            sources(&path, &mut files);
        }
    }
    let texts: Vec<String> =
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let is_module = |name: &str| {
        let at = name.replace("::", "/");
        let ends = [format!("/{at}.rs"), format!("/{at}/mod.rs")];
        files.iter().any(|file| ends.iter().any(|end| file.to_string_lossy().ends_with(end)))
    };
    let is_function = |name: &str| {
        let name = name.rsplit("::").next().unwrap_or_default();
        let (written, listed) = (format!("fn {name}("), format!("    {name},\n"));
        texts.iter().any(|text| text.contains(&written) || text.contains(&listed))
    };
    let tests = last_column(controls);
    assert!(tests.len() > 30, "only {} were found", tests.len());
    for test in tests {
        let exists = match test.contains('/') {
            true => top.join(test).exists(),
            false => is_module(test) || is_function(test),
        };
        assert!(exists, "docs/security.md names `{test}`, which does not exist");
    }
}
