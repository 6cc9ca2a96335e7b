use super::*;
use serde_json::json;
use shared::clock::ManualClock;
use shared::execution::{Status, Trigger};
use shared::job::OrphanPolicy;
use shared::store::{Connections, Control, NewJob, Schema, Store, migrate};
use shared::tenant::{Tenant, TenantStatus};
use testkit::Folder;

/// Writers, a tenant, and a dispatched row.
async fn fixture(folder: &Folder, clock: Clock) -> (Arc<Writers>, Arc<OpenTenant>, ExecutionId) {
    let random = Random::seeded(1);
    let connections = Connections::new(clock.clone(), 4);
    let (control_url, database_url) =
        (folder.sqlite_database("control.db"), folder.sqlite_database("tenant.db"));
    migrate(&control_url, Schema::Control).await.unwrap();
    migrate(&database_url, Schema::Tenant).await.unwrap();
    let (now, slug) = (clock.wall_time(), "acme".to_owned());
    let id = TenantId::new(now, &random);
    let store = Store::new(id, &database_url, &connections).unwrap();
    assert!(store.set_owner().await.unwrap().is_applied());
    let mut job = NewJob::new("job", "noop", json!({"every": "1h"}));
    job.orphan_policy = OrphanPolicy::Fail;
    store.insert_job(&job).await.unwrap();
    let (row, now) = (ExecutionId::new(now, &random), store.now().await.unwrap());
    assert!(store.run_job("job", row, None, now).await.unwrap().is_applied());
    testkit::execute(&database_url, "UPDATE polychron_job_execution SET status = 'dispatched'")
        .await;
    let control = Control::new(&control_url, &connections).unwrap();
    let tenant = Tenant {
        id,
        name: slug.clone(),
        slug,
        status: TenantStatus::Active,
        database_url,
        schema: None,
        max_running: None,
        created_at: now.time(),
        updated_at: now.time(),
    };
    control.insert_tenant(&tenant).await.unwrap();
    let tenants = Arc::new(Tenants::new(Arc::new(control), connections));
    tenants.refresh().await.unwrap();
    let tenant = tenants.get(id).unwrap();
    let terms = ClaimTerms {
        worker: "w".into(),
        queues: vec!["default".into()],
        lease: Duration::from_secs(60),
        default_timeout: Duration::from_secs(60),
    };
    let metrics = Metrics::new(tenants.clock().clone());
    (Arc::new(Writers::new(tenants, terms, random, metrics)), tenant, row)
}

async fn claim(writers: &Arc<Writers>, tenant: &Arc<OpenTenant>, row: ExecutionId) -> Claim {
    match writers.claim(tenant, row).await.unwrap() {
        Claimed::Yours(claim, _) => *claim,
        Claimed::Refused | Claimed::Failed => panic!("the row could not be claimed"),
    }
}

#[tokio::test]
async fn a_claim_that_is_given_back_has_a_successor_whatever_the_orphan_policy() {
    let folder = Folder::new();
    let (writers, tenant, row) = fixture(&folder, Clock::System).await;
    let claimed = claim(&writers, &tenant, row).await;
    writers.give_back(&tenant, &claimed);
    writers.flushed().await;
    let next = tenant.store.find_last_attempt(row).await.unwrap().unwrap();
    assert_eq!((next.attempt, next.trigger, next.status), (2, Trigger::Rescue, Status::Scheduled));
}

#[tokio::test]
async fn a_result_that_was_committed_without_a_reply_counts_as_recorded() {
    let folder = Folder::new();
    let (writers, tenant, row) = fixture(&folder, Clock::System).await;
    let claimed = claim(&writers, &tenant, row).await;
    let now = tenant.store.now().await.unwrap();
    let request = |maybe_written| {
        let (reply, answer) = oneshot::channel();
        let (attempts, job_type) = (claimed.attempts(), claimed.job_type.clone());
        let (outcome, report) = (Outcome::Success(json!(null)), Report::default());
        let id = row;
        let _unwritten = Unwritten::new(&writers.unwritten_results);
        let request = FinishRequest {
            id,
            attempts,
            job_type,
            outcome,
            report,
            maybe_written,
            reply,
            _unwritten,
        };
        (request, answer)
    };
    for (maybe_written, recorded) in [(false, true), (true, true), (false, false)] {
        let (request, answer) = request(maybe_written);
        assert!(writers.write_finishes(&tenant, vec![request], now).await.0.is_empty());
        let is_recorded = matches!(answer.await.unwrap(), FinishReply::Recorded(_));
        assert_eq!(is_recorded, recorded, "{maybe_written}");
    }
    let other = "UPDATE polychron_job_execution SET worker = 'another'";
    testkit::execute(&tenant.tenant.database_url, other).await;
    let (request, answer) = request(true);
    assert!(writers.write_finishes(&tenant, vec![request], now).await.0.is_empty());
    assert!(matches!(answer.await.unwrap(), FinishReply::NotOurs));
}

#[tokio::test]
async fn a_panic_is_a_failure_of_its_tenant_and_the_next_row_is_written() {
    let folder = Folder::new();
    let (writers, tenant, row) = fixture(&folder, Clock::System).await;
    let claimed = claim(&writers, &tenant, row).await;
    let (outcome, report) = (Outcome::Success(json!(null)), Report::default());
    // Not polled before the panic: this runs on one thread.
    let lost = writers.finish(&tenant, &claimed, outcome.clone(), report.clone());
    writers.survive(&tenant, async { panic!("over what the database said") }).await;
    assert!(tenant.health.reason().is_some());
    assert!(lost.await.is_err(), "whoever waits is told");
    assert_eq!(writers.unwritten_results(), 0);
    let answer = writers.finish(&tenant, &claimed, outcome, report).await.unwrap();
    assert!(matches!(answer, FinishReply::Recorded(_)));
}

#[tokio::test]
async fn a_row_that_is_being_given_back_is_not_claimed_again() {
    let folder = Folder::new();
    let (writers, tenant, row) = fixture(&folder, Clock::System).await;
    let claimed = claim(&writers, &tenant, row).await;
    writers.give_back(&tenant, &claimed);
    let again = writers.claim(&tenant, row).await.unwrap();
    assert!(matches!(again, Claimed::Refused), "its result is not written yet");
}

/// Dispatches another row.
async fn dispatch_another(tenant: &OpenTenant) -> ExecutionId {
    let later = tenant.store.now().await.unwrap() + Duration::from_secs(1);
    let row = ExecutionId::new(later.time(), &Random::seeded(2));
    assert!(tenant.store.run_job("job", row, None, later).await.unwrap().is_applied());
    let url = &tenant.tenant.database_url;
    testkit::execute(url, "UPDATE polychron_job_execution SET status = 'dispatched'").await;
    row
}

/// Lets other tasks run until they wait for something.
async fn let_others_run() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn claims_of_announced_deliveries_are_written_by_one_statement() {
    let folder = Folder::new();
    let (writers, tenant, row) = fixture(&folder, Clock::System).await;
    let other = dispatch_another(&tenant).await;
    let arrivals = [writers.arrivals().announce(), writers.arrivals().announce()];
    let mut replies = Vec::new();
    for (arrival, row) in arrivals.into_iter().zip([row, other]) {
        replies.push(writers.claim(&tenant, row));
        drop(arrival);
        let_others_run().await;
    }
    let mut sent_at = Vec::new();
    for reply in replies {
        let Ok(Claimed::Yours(_, at)) = reply.await else { panic!("the row was not claimed") };
        sent_at.push(at);
    }
    assert_eq!(sent_at[0], sent_at[1]);
}

#[tokio::test]
async fn rows_that_follow_from_one_batch_are_written_together() {
    let folder = Folder::new();
    let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
    let (writers, tenant, row) = fixture(&folder, Clock::Manual(manual.clone())).await;
    let other = dispatch_another(&tenant).await;
    let store = &tenant.store;

    let (first, second) =
        tokio::join!(claim(&writers, &tenant, row), claim(&writers, &tenant, other));
    let success = || Outcome::Success(json!(null));
    let one = writers.finish(&tenant, &first, success(), Report::default());
    let_others_run().await;
    manual.advance(GATHER_LIMIT / 2);
    let two = writers.finish(&tenant, &second, success(), Report::default());
    assert!(matches!(one.await.unwrap(), FinishReply::Recorded(_)));
    assert!(matches!(two.await.unwrap(), FinishReply::Recorded(_)));
    let finished_at = async |row| store.find_last_attempt(row).await.unwrap().unwrap().finished_at;
    assert_eq!(finished_at(row).await, finished_at(other).await);

    // The writer does not wait longer than the limit.
    testkit::eventually("the writer is idle", || async {
        manual.advance(GATHER_LIMIT);
        tokio::time::timeout(Duration::from_millis(5), writers.flushed()).await.ok()
    })
    .await;
}
