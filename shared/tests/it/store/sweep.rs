//! Confirms of messages, and the sweep of rows that no worker has claimed.

use std::time::Duration;

use chrono::TimeDelta;
use shared::execution::Status;
use shared::store::{DbTime, SentBefore, Unclaimed};
use testkit::TenantDatabase;

use super::{MINUTE, claimed, dispatched, terms};

on_both_stores! {
    a_confirm_is_recorded_but_not_for_a_claimed_row,
    unclaimed_rows_are_found_by_their_last_message,
    the_wait_grows_with_the_number_of_messages,
    the_longest_unclaimed_come_first,
    one_of_two_concurrent_sweeps_wins,
    a_claimed_row_is_not_swept,
    a_sweep_can_be_undone_only_by_its_producer,
}

async fn a_confirm_is_recorded_but_not_for_a_claimed_row(database: TenantDatabase) {
    let store = database.store();
    let claim = claimed(&database, &store, "claimed", "w").await;
    let id = dispatched(&database, &store, "dispatched").await;
    let before = store.find_execution(claim.id).await.unwrap();
    let now = database.advance(Duration::from_secs(1));
    store.mark_published(&[id, claim.id, database.execution_id()], now).await.unwrap();
    assert_eq!(store.find_execution(claim.id).await.unwrap(), before);
    let row = store.find_execution(id).await.unwrap().unwrap();
    assert_eq!((row.published_at, row.publish_count), (Some(now.time()), 1));
    // A claim does not require a confirm.
    assert_eq!(store.claim(&[id], &terms("w"), now).await.unwrap().len(), 1);
    store.mark_published(&[], now).await.unwrap();
}

async fn unclaimed_rows_are_found_by_their_last_message(database: TenantDatabase) {
    let store = database.store();
    let start = database.now();
    let unconfirmed = dispatched(&database, &store, "unconfirmed").await;
    database.advance(Duration::from_secs(1));
    let confirmed = dispatched(&database, &store, "confirmed").await;
    claimed(&database, &store, "claimed", "w").await;
    let published = database.advance(Duration::from_secs(1));
    store.mark_published(&[confirmed], published).await.unwrap();
    let summary = store.poll().await.unwrap();
    assert_eq!(
        (summary.unconfirmed_since, summary.published_since),
        (Some(start.time()), Some(published.time()))
    );
    let (soon, now) = (TimeDelta::microseconds(1), database.now());
    for (unconfirmed_since, published_before, expected) in [
        (start - soon, published - soon, vec![]),
        (start, published - soon, vec![unconfirmed]),
        (start - soon, published, vec![confirmed]),
        (now, now, vec![unconfirmed, confirmed]),
    ] {
        let unclaimed = store
            .read_unclaimed(&sent_before(unconfirmed_since, published_before), 9)
            .await
            .unwrap();
        let ids: Vec<_> = unclaimed.iter().map(|row| row.ready.id).collect();
        assert_eq!(ids, expected);
    }
    let unclaimed = store.read_unclaimed(&sent_before(now, now), 9).await.unwrap();
    let counts: Vec<_> = unclaimed.iter().map(|row| row.publish_count).collect();
    assert_eq!(counts, [0, 1]);
    let ready = &unclaimed[1].ready;
    assert_eq!(
        (ready.name.as_str(), ready.queue.as_str(), ready.attempt),
        ("confirmed", "default", 1)
    );
}

/// The wait before a sweep depends on how often the row was published.
async fn the_wait_grows_with_the_number_of_messages(database: TenantDatabase) {
    let store = database.store();
    let id = dispatched(&database, &store, "a").await;
    let start = database.now();
    store.mark_published(&[id], start).await.unwrap();
    for count in 1..=7 {
        let times = |at: usize| {
            let mut published = [start - MINUTE; 5];
            published[at] = start;
            SentBefore { dispatched: start, published }
        };
        for at in 0..5 {
            let unclaimed = store.read_unclaimed(&times(at), 9).await.unwrap();
            assert_eq!(unclaimed.len(), usize::from(at + 1 == count.min(5)), "{at} after {count}");
        }
        let rows = store.read_unclaimed(&sent_before(start, start), 9).await.unwrap();
        assert_eq!(store.sweep(&rows, start).await.unwrap(), [id]);
    }
}

/// Rows that were swept recently must not hide others.
async fn the_longest_unclaimed_come_first(database: TenantDatabase) {
    let store = database.store();
    let first = dispatched(&database, &store, "first").await;
    let second = dispatched(&database, &store, "second").await;
    let third = dispatched(&database, &store, "third").await;
    for id in [second, third, first] {
        let now = database.advance(Duration::from_secs(1));
        store.mark_published(&[id], now).await.unwrap();
    }
    let now = database.now();
    let unclaimed = store.read_unclaimed(&sent_before(now, now), 2).await.unwrap();
    let ids: Vec<_> = unclaimed.iter().map(|row| row.ready.id).collect();
    assert_eq!(ids, [second, third]);
}

/// The same limit for any number of publishes.
pub(super) fn sent_before(dispatched: DbTime, published: DbTime) -> SentBefore {
    SentBefore { dispatched, published: [published; 5] }
}

async fn unclaimed(database: &TenantDatabase) -> Vec<Unclaimed> {
    let now = database.now();
    database.store().read_unclaimed(&sent_before(now, now), 99).await.unwrap()
}

async fn one_of_two_concurrent_sweeps_wins(database: TenantDatabase) {
    let (one, other) = (database.store(), database.store());
    for n in 0..20 {
        dispatched(&database, &one, &format!("job {n}")).await;
    }
    let rows = unclaimed(&database).await;
    let now = database.advance(Duration::from_secs(5));
    let (ours, theirs) = tokio::join!(one.sweep(&rows, now), other.sweep(&rows, now));
    assert_eq!(ours.unwrap().len() + theirs.unwrap().len(), 20);
    let swept = "SELECT DISTINCT publish_count || ' ' || status FROM polychron_job_execution";
    assert_eq!(database.text(swept).await, "1 dispatched");
    assert_eq!(one.sweep(&rows, now).await.unwrap(), []);
    assert_eq!(one.sweep(&unclaimed(&database).await, now).await.unwrap().len(), 20);
}

async fn a_claimed_row_is_not_swept(database: TenantDatabase) {
    let store = database.store();
    let id = dispatched(&database, &store, "a").await;
    let rows = unclaimed(&database).await;
    store.claim(&[id], &terms("w"), database.now()).await.unwrap();
    assert_eq!(store.sweep(&rows, database.now()).await.unwrap(), []);
    let row = store.find_execution(id).await.unwrap().unwrap();
    assert_eq!((row.status, row.publish_count), (Status::Running, 0));
    assert_eq!(store.sweep(&[], database.now()).await.unwrap(), []);
}

async fn a_sweep_can_be_undone_only_by_its_producer(database: TenantDatabase) {
    let store = database.store();
    let id = dispatched(&database, &store, "a").await;
    store.mark_published(&[id], database.now()).await.unwrap();
    let swept_at = database.advance(Duration::from_secs(60));
    assert_eq!(store.sweep(&unclaimed(&database).await, swept_at).await.unwrap(), [id]);
    let published = async || {
        let row = store.find_execution(id).await.unwrap().unwrap();
        (row.published_at, row.publish_count)
    };
    store.take_back_sweep(&[id], swept_at - MINUTE).await.unwrap();
    assert_eq!(published().await, (Some(swept_at.time()), 2), "another's sweep stays");
    store.take_back_sweep(&[id], swept_at).await.unwrap();
    assert_eq!(published().await, (None, 1));
    store.take_back_sweep(&[id], swept_at).await.unwrap();
    assert_eq!(published().await, (None, 1), "once only");
}
