//! Arming, dispatching and publishing.

use std::collections::HashSet;
use std::time::Duration;

use chrono::NaiveDate;
use polychron_producer::next_poll::SkipIf;
use polychron_producer::sweeper::SweepScope;
use serde_json::{Value, json};
use shared::clock::{Clock, Time};
use shared::execution::{ErrorKind, Status, Trigger};
use shared::job::{MisfirePolicy, OverlapPolicy};
use shared::metrics::Metrics;
use shared::outcome::Outcome;
use shared::queue::BrokerState;
use shared::store::NewJob;

use crate::table::{Polled, SOON, Table, every, poll};

#[tokio::test]
async fn a_job_is_armed_dispatched_published_and_moves_on() {
    let table = Table::new().await;
    table.add("job", every("1h"), |_| {}).await;
    let job = table.tenant.store.find_job("job").await.unwrap().unwrap();
    assert_eq!(job.next_run_at.unwrap().to_rfc3339(), "2026-11-24T13:00:00+00:00");
    assert_eq!((job.schedule_since, job.version), (Some(table.now().time()), 1));
    assert!(table.executions().await.is_empty());

    table.after(3600).await;
    let rows = table.executions().await;
    let [row] = rows.as_slice() else { panic!("{rows:#?}") };
    assert_eq!((row.status, row.attempt, row.trigger), (Status::Dispatched, 1, Trigger::Schedule));
    assert_eq!(row.scheduled_for.to_rfc3339(), "2026-11-24T13:00:00+00:00");
    assert_eq!(
        (row.published_at, row.publish_count),
        (Some(table.now().time()), 1),
        "the confirm is on record"
    );
    let messages = table.broker.take(9);
    assert_eq!(messages.iter().map(|message| message.execution).collect::<Vec<_>>(), [row.id]);
    let job = table.tenant.store.find_job("job").await.unwrap().unwrap();
    assert_eq!(job.next_run_at.unwrap().to_rfc3339(), "2026-11-24T14:00:00+00:00");
    assert_eq!(job.version, 1, "a dispatch is no edit");
}

#[tokio::test]
async fn the_next_poll_comes_when_something_is_due_and_at_the_poll_interval_otherwise() {
    let table = Table::new().await;
    let wait = table.poll().await;
    assert!(wait > Duration::from_secs(26) && wait <= Duration::from_secs(30), "{wait:?}");
    table.add("job", every("20s"), |_| {}).await;
    let wait = table.poll().await;
    let warm_up = Duration::from_millis(100);
    assert_eq!(
        wait,
        Duration::from_secs(20) - warm_up,
        "a little ahead, so that the connection is open"
    );
    table.manual.advance(wait);
    assert_eq!(table.poll().await, warm_up);
}

#[tokio::test]
async fn after_a_burst_jobs_are_gathered_for_a_moment_and_a_single_job_never_waits() {
    let table = Table::new().await;
    for (jobs, wait) in [(1, Duration::ZERO), (9, Duration::ZERO), (10, SOON)] {
        for n in 0..jobs {
            let at = table.now() + Duration::from_secs(10);
            table.add(&format!("{jobs} {n}"), json!({"at": at.time().to_rfc3339()}), |_| {}).await;
        }
        table.manual.advance(Duration::from_secs(10));
        let polled = table.poll_once(None).await;
        assert_eq!(polled.wait, wait, "{jobs} jobs");
        assert!(polled.next.skip_if.is_none(), "{jobs} jobs");
        table.poll().await;
        assert_eq!(table.broker.take(99).len(), jobs, "nothing is left behind");
    }
}

#[tokio::test]
async fn a_tenant_that_waits_for_capacity_is_polled_when_there_is_some() {
    let table = Table::new().await;
    for n in 0..40 {
        table.add(&format!("job {n}"), json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    }
    table.manual.advance(Duration::from_secs(10));
    let waits = |polled: &Polled| matches!(polled.next.skip_if, Some(SkipIf::QueuesFull { .. }));
    let mut polled = table.poll_once(None).await;
    while !waits(&polled) {
        polled = table.poll_once(Some(polled.next)).await;
    }
    let polls = table.polls();
    for _ in 0..3 {
        assert!(!polled.wait.is_zero());
        table.manual.advance(polled.wait);
        polled = table.poll_once(Some(polled.next)).await;
        assert!(waits(&polled));
        assert_eq!(table.polls(), polls, "the queue is still full");
    }
    assert!(!table.broker.take(99).is_empty());
    table.manual.advance(Duration::from_millis(10));
    table.poll_once(Some(polled.next)).await;
    assert_eq!(table.polls(), polls + 1);
    assert!(!table.broker.take(99).is_empty(), "and more is dispatched");
}

#[tokio::test]
async fn while_full_batches_are_dispatched_one_summary_is_reused_until_nothing_is_left() {
    // This holds for all batch sizes. After a full last batch, the producer expects more.
    for jobs in 30..36 {
        let table = Table::new().await;
        for n in 0..jobs {
            table.add(&format!("job {n}"), json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
        }
        table.add("next", json!({"at": "2026-11-24T12:00:10.400Z"}), |_| {}).await;
        table.manual.advance(Duration::from_secs(10));
        let polls = table.polls();
        let (mut last, mut sent, mut passes) = (None, 0, 0);
        let wait = loop {
            let polled = table.poll_once(last).await;
            sent += table.broker.take(99).len();
            (last, passes) = (Some(polled.next), passes + 1);
            if polled.wait > Duration::from_millis(100) {
                break polled.wait;
            }
            table.manual.advance(polled.wait.max(Duration::from_millis(5)));
        };
        let polls = table.polls() - polls;
        assert!((sent, polls) == (jobs, 2) && passes > 4, "{jobs}: {sent}, {polls} of {passes}");
        let next_at: Time = "2026-11-24T12:00:10.400Z".parse().unwrap();
        assert!(table.now() + wait <= next_at, "{jobs}: then {wait:?}");
    }
}

#[tokio::test]
async fn a_schedule_that_is_used_up_disables_its_job_without_an_edit() {
    let table = Table::new().await;
    table.add("once", json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    table.after(10).await;
    let job = table.tenant.store.find_job("once").await.unwrap().unwrap();
    assert_eq!((job.is_enabled, job.next_run_at, job.version), (false, None, 1));
    assert!(job.schedule_since.is_some());
    assert_eq!(table.counts().await, [("dispatched", 1)].into());
    table.after(100).await;
    assert_eq!(table.executions().await.len(), 1);
}

#[tokio::test]
async fn an_invalid_schedule_quarantines_only_its_own_job() {
    let table = Table::new().await;
    table.add("hour 25", json!({"cron": "0 25 * * *"}), |_| {}).await;
    table.add("over", json!({"every": "1h", "end": "2026-01-01T00:00:00Z"}), |_| {}).await;
    table.add("good", every("1m"), |_| {}).await;
    table.after(60).await;
    let reason = async |name| {
        let job = table.tenant.store.find_job(name).await.unwrap().unwrap();
        job.quarantined_reason.unwrap_or_default()
    };
    assert!(reason("hour 25").await.contains("hour"), "{}", reason("hour 25").await);
    assert!(reason("over").await.contains("no occurrence"), "{}", reason("over").await);
    assert_eq!(reason("good").await, "");
    assert_eq!(table.counts().await, [("dispatched", 1)].into());
}

#[tokio::test]
async fn dispatched_and_running_executions_never_exceed_max_running() {
    let mut table = Table::new().await;
    table.change_tenant(|tenant| tenant.max_running = Some(2));
    for n in 0..5 {
        table.add(&format!("job-{n}"), json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    }
    table.after(10).await;
    assert_eq!(
        table.counts().await,
        [("dispatched", 2)].into(),
        "the others stay due in their table"
    );
    let claims = table.claim(9).await;
    table.poll().await;
    assert_eq!(table.counts().await, [("running", 2)].into());
    table.finish(&claims[0], Outcome::Success(json!(null))).await;
    table.poll().await;
    assert_eq!(table.counts().await, [("dispatched", 1), ("running", 1), ("success", 1)].into());
    // All are recorded as waiting before they become misfires.
    table.after(30).await;
    assert_eq!(
        table.counts().await,
        [("dispatched", 1), ("running", 1), ("scheduled", 2), ("success", 1)].into()
    );
    table.finish(&claims[1], Outcome::Success(json!(null))).await;
    table.poll().await;
    assert_eq!(table.counts().await, [("dispatched", 2), ("scheduled", 1), ("success", 2)].into());
}

#[tokio::test]
async fn the_queue_is_kept_short_and_refilled_as_workers_take_messages() {
    let table = Table::new().await;
    for n in 0..40 {
        table.add(&format!("job-{n}"), json!({"at": "2026-11-24T12:00:10Z"}), |_| {}).await;
    }
    let wait = table.after(10).await;
    assert_eq!(table.counts().await, [("dispatched", 10)].into());
    assert!(wait <= Duration::from_secs(1), "it polls again soon: {wait:?}");
    assert_eq!(table.claim(4).await.len(), 4);
    table.after(2).await;
    assert_eq!(table.counts().await, [("dispatched", 10), ("running", 4)].into());
}

#[tokio::test]
async fn jobs_of_a_queue_without_workers_wait_in_their_table() {
    let table = Table::new().await;
    table.add("elsewhere", every("1m"), |job| job.queue = "reports".into()).await;
    table.add("here", every("1m"), |_| {}).await;
    table.after(60).await;
    assert_eq!(table.counts().await, [("dispatched", 1)].into());
    table.after(30).await;
    assert_eq!(table.counts().await, [("dispatched", 1), ("scheduled", 1)].into());
}

#[tokio::test]
async fn overlap_queue_lets_one_wait_and_it_runs_in_its_turn() {
    let table = Table::new().await;
    table.add("job", every("10s"), |job| job.overlap_policy = OverlapPolicy::Queue).await;
    table.after(10).await;
    let claims = table.claim(9).await;
    table.after(10).await;
    table.after(10).await;
    let rows = table.executions().await;
    let shown: Vec<_> = rows.iter().map(|row| (row.status, row.error_kind)).collect();
    assert_eq!(
        shown,
        [
            (Status::Running, None),
            (Status::Scheduled, None),
            (Status::Skipped, Some(ErrorKind::Overlap))
        ]
    );
    table.finish(&claims[0], Outcome::Success(json!(null))).await;
    table.poll().await;
    assert_eq!(table.executions().await[1].status, Status::Dispatched);
}

#[tokio::test]
async fn a_manual_run_heeds_neither_misfire_nor_overlap() {
    let table = Table::new().await;
    table.add("job", every("1h"), |_| {}).await;
    table.after(3600).await;
    table.claim(9).await;
    table.manual.advance(Duration::from_secs(1));
    let id = shared::id::ExecutionId::new(table.now().time(), &table.random);
    let payload = json!({"by": "hand"});
    assert!(
        table
            .tenant
            .store
            .run_job("job", id, Some(&payload), table.now())
            .await
            .unwrap()
            .is_applied()
    );
    table.poll().await;
    let row = table.tenant.store.find_execution(id).await.unwrap().unwrap();
    assert_eq!((row.status, row.trigger), (Status::Dispatched, Trigger::Manual));
    let claims = table.claim(9).await;
    assert_eq!(claims[0].payload, Some(payload.to_string()));
}

#[tokio::test]
async fn a_manual_run_at_the_time_of_an_occurrence_does_not_take_its_place() {
    let table = Table::new().await;
    table.add("job", every("1h"), |job| job.overlap_policy = OverlapPolicy::Allow).await;
    table.manual.advance(Duration::from_secs(3600));
    let id = shared::id::ExecutionId::new(table.now().time(), &table.random);
    assert!(table.tenant.store.run_job("job", id, None, table.now()).await.unwrap().is_applied());
    table.poll().await;
    let triggers: Vec<_> = table.executions().await.iter().map(|row| row.trigger).collect();
    assert_eq!(triggers, [Trigger::Manual, Trigger::Schedule]);
}

#[tokio::test]
async fn two_producers_at_one_tenant_dispatch_each_occurrence_once() {
    let table = Table::new().await;
    let (other, _driver) = table.another_poller();
    for n in 0..60 {
        table.add(&format!("job-{n}"), every("10s"), |_| {}).await;
    }
    for _ in 0..545 {
        table.manual.advance(Duration::from_millis(200));
        let _ = tokio::join!(
            poll(&table.poller, &table.tenant, None, SweepScope::Overdue),
            poll(&other, &table.tenant, None, SweepScope::Overdue)
        );
        for claim in table.claim(usize::MAX).await {
            table.finish(&claim, Outcome::Success(json!(null))).await;
        }
    }
    let rows = table.executions().await;
    assert_eq!(rows.len(), 600);
    assert!(
        rows.iter().all(|row| row.status == Status::Success && row.stands_for == 1),
        "{rows:#?}"
    );
}

#[tokio::test]
async fn while_the_broker_is_away_jobs_wait_and_are_no_misfires() {
    let table = Table::new().await;
    table.add("job", every("1h"), |job| job.misfire_policy = MisfirePolicy::Skip).await;
    table.broker.set_state(BrokerState::Blocked);
    table.after(3600).await;
    assert!(table.executions().await.is_empty(), "it can still be edited");
    table.after(30).await;
    assert_eq!(table.counts().await, [("scheduled", 1)].into(), "but it was seen in time");
    table.after(600).await;
    table.broker.set_state(BrokerState::Open);
    table.poll().await;
    assert_eq!(table.counts().await, [("dispatched", 1)].into());
}

#[tokio::test]
async fn an_edit_takes_effect_at_once_and_dispatches_no_occurrence_twice() {
    let table = Table::new().await;
    table.add("job", every("1h"), |_| {}).await;
    table.after(3600).await;
    testkit::execute(
        &table.tenant.tenant.database_url,
        r#"UPDATE polychron_job SET schedule = '{"every":"20m"}' WHERE name = 'job'"#,
    )
    .await;
    table.poll().await;
    let job = table.tenant.store.find_job("job").await.unwrap().unwrap();
    assert_eq!((job.version, job.schedule_since), (2, Some(table.now().time())));
    assert_eq!(job.next_run_at.unwrap().to_rfc3339(), "2026-11-24T13:20:00+00:00");
    assert_eq!(table.executions().await.len(), 1);
    testkit::execute(&table.tenant.tenant.database_url, "UPDATE polychron_job SET is_enabled = 0")
        .await;
    table.after(7200).await;
    assert_eq!(table.executions().await.len(), 1, "switched off, it does not run");
    testkit::execute(&table.tenant.tenant.database_url, "UPDATE polychron_job SET is_enabled = 1")
        .await;
    table.poll().await;
    assert_eq!(table.executions().await.len(), 1, "switched on, it counts from now");
}

/// A schedule that takes long to evaluate: all its occurrences but the one of 2 January 2100 are left out.
fn expensive() -> Value {
    let odd = (1..=12).flat_map(|month| (1..=31).step_by(2).map(move |day| (month, day)));
    let exists = |(month, day): &(u32, u32)| NaiveDate::from_ymd_opt(2024, *month, *day).is_some();
    let dates: Vec<String> =
        odd.filter(exists).map(|(month, day)| format!("{month:02}-{day:02}")).collect();
    let members = json!([{"cron": "0 0 1-31/2 * *"}, {"cron": "0 0 2 1 *", "years": "2100"}]);
    json!({"any": members, "except": dates})
}

#[tokio::test]
async fn expensive_schedules_are_evaluated_over_several_polls_and_none_is_lost() {
    const JOBS: usize = 10;
    let mut table = Table::at("2099-12-31T12:00:00Z").await;
    // Evaluating takes time by this clock only.
    table.poller.metrics = Metrics::new(Clock::System);
    for n in 0..JOBS {
        let job = NewJob::new(&format!("job-{n}"), "noop", expensive());
        table.tenant.store.insert_job(&job).await.unwrap();
    }
    let mut armed = Vec::new();
    while armed.last() != Some(&JOBS) {
        assert!(armed.len() < JOBS, "no progress: {armed:?}");
        let polled = table.poll_once(None).await;
        assert!(polled.wait <= SOON, "the rest is armed soon");
        let jobs = table.tenant.store.list_jobs("", 100).await.unwrap();
        armed.push(jobs.iter().filter(|job| job.next_run_at.is_some()).count());
    }
    assert!(armed[0] < JOBS, "{armed:?}");

    table.manual.advance(Duration::from_secs(2 * 86_400));
    let (mut dispatched, mut next) = (Vec::new(), None);
    while dispatched.last() != Some(&JOBS) {
        assert!(dispatched.len() < JOBS, "no progress: {dispatched:?}");
        let polled = table.poll_once(next.take()).await;
        assert!(polled.wait <= SOON, "the rest is dispatched soon");
        next = Some(polled.next);
        dispatched.push(table.executions().await.len());
    }
    assert!(dispatched[0] < JOBS, "{dispatched:?}");
    let rows = table.executions().await;
    let jobs: HashSet<_> = rows.iter().map(|row| row.job_id).collect();
    assert_eq!(jobs.len(), JOBS, "each once");
    let due = "2100-01-02T00:00:00Z".parse::<Time>().unwrap();
    assert!(rows.iter().all(|row| row.scheduled_for == due && row.status == Status::Dispatched));
}
