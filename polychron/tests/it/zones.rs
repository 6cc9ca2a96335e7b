//! `polychron zones`: other time zone rules for the installation.

use serde_json::{Value, json};
use shared::id::TenantId;
use shared::schedule::{Schedule, Spread, ZoneRules};
use shared::store::Arm;
use testkit::{Folder, zoneinfo};
use uuid::Uuid;

use crate::console::{BOTH, Console};

/// A directory in which Troll has the rules of Tokyo.
fn directory(folder: &Folder, version: &str) -> String {
    let name = format!("zones-{version}");
    zoneinfo(folder, &name, version, &[("Antarctica/Troll", "Asia/Tokyo")]).display().to_string()
}

#[tokio::test]
async fn an_update_shows_what_it_changes_before_and_is_audited() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let folder = Folder::new();
        let newer = directory(&folder, "2099a");
        let shown = console.run(&["zones", "show", "-o", "json"]).succeeded().json();
        assert_eq!(shown[0]["hash"], ZoneRules::built_in().hash());
        for (name, zone) in [("troll", "Antarctica/Troll"), ("tokyo", "Asia/Tokyo")] {
            let add = ["job", "add", "acme", name, "--type", "noop", "--cron", "0 9 1 1 *"];
            console.run(&[&add[..], &["--timezone", zone]].concat()).succeeded();
        }
        // Armed, as by a producer.
        let store = console.store("acme").await;
        let now = store.now().await.unwrap();
        for name in ["troll", "tokyo"] {
            let job = store.find_job(name).await.unwrap().unwrap();
            let spread = Spread::new(TenantId(Uuid::nil()), job.id);
            let schedule = Schedule::read(&job.schedule.to_string(), spread).unwrap();
            let next_run_at = schedule.next_after(now.time()).unwrap();
            let arm = Arm { job: job.id, version: job.version, next_run_at };
            store.arm(&[arm], now).await.unwrap();
        }
        let update = ["zones", "update", "--from", &newer];
        let dry = console.run(&[&update[..], &["--dry-run"]].concat()).succeeded();
        assert!(
            dry.stderr.contains("nothing was changed") && dry.stdout.contains("troll"),
            "{dry:?}"
        );
        let shown = console.run(&["zones", "show", "-o", "json"]).succeeded().json();
        assert_eq!(shown.as_array().unwrap().len(), 1);

        let update = [&update[..], &["--reason", "Troll has moved", "-o", "json"]].concat();
        let made = console.run(&update).succeeded().json();
        assert_eq!(made["after"]["version"], "2099a");
        assert_eq!((&made["jobs_moved"], &made["jobs"][0]["job"]), (&json!(1), &json!("troll")));
        let moved = made["jobs"][0]["to"].as_str().unwrap();
        assert!(moved.ends_with("-01-01T00:00:00Z"), "{moved}");
        assert!(made["kept"].as_array().unwrap().len() > 300);
        let shown = console.run(&["zones", "show", "-o", "json"]).succeeded().json();
        let versions: Vec<&Value> =
            shown.as_array().unwrap().iter().map(|set| &set["version"]).collect();
        assert_eq!(versions, ["2099a", ZoneRules::built_in().version()]);
        assert_eq!(shown[0]["from"], shown[1]["until"]);

        // The rules that a command begins with are no news.
        assert_eq!(console.run(&["tenant", "list"]).succeeded().stderr, "");

        // The same again, and older ones, are refused.
        let again = console.run(&update).ended(1);
        assert!(again.stderr.contains("in force already"), "{}", again.stderr);
        let older = directory(&folder, "2020a");
        std::fs::remove_file(format!("{older}/Antarctica/Troll")).unwrap();
        let berlin = ZoneRules::built_in().file("Europe/Berlin").unwrap();
        std::fs::write(format!("{older}/Antarctica/Troll"), berlin).unwrap();
        let refused = console.run(&["zones", "update", "--from", &older]).ended(1);
        assert!(refused.stderr.contains("--allow-older"), "{}", refused.stderr);
        let missing = console.run(&["zones", "update", "--from", "/nowhere"]).ended(2);
        assert!(missing.stderr.contains("--from: /nowhere"), "{}", missing.stderr);

        let report = console.run(&["check", "-o", "json"]).json();
        let zones = report.as_array().unwrap().iter().find(|one| one["subject"] == "time zones");
        let finding = zones.unwrap()["finding"].as_str().unwrap();
        assert!(finding.starts_with("rules of version 2099a, /"), "{finding}");
    }
}
