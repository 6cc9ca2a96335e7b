//! The sample tenants and their jobs: one for each outcome.

use serde_json::{Value, json};
use shared::job::OverlapPolicy;
use shared::store::NewJob;

/// Slugs and names.
pub(super) const TENANTS: [(&str, &str); 3] =
    [("acme", "Acme Corporation"), ("globex", "Globex"), ("initech", "Initech")];

/// A tenant's jobs.
pub(super) fn jobs(slug: &str) -> Vec<NewJob> {
    match slug {
        "acme" => vec![
            job("check-inbox", "noop", every("2s"), json!({})),
            job("monthly-report", "sleep", every("6s"), json!({"seconds": 2.5})),
        ],
        "globex" => vec![
            job("sync-orders", "sleep", json!({"cron": "*/3 * * * * *"}), json!({"seconds": 0.2})),
            NewJob {
                retry_base_seconds: 2,
                ..job(
                    "import-prices",
                    "fail",
                    every("8s"),
                    json!({"message": "the supplier's server is busy", "until_attempt": 2}),
                )
            },
        ],
        _ => vec![
            NewJob {
                max_attempts: 2,
                retry_base_seconds: 1,
                ..job(
                    "export-ledger",
                    "fail",
                    every("7s"),
                    json!({"message": "the ledger is locked"}),
                )
            },
            NewJob {
                timeout_seconds: Some(2),
                max_attempts: 1,
                overlap_policy: OverlapPolicy::Skip,
                ..job("upload-scans", "sleep", every("9s"), json!({"seconds": 60}))
            },
            NewJob {
                max_attempts: 1,
                ..job("print-labels", "panic", every("11s"), json!({"message": "out of paper"}))
            },
        ],
    }
}

fn job(name: &str, job_type: &str, schedule: Value, payload: Value) -> NewJob {
    NewJob { payload, ..NewJob::new(name, job_type, schedule) }
}

fn every(period: &str) -> Value {
    json!({"every": period})
}
