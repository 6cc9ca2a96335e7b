//! `polychron forecast`.

use crate::console::{BOTH, Console};

const DAY: [&str; 4] = ["--from", "2096-12-01T00:00:00Z", "--to", "2096-12-02T00:00:00Z"];

#[tokio::test]
async fn the_load_of_a_day_is_shown_with_its_peaks_and_what_it_needs() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let beta = console.database("beta").await;
        console.add_tenant("beta", &beta, &[]).succeeded();
        for (tenant, job, flags) in [
            ("acme", "minutely", &["--cron", "* * * * *"][..]),
            ("acme", "paused", &["--every", "1s", "--disabled"]),
            (
                "beta",
                "herd",
                &[
                    "--schedule",
                    r#"{"every": "1s", "start": "2096-12-01T05:00:00Z", "end": "2096-12-01T05:00:59Z"}"#,
                ],
            ),
        ] {
            let add = [&["job", "add", tenant, job, "--type", "noop"], flags].concat();
            console.run(&add).succeeded();
        }
        let ask =
            [&["forecast", "--assume", "30s", "--wait", "0s", "-o", "json"], &DAY[..]].concat();
        let day = console.run(&ask).succeeded().says(&["have not run yet: 2"]).json();
        assert_eq!(
            (&day["tenants"], &day["jobs"], &day["assumed"]),
            (&2.into(), &2.into(), &2.into())
        );
        assert_eq!(day["minutes"].as_array().unwrap().len(), 1440);
        let peak = &day["peaks"][0];
        // Of sixty occurrences that may not overlap, two of half a minute each fit in.
        assert_eq!((&peak["at"], &peak["starts"]), (&"2096-12-01T05:00:00Z".into(), &3.into()));
        assert_eq!(
            (&peak["by"][0]["tenant"], &peak["by"][0]["job"]),
            (&"beta".into(), &"herd".into())
        );
        assert_eq!(day["starts"], 1442);
        // One slot for the herd, half a one for the other.
        assert_eq!(
            (&day["slots"], &day["consumers"], &day["prefetch"]),
            (&2.into(), &1.into(), &5.into())
        );

        let text = [&["forecast", "--peaks", "1"], &DAY[..]].concat();
        let shown = console.run(&text).succeeded().stdout;
        for part in ["Starts per minute", "beta/herd", "Slots needed"] {
            assert!(shown.contains(part), "{shown}");
        }

        console.run(&["tenant", "suspend", "beta"]).succeeded();
        let ask = [&["forecast", "-o", "json"], &DAY[..]].concat();
        assert_eq!(
            console.run(&ask).succeeded().json()["starts"],
            1440,
            "suspended tenants do not run"
        );
        let one = [&["forecast", "--tenant", "acme", "-o", "jsonl"], &DAY[..]].concat();
        assert_eq!(console.run(&one).succeeded().json()["starts"], 1440);
    }
}

#[tokio::test]
async fn invalid_forecasts_are_refused() {
    let console = Console::with_tenant(BOTH[0]).await;
    for (flags, code, says) in [
        (&["--from", "2096-12-02T00:00:00Z", "--to", "2096-12-01T00:00:00Z"][..], 2, "--to"),
        (&["--from", "2096-12-02T00:00:00Z", "--to", "2097-12-01T00:00:00Z"], 2, "31 days"),
        (&["--wait", "soon"], 2, "--wait"),
        (&["--tenant", "nobody"], 3, "nobody"),
    ] {
        console.run(&[&["forecast"], flags].concat()).ended(code).says(&[says]);
    }
}

#[tokio::test]
async fn a_tenant_that_cannot_be_read_is_reported_and_left_out() {
    let console = Console::with_tenant(BOTH[0]).await;
    console.run(&["job", "add", "acme", "a", "--type", "noop", "--cron", "0 0 * * *"]).succeeded();
    let gone = console.database("gone").await;
    console.add_tenant("gone", &gone, &[]).succeeded();
    std::fs::remove_file(console.folder.path("gone.db")).unwrap();
    let ask = [&["forecast", "-o", "json"], &DAY[..]].concat();
    let answer = console.run(&ask).ended(4).says(&["tenant gone", "1 of 2 tenants failed"]);
    assert_eq!(answer.json()["starts"], 1);
}
