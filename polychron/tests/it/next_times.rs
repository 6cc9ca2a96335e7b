//! Next times that are later than their schedules say, as `check` and `explain` tell of them.

use chrono::TimeDelta;
use shared::clock::Time;
use shared::store::Arm;

use crate::console::{BOTH, Console};

#[tokio::test]
async fn a_postponed_job_is_told_from_one_that_a_wrong_clock_has_planned() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let store = console.store("acme").await;
        let now = store.now().await.unwrap();
        let ahead = now + TimeDelta::days(3650);
        let in_ten_years = Time::from_timestamp((ahead.time().timestamp() / 3600 + 1) * 3600, 0);
        for (name, since) in [("postponed", now), ("planned-ahead", ahead)] {
            console
                .run(&["job", "add", "acme", name, "--type", "noop", "--every", "1h"])
                .succeeded();
            let job = store.find_job(name).await.unwrap().unwrap();
            let next_run_at = in_ten_years.unwrap();
            store
                .arm(&[Arm { job: job.id, version: job.version, next_run_at }], since)
                .await
                .unwrap();
        }
        let report = console.run(&["check", "-o", "json"]).stdout;
        for finding in [
            "job postponed is due next at",
            "something other than the engine has set `next_run_at`",
            "job planned-ahead is due next at",
            "the database's clock showed",
        ] {
            assert!(report.contains(finding), "`{finding}` is missing: {report}");
        }
        let postponed = ["job", "explain", "acme", "postponed", "-o", "json"];
        let explained = console.run(&postponed).stdout;
        assert!(explained.contains("`polychron job pause acme postponed`"), "{explained}");
        // A time before that, which its schedule names.
        let at = Time::from_timestamp((now.time().timestamp() / 3600 + 2) * 3600, 0).unwrap();
        let at = at.to_rfc3339();
        let explained = console.run(&[&postponed[..], &["--at", &at]].concat()).stdout;
        assert!(explained.contains("although its schedule has"), "{explained}");
        let explained = console.run(&["job", "explain", "acme", "planned-ahead"]).stdout;
        assert!(explained.contains("the database's clock showed"), "{explained}");
    }
}
