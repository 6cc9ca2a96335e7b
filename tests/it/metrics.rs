//! The metrics agree with the rows.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use polychron_tests::{Answer, System, TestTenant, due_now, free_address, get};
use serde_json::{Value, json};
use shared::execution::{ErrorKind, Execution, Status};
use shared::store::NewJob;
use testkit::eventually;

const TYPES: [&str; 6] = ["noop", "fail", "panic", "sleep", "record", "block"];

async fn add(tenant: &TestTenant, name: &str, job_type: &str, payload: Value, max_attempts: i32) {
    let job = NewJob {
        payload,
        max_attempts,
        retry_base_seconds: 1,
        timeout_seconds: Some(1),
        ..NewJob::new(name, job_type, due_now())
    };
    tenant.store.insert_job(&job).await.unwrap();
}

async fn metrics(address: SocketAddr) -> Answer {
    get(address, "/metrics").await.expect("it answers at once")
}

/// How many rows ended in each way, by the metric's label.
fn by_ending(rows: &[Execution]) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for row in rows.iter().filter(|row| row.started_at.is_some()) {
        let kind = row.error_kind.map_or("none", ErrorKind::as_str);
        let name = row.job_name.as_deref().unwrap();
        let job_type = TYPES.into_iter().find(|known| name.starts_with(known)).unwrap_or("unknown");
        let label = format!(r#"status="{}",error_kind="{kind}",job_type="{job_type}""#, row.status);
        *counts.entry(label).or_default() += 1.0;
    }
    counts
}

#[tokio::test]
async fn after_a_run_the_metrics_agree_with_the_rows() {
    let system = System::new(2).await;
    for tenant in &system.tenants {
        for n in 0..20 {
            add(tenant, &format!("noop-{n}"), "noop", json!({}), 3).await;
        }
        add(tenant, "fail-first", "fail", json!({"message": "no", "until_attempt": 2}), 3).await;
        add(tenant, "fail-always", "fail", json!({"message": "no"}), 2).await;
        add(tenant, "panic", "panic", json!({"message": "oh"}), 1).await;
        add(tenant, "sleep-long", "sleep", json!({"seconds": 30}), 1).await;
        add(tenant, "secret-name", "secret-type", json!({}), 1).await;
    }
    let [producer, consumer] = [free_address(), free_address()];
    let _producer = system.producer(&[("POLYCHRON_HTTP", &producer.to_string())]);
    let _consumer = system.consumer(&[("POLYCHRON_HTTP", &consumer.to_string())]);
    let mut rows = Vec::new();
    for tenant in &system.tenants {
        rows.extend(
            eventually("all are over", || async {
                let rows = tenant.executions().await;
                // 20 and 1 + 1 retry, 2, 1, 1, 1
                let over = rows.iter().all(|row| row.status.is_final());
                (rows.len() == 27 && over).then_some(rows)
            })
            .await,
        );
    }
    let expected = by_ending(&rows);
    assert_eq!(expected.len(), 6, "{expected:#?}");
    let shown = eventually("the last result is counted, and no handler lingers", || async {
        let shown = metrics(consumer).await;
        let of = |line: &str| {
            let (label, count) =
                line.strip_prefix("polychron_executions_finished_total{")?.split_once("} ")?;
            Some((label.to_owned(), count.parse::<f64>().unwrap()))
        };
        let counts: BTreeMap<String, f64> = shown.body.lines().filter_map(of).collect();
        let idle = shown.figure("polychron_slots_in_use") == 0.0;
        (idle && counts.values().sum::<f64>() >= rows.len() as f64).then_some((shown, counts))
    });
    let (shown, counts) = shown.await;
    assert_eq!(counts, expected);
    let first = rows.iter().filter(|row| row.started_at.is_some() && row.attempt == 1).count();
    assert_eq!(shown.figure("polychron_lateness_seconds_count"), first as f64);
    assert!(shown.figure("polychron_lateness_seconds_sum") > 0.0);
    assert!(shown.figure("polychron_claim_duration_seconds_count") > 0.0);
    assert_eq!(shown.figure("polychron_slots"), 5.0);
    let receiving = r#"polychron_broker_state{connection="receiving",state="open"}"#;
    assert_eq!(shown.figure(receiving), 1.0);

    let of_producer = metrics(producer).await;
    let dispatched = rows.iter().filter(|row| row.dispatched_at.is_some()).count() as f64;
    assert_eq!(of_producer.figure("polychron_executions_dispatched_total"), dispatched);
    let confirmed = of_producer.figure(r#"polychron_publishes_total{confirm="confirmed"}"#);
    let swept = of_producer.figure("polychron_sweeps_total");
    assert_eq!(confirmed, dispatched + swept);
    assert!(of_producer.figure("polychron_dispatch_duration_seconds_count") > 0.0);
    assert!(of_producer.figure("polychron_polls_total") > 0.0);
    assert_eq!(of_producer.figure("polychron_poll_interval_seconds"), 30.0);
    for text in [shown.body, of_producer.body] {
        assert!(!text.contains("secret") && !text.contains("noop-1"), "{text}");
        assert!(!text.contains("\"t0\""), "{text}");
    }
}

#[tokio::test]
async fn skipped_occurrences_are_counted_by_reason() {
    let system = System::new(1).await;
    let tenant = &system.tenants[0];
    let slow = NewJob {
        payload: json!({"seconds": 3}),
        ..NewJob::new("sleep", "sleep", json!({"every": "1s"}))
    };
    tenant.store.insert_job(&slow).await.unwrap();
    let address = free_address();
    let _producer = system.producer(&[("POLYCHRON_HTTP", &address.to_string())]);
    let _consumer = system.consumer(&[]);
    let overlap = r#"polychron_occurrences_skipped_total{reason="overlap"}"#;
    eventually("some are skipped, and as many are counted", || async {
        let rows = tenant.executions().await;
        let skipped = rows.iter().filter(|row| row.status == Status::Skipped);
        let skipped: i32 = skipped.map(|row| row.stands_for).sum();
        (skipped >= 3 && metrics(address).await.figure(overlap) == f64::from(skipped)).then_some(())
    })
    .await;
}

/// The sum of a counter over all its labels.
fn sum(shown: &Answer, name: &str) -> f64 {
    let of = |line: &str| line.strip_prefix(name)?.rsplit_once(' ')?.1.parse::<f64>().ok();
    shown.body.lines().filter_map(of).sum()
}

const FINISHED: &str = "polychron_executions_finished_total";

/// As docs/metrics.md says, the metrics of a killed process are gone, and those of the others agree
/// exactly with the rows that they wrote.
#[tokio::test]
async fn after_a_kill_the_survivors_metrics_agree_with_the_rows_that_they_wrote() {
    const JOBS: usize = 40;
    const LEASE: (&str, &str) = ("POLYCHRON_LEASE", "5s");
    let system = System::new(2).await;
    for tenant in &system.tenants {
        for n in 0..JOBS / 2 {
            let payload = json!({"seconds": 1.5});
            let job = NewJob::new(&format!("sleep-{n}"), "sleep", due_now());
            tenant.store.insert_job(&NewJob { payload, ..job }).await.unwrap();
        }
    }
    let [of_producer, doomed, survivor] = [free_address(), free_address(), free_address()];
    let at = |address: SocketAddr| address.to_string();
    let _producer = system.producer(&[("POLYCHRON_HTTP", &at(of_producer))]);
    let killed = system.consumer(&[LEASE, ("POLYCHRON_HTTP", &at(doomed))]);
    let _survivor = system.consumer(&[LEASE, ("POLYCHRON_HTTP", &at(survivor))]);
    let dead = format!("-{}-", killed.pid());
    let by_dead = |row: &Execution| row.worker.as_ref().is_some_and(|name| name.contains(&dead));
    let last = eventually("it has done some of the work, and is at more of it", || async {
        let shown = get(doomed, "/metrics").await?;
        let mut busy = false;
        for tenant in &system.tenants {
            let rows = tenant.executions().await;
            busy |= rows.iter().any(|row| row.status == Status::Running && by_dead(row));
        }
        (busy && sum(&shown, FINISHED) >= 5.0).then_some(shown)
    })
    .await;
    killed.kill();

    let mut rows = Vec::new();
    for tenant in &system.tenants {
        rows.extend(
            eventually("all are over", || async {
                let rows = tenant.executions().await;
                let done = rows.iter().filter(|row| row.status == Status::Success).count();
                (done == JOBS / 2 && rows.iter().all(|row| row.status.is_final())).then_some(rows)
            })
            .await,
        );
    }
    // The rescuer ended the rows that the killed one held. Rows that it had ended itself were counted
    // by it alone.
    let lost = rows.iter().filter(|row| row.error_kind == Some(ErrorKind::Lost)).count();
    let gone = rows.iter().filter(|row| by_dead(row) && row.status == Status::Success).count();
    assert!(lost > 0 && gone > 0, "{lost} {gone}");
    let written = (rows.len() - gone) as f64;
    let (producer, consumer) = eventually("the survivors have counted all", || async {
        let shown = (metrics(of_producer).await, metrics(survivor).await);
        (sum(&shown.0, FINISHED) + sum(&shown.1, FINISHED) >= written).then_some(shown)
    })
    .await;
    assert_eq!(sum(&producer, FINISHED) + sum(&consumer, FINISHED), written);
    assert_eq!(producer.figure("polychron_rescues_total"), lost as f64);
    assert_eq!(sum(&producer, FINISHED), lost as f64);
    let dispatched = rows.iter().filter(|row| row.dispatched_at.is_some()).count();
    assert_eq!(producer.figure("polychron_executions_dispatched_total"), dispatched as f64);
    // Its last scrape may miss rows that ended since, but never counts too many.
    assert!(sum(&last, FINISHED) <= gone as f64, "{} of {gone}", sum(&last, FINISHED));
}
