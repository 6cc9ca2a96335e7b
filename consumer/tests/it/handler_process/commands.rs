//! Commands: those that cannot be used, and several at once.

use serde_json::json;
use testkit::eventually;

use super::{how, job, start_with, table};

#[tokio::test]
async fn several_commands_each_have_their_types() {
    let fixture = start_with(&format!("{}{}", table("report mail", ""), table("export", ""))).await;
    for job_type in ["report", "mail", "export", "rust"] {
        let row = fixture.acme.run_job(&job(job_type, json!({}))).await.unwrap();
        assert_eq!(how(&row), "success");
    }
}

#[tokio::test]
async fn only_the_types_that_the_operator_names_are_taken() {
    let fixture = start_with(&table("report mail", "types = ['report']")).await;
    let row = fixture.acme.run_job(&job("report", json!({}))).await.unwrap();
    assert_eq!(how(&row), "success");
    let row = fixture.acme.run_job(&job("mail", json!({}))).await.unwrap();
    assert!(how(&row).starts_with("failed/unknown_type: "), "{}", how(&row));
}

#[tokio::test]
async fn a_command_that_cannot_start_keeps_only_its_own_types_waiting() {
    let folder = testkit::Folder::new();
    let go = folder.path("go");
    let waiting = table(&format!("--hello die-until={} report", go.display()), "");
    let fixture = start_with(&format!("prefetch = 2\n{waiting}{}", table("mail", ""))).await;
    let reports: Vec<_> = (0..6).map(|_| job("report", json!({}))).collect();
    for report in &reports {
        fixture.add(&fixture.acme, report).await;
    }
    for job_type in ["mail", "rust", "mail"] {
        let row = fixture.acme.run_job(&job(job_type, json!({}))).await.unwrap();
        assert_eq!(how(&row), "success", "{job_type} still runs");
    }
    for report in &reports {
        let rows = fixture.acme.executions(&report.name).await.unwrap();
        assert!(rows.iter().all(|row| row.started_at.is_none()), "it waits unclaimed");
    }
    std::fs::write(&go, "").unwrap();
    for report in &reports {
        let row = eventually("the command works now", || async {
            let rows = fixture.acme.executions(&report.name).await.unwrap();
            rows.into_iter().find(|row| row.status.is_final())
        })
        .await;
        assert_eq!((how(&row).as_str(), row.attempt), ("success", 1));
    }
}

#[tokio::test]
async fn a_delivery_that_finds_no_free_process_waits_unclaimed() {
    let fixture = start_with(&table("report", "processes = 1")).await;
    let payload = json!({"wait": fixture.path("go"), "mark": fixture.path("mark")});
    fixture.begin(&job("report", payload)).await;
    let second = job("report", json!({}));
    fixture.add(&fixture.acme, &second).await;
    // The other slots still serve deliveries.
    let row = fixture.acme.run_job(&job("rust", json!(1))).await.unwrap();
    assert_eq!(how(&row), "success");
    let rows = fixture.acme.executions(&second.name).await.unwrap();
    assert!(rows.iter().all(|row| row.started_at.is_none()));
    fixture.touch("go");
    eventually("its turn", || async {
        let rows = fixture.acme.executions(&second.name).await.unwrap();
        rows.into_iter().find(|row| row.status.is_final())
    })
    .await;
}

#[tokio::test]
async fn a_program_whose_types_change_gives_each_process_what_it_offers() {
    let folder = testkit::Folder::new();
    let types = folder.path("types");
    std::fs::write(&types, "report").unwrap();
    let arguments = format!("--hello types-in={}", types.display());
    let fixture = start_with(&table(&arguments, "processes = 2")).await;
    let wait = json!({"wait": fixture.path("go"), "mark": fixture.path("mark")});
    fixture.begin(&job("report", wait.clone())).await;
    std::fs::write(&types, "report mail").unwrap();
    fixture.add(&fixture.acme, &job("report", wait)).await;
    fixture.marked("mark", 2).await;
    let row = fixture.acme.run_job(&job("rust", json!(1))).await.unwrap();
    assert_eq!(how(&row), "success");
    fixture.touch("go");
    let row = fixture.acme.run_job(&job("mail", json!({}))).await.unwrap();
    assert_eq!(how(&row), "success", "in the newer process");
}
