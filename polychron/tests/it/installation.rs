//! `polychron installation`.

use serde_json::Value;

use crate::console::{Backend, Console};

#[tokio::test]
async fn a_copy_of_the_control_database_is_named_until_it_is_settled_with_its_tenants_suspended() {
    let mut console = Console::with_tenant(Backend::Sqlite).await;
    let connections = shared::store::Connections::new(shared::clock::Clock::System, 1);
    let control = shared::store::Control::new(&console.control, &connections).unwrap();
    control.prove_place().await.unwrap(); // as the first producer does
    drop((control, connections));
    console.run(&["installation", "new", "--yes"]).ended(1).says(&["where it was"]);
    let copy = console.folder.path("copy.db");
    let vacuum = format!("VACUUM INTO '{}'", copy.display());
    testkit::execute(&console.control, &vacuum).await;

    console.set("DATABASE_URL", &format!("sqlite://{}", copy.display()));
    let found = |report: &Value| {
        let findings = report.as_array().unwrap().iter();
        findings.filter(|one| one["finding"].as_str().unwrap().contains("nothing starts")).count()
    };
    let check = ["check", "-o", "json"];
    assert_eq!(found(&console.run(&check).ended(1).json()), 1);
    console.run(&["installation", "new", "--dry-run"]).succeeded();
    assert_eq!(found(&console.run(&check).ended(1).json()), 1);
    console.run(&["installation", "new", "--yes"]).succeeded().says(&["copy.db"]);
    assert_eq!(found(&console.run(&check).json()), 0);
    let tenant = console.run(&["tenant", "show", "acme", "-o", "json"]).succeeded().json();
    assert_eq!(tenant["status"], "suspended");

    // The original has moved to where the copy is not.
    let moved = console.folder.path("moved.db");
    std::fs::copy(console.folder.path("control.db"), &moved).unwrap();
    console.set("DATABASE_URL", &format!("sqlite://{}", moved.display()));
    console.run(&["installation", "moved", "--yes"]).succeeded();
    assert_eq!(found(&console.run(&check).json()), 0);
    let tenant = console.run(&["tenant", "show", "acme", "-o", "json"]).succeeded().json();
    assert_eq!(tenant["status"], "active");
}
