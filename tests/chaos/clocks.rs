//! The machines' clocks differ.

use chrono::TimeDelta;
use polychron_tests::System;

use crate::LEASE;
use crate::account::{add_jobs, all_succeed};

/// Debian's libfaketime, which `scripts/chaos` installs. It shifts only wall time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

fn shifted(offset: &'static str) -> [(&'static str, &'static str); 3] {
    [("LD_PRELOAD", FAKETIME), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
}

#[tokio::test]
async fn clocks_are_hours_apart() {
    const JOBS: usize = 40;
    let system = System::new(2).await;
    add_jobs(&system, JOBS, 0.1).await;
    // Longer than the lease: heartbeats must count by the database's clock, too.
    for tenant in &system.tenants {
        tenant.store.insert_job(&system.record_job("job-long", 8.0)).await.unwrap();
    }
    let (late, early) = (shifted("-3600s"), shifted("+7200s"));
    let settings = |shift: [(&'static str, &'static str); 3]| [shift[0], shift[1], shift[2], LEASE];
    let _running = (
        system.producer(&settings(late)),
        system.producer(&[]),
        system.consumer(&settings(early)),
        system.consumer(&[LEASE]),
    );
    all_succeed(&system, JOBS + 1).await;
    // Control: the processes' logs do have different times.
    let times: Vec<_> = system.records().iter().map(|record| record.time).collect();
    let apart = *times.iter().max().unwrap() - *times.iter().min().unwrap();
    assert!(apart > TimeDelta::hours(1), "{apart}");
    for tenant in &system.tenants {
        let rows = tenant.executions().await;
        assert_eq!(rows.len(), JOBS + 1, "nothing ran twice");
        for row in rows {
            let late = row.started_at.unwrap() - row.scheduled_for;
            assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(50), "{late}: {row:#?}");
        }
    }
}
