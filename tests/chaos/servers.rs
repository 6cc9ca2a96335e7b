//! The database server itself goes down.

use polychron_tests::System;
use testkit::restart_postgres;

use crate::LEASE;
use crate::account::{add_jobs, all_succeed};

#[tokio::test]
async fn postgres_is_killed_in_the_middle_of_commits() {
    const JOBS: usize = 300;
    let system = System::new(2).await;
    add_jobs(&system, JOBS, 0.0).await;
    let _running = (system.producer(&[]), system.consumer(&[LEASE]), system.consumer(&[LEASE]));
    testkit::eventually("some are dispatched", || async {
        (!system.tenants[0].executions().await.is_empty()).then_some(())
    })
    .await;
    restart_postgres().await;
    all_succeed(&system, JOBS).await;
}
