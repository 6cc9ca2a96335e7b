//! Two versions side by side, as during an upgrade or a rollback. `scripts/two-versions` builds the
//! other one and runs this.

use polychron_tests::{Process, System};
use rustix::process::Signal;
use testkit::setting;

use crate::LEASE;
use crate::account::{add_jobs_named, all_succeed};

/// A program of the other version.
fn other(system: &System, program: &str) -> Process {
    let path = format!("{}/{program}", setting("POLYCHRON_TEST_OTHER_PROGRAMS"));
    system.program(&path, &[], &[LEASE])
}

async fn stop(mut process: Process) {
    process.signal(Signal::TERM);
    assert!(process.ended().await.success());
}

#[tokio::test]
#[ignore = "needs the other version's programs: scripts/two-versions COMMIT"]
async fn two_versions_work_side_by_side() {
    const JOBS: usize = 100;
    let system = System::new(2).await;
    let old = [other(&system, "polychron-producer"), other(&system, "polychron-consumer")];
    add_jobs_named(&system, "old", JOBS, 0.05).await;
    all_succeed(&system, JOBS).await;
    let new = [system.producer(&[]), system.consumer(&[LEASE])];
    add_jobs_named(&system, "both", JOBS, 0.05).await;
    all_succeed(&system, 2 * JOBS).await;
    // Each version receives messages of the other.
    let [old_producer, old_consumer] = old;
    let [new_producer, new_consumer] = new;
    stop(old_producer).await;
    stop(new_consumer).await;
    add_jobs_named(&system, "new-to-old", JOBS, 0.05).await;
    all_succeed(&system, 3 * JOBS).await;
    let _new_consumer = system.consumer(&[LEASE]);
    let _old_producer = other(&system, "polychron-producer");
    stop(new_producer).await;
    stop(old_consumer).await;
    add_jobs_named(&system, "old-to-new", JOBS, 0.05).await;
    all_succeed(&system, 4 * JOBS).await;
}
