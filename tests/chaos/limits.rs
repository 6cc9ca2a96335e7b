//! A machine or a server runs out of disk space, file descriptors, or time for a statement.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use polychron_tests::System;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use testkit::{Folder, eventually, execute, postgres_server, rabbitmqctl};

use crate::LEASE;
use crate::account::{add_jobs, all_succeed};

/// A small file system in memory. Mounting it requires root, as in CI.
pub(crate) struct SmallDisk {
    folder: Folder,
}

impl SmallDisk {
    /// Mounts one of this many megabytes.
    pub(crate) fn mount(megabytes: u32) -> SmallDisk {
        let disk = SmallDisk { folder: Folder::new() };
        std::fs::create_dir(disk.path()).unwrap();
        // PostgreSQL's user must be able to access it.
        let folder = disk.path().parent().unwrap().to_owned();
        std::fs::set_permissions(folder, Permissions::from_mode(0o711)).unwrap();
        let size = format!("size={megabytes}m,mode=0777");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &disk.path().display().to_string()]);
        disk
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path("disk")
    }

    /// Fills it.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Frees the space again.
    pub(crate) fn relieve(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }

    pub(crate) fn unmount(self) {
        run("umount", &["-l", &self.path().display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Moves a tenant's database to another tablespace, which requires that nothing is connected to it.
async fn move_database(system: &System, tenant: usize, tablespace: &str) {
    let name = system.tenants[tenant].url.expose().rsplit_once('/').unwrap().1.to_owned();
    execute(&postgres_server(), &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        .await;
    eventually("the database has moved", || async {
        let ended = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        execute(&postgres_server(), &ended).await;
        let moved = format!("ALTER DATABASE {name} SET TABLESPACE {tablespace}");
        testkit::try_execute(&postgres_server(), &moved).await.ok()
    })
    .await;
    execute(&postgres_server(), &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
        .await;
}

#[tokio::test]
async fn a_tenants_disk_is_full() {
    const JOBS: usize = 200;
    let system = System::new(2).await;
    let disk = SmallDisk::mount(32);
    let tablespace =
        system.tenants[0].url.expose().rsplit_once('/').unwrap().1.to_owned() + "_small";
    let made = format!("CREATE TABLESPACE {tablespace} LOCATION '{}'", disk.path().display());
    let owned = disk.path().display().to_string();
    run("chown", &["postgres", &owned]);
    execute(&postgres_server(), &made).await;
    add_jobs(&system, JOBS, 0.0).await;
    move_database(&system, 0, &tablespace).await;
    disk.fill();
    let (producer, consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    producer.logged("No space left on device").await;
    eventually("the other tenant's jobs have run", || async {
        let rows = system.tenants[1].executions().await;
        (rows.iter().filter(|row| row.status.is_final()).count() == JOBS).then_some(())
    })
    .await;
    disk.relieve();
    all_succeed(&system, JOBS).await;
    drop((producer, consumer));
    move_database(&system, 0, "pg_default").await;
    execute(&postgres_server(), &format!("DROP TABLESPACE {tablespace}")).await;
    disk.unmount();
}

fn limit_descriptors(pid: u32, most: u64) {
    let limit = Rlimit { current: Some(most), maximum: Some(4096) };
    prlimit(Pid::from_raw(pid as i32), Resource::Nofile, limit).unwrap();
}

fn open_descriptors(pid: u32) -> usize {
    std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).unwrap().count()
}

#[tokio::test]
async fn file_descriptors_run_out() {
    const JOBS: usize = 60;
    let system = System::new(2).await;
    let (producer, consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    consumer.logged("connected to the broker for receiving").await;
    producer.logged("connected to the broker for publishing").await;
    let before = (open_descriptors(producer.pid()), open_descriptors(consumer.pid()));
    for process in [&producer, &consumer] {
        limit_descriptors(process.pid(), 8);
    }
    // Open connections stay open, but a closed one cannot be opened again.
    let vhost = system.amqp_url.rsplit_once('/').unwrap().1;
    rabbitmqctl(&["close_all_connections", "-p", vhost, "chaos"]).await;
    add_jobs(&system, JOBS, 0.0).await;
    producer.logged("Too many open files").await;
    consumer.logged("Too many open files").await;
    for process in [&producer, &consumer] {
        limit_descriptors(process.pid(), 1024);
    }
    all_succeed(&system, JOBS).await;
    let after = (open_descriptors(producer.pid()), open_descriptors(consumer.pid()));
    assert!(after.0 <= before.0 + 12 && after.1 <= before.1 + 12, "{before:?} became {after:?}");
}

#[tokio::test]
async fn every_statement_takes_too_long() {
    const JOBS: usize = 20;
    let system = System::new(2).await;
    let slow = &system.tenants[0];
    add_jobs(&system, JOBS, 0.0).await;
    execute(
        &slow.url,
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(8); RETURN NULL; END';
         CREATE TRIGGER dawdle AFTER UPDATE ON polychron_job_execution EXECUTE FUNCTION dawdle()",
    )
    .await;
    let (producer, _consumer) = (system.producer(&[]), system.consumer(&[LEASE]));
    producer.logged("statement timeout").await;
    // The healthy tenant's jobs run meanwhile; nothing can be written for the other.
    eventually("the other tenant's jobs have run", || async {
        let rows = system.tenants[1].executions().await;
        (rows.iter().filter(|row| row.status.is_final()).count() == JOBS).then_some(())
    })
    .await;
    assert!(slow.executions().await.iter().all(|row| !row.status.is_final()));
    execute(&slow.url, "DROP TRIGGER dawdle ON polychron_job_execution").await;
    all_succeed(&system, JOBS).await;
}
