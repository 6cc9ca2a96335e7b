//! Concurrent batches over the same rows, in any order, do not deadlock. PostgreSQL would take a
//! second to detect that.

use shared::id::ExecutionId;
use shared::store::{Store, Unclaimed};
use testkit::TenantDatabase;

use super::sweep::sent_before;
use super::{LEASE, dispatched, end, failure, success, terms};

on_both_stores! {
    overlapping_batches_do_not_deadlock,
}

async fn overlapping_batches_do_not_deadlock(database: TenantDatabase) {
    let store = database.store();
    // With a history, PostgreSQL reads the rows in the batch's order, not in the table's.
    super::plans::fill(&database, 10_000, 0).await;
    database.execute("ANALYZE").await;
    let ids = many(&database, &store, "open").await;
    let reversed: Vec<ExecutionId> = ids.iter().rev().copied().collect();
    let now = database.now();
    let unclaimed: Vec<Unclaimed> =
        store.read_unclaimed(&sent_before(now, now), 99).await.unwrap().into_iter().rev().collect();
    let others: Vec<_> = (0..5).map(|_| database.store()).collect();
    for _ in 0..25 {
        let worker = terms("w");
        let (one, other, third, fourth, fifth) = tokio::join!(
            others[0].mark_published(&ids, now),
            others[1].mark_published(&reversed, now),
            others[2].sweep(&unclaimed, now),
            others[3].claim(&ids[..20], &worker, now),
            others[4].claim(&reversed[40..], &worker, now),
        );
        assert!(one.is_ok() && other.is_ok() && third.is_ok() && fourth.is_ok() && fifth.is_ok());
    }
    let claims = store.claim(&ids, &terms("w"), now).await.unwrap();
    let ends: Vec<_> = claims.iter().map(|claim| end(&database, claim, "w", &failure())).collect();
    let backwards: Vec<_> = ends.iter().rev().cloned().collect();
    let backwards_ids: Vec<ExecutionId> = backwards.iter().map(|end| end.id).collect();
    for _ in 0..25 {
        let (one, other, worker) = tokio::join!(
            others[0].heartbeat(&ids, "w", LEASE, now),
            others[1].heartbeat(&backwards_ids, "w", LEASE, now),
            others[2].finish_expired(&backwards[..4], now, now),
        );
        assert!(one.is_ok() && other.is_ok() && worker.is_ok());
    }
    let (one, other) =
        tokio::join!(others[0].finish(&ends, now), others[1].finish(&backwards, now));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), 60);
    // Finishes without a next attempt use another statement.
    let last = many(&database, &store, "last").await;
    let claims = store.claim(&last, &terms("w"), now).await.unwrap();
    let ends: Vec<_> = claims.iter().map(|claim| end(&database, claim, "w", &success())).collect();
    let backwards: Vec<_> = ends.iter().rev().cloned().collect();
    let (one, other) =
        tokio::join!(others[0].finish(&ends, now), others[1].finish(&backwards, now));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), 60);
    if !database.is_sqlite() {
        // Statistics are reported when a session has been idle or ends.
        let deadlocks = "SELECT pg_stat_clear_snapshot()::text || deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(database.text(deadlocks).await, "0");
    }
}

/// Sixty dispatched rows, ordered by id.
async fn many(database: &TenantDatabase, store: &Store, name: &str) -> Vec<ExecutionId> {
    let mut ids = Vec::new();
    for n in 0..60 {
        ids.push(dispatched(database, store, &format!("{name} {n}")).await);
    }
    ids
}
