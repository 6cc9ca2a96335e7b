//! `polychron tenant …`.

use serde_json::{Value, json};
use shared::database_url::DatabaseUrl;
use shared::store::Schema;

use crate::console::{BOTH, Console};

#[tokio::test]
async fn adding_is_idempotent_and_finishes_what_was_interrupted() {
    for backend in BOTH {
        let console = Console::new(backend).await;
        let url = console.database("acme").await;
        let arguments = ["--name", "Acme Ltd", "--max-running", "7", "-o", "json"];
        let first = console.add_tenant("acme", &url, &arguments).succeeded().json();
        assert_eq!((&first["name"], &first["max_running"]), (&"Acme Ltd".into(), &7.into()));
        assert_eq!(first["problem"], serde_json::Value::Null);
        let again = console.add_tenant("acme", &url, &["-o", "json"]).succeeded().json();
        assert_eq!(again["id"], first["id"]);

        // As after a crash between the two: listed, but not yet the owner of its database.
        assert!(console.store("acme").await.remove_owner().await.unwrap().is_applied());
        let shown = console.run(&["tenant", "show", "acme", "-o", "json"]).succeeded().json();
        assert!(shown["problem"].as_str().unwrap().contains("belongs to no tenant"));
        let finished = console.add_tenant("acme", &url, &["-o", "json"]).succeeded().json();
        assert_eq!((&finished["id"], &finished["problem"]), (&first["id"], &first["problem"]));
    }
}

/// A restored copy has missed runs, retries and one-offs, which would start at once.
#[tokio::test]
async fn a_tenant_that_is_added_suspended_runs_nothing_before_it_is_resumed() {
    for backend in BOTH {
        let console = Console::new(backend).await;
        let url = console.database("acme").await;
        console.add_tenant("original", &url, &[]).succeeded();
        let options = ["--adopt", "--suspended", "-o", "json"];
        let added = console.add_tenant("copy", &url, &options).succeeded().json();
        assert_eq!(added["status"], "suspended");
        console.add_tenant("copy", &url, &options).succeeded();
        console.run(&["tenant", "resume", "copy"]).succeeded();
        console.add_tenant("copy", &url, &options).ended(1).says(&["tenant suspend copy"]);
    }
}

#[tokio::test]
async fn a_database_of_another_tenant_is_refused_without_a_trace_unless_adopted() {
    for backend in BOTH {
        let console = Console::new(backend).await;
        let url = console.database("acme").await;
        console.add_tenant("acme", &url, &[]).succeeded();
        console.add_tenant("other", &url, &[]).ended(1).says(&["belongs to tenant", "--adopt"]);
        console.run(&["tenant", "show", "other"]).ended(3);
        console.add_tenant("other", &url, &["--adopt"]).succeeded();
        console.run(&["job", "list", "other"]).succeeded();
        console.run(&["job", "list", "acme"]).ended(1).says(&["belongs to tenant"]);
        let elsewhere = console.database("elsewhere").await;
        console
            .add_tenant("acme", &elsewhere, &[])
            .ended(1)
            .says(&["is taken", "tenant edit acme"]);
    }
}

#[tokio::test]
async fn invalid_input_is_refused_by_name_and_never_quoted() {
    let console = Console::new(BOTH[0]).await;
    let good: DatabaseUrl = console.database("acme").await;
    for (arguments, input, code, says) in [
        (&["tenant", "add", "Acme"][..], good.expose(), 2, "1 to 63 of a-z"),
        (&["tenant", "add", "-"], good.expose(), 2, "letter or digit"),
        (&["tenant", "add", "acme"], "mysql://us3r:s3cret@h/x", 2, "must begin with postgres://"),
        (&["tenant", "add", "acme"], "", 2, "must begin with postgres://"),
        (
            &["tenant", "add", "acme", "--database-url-file", "/no/such"],
            "",
            2,
            "--database-url-file",
        ),
        (&["tenant", "add", "acme", "--max-running", "0"], good.expose(), 2, "--max-running"),
        (
            &["tenant", "add", "acme"],
            "postgres://us3r:s3cret@127.0.0.1:1/x",
            5,
            "cannot be reached",
        ),
        (&["tenant", "add", "acme"], "postgres://us3r:s3cret@host:many/x", 2, "port"),
        (
            &["tenant", "add", "acme"],
            "postgres://127.0.0.1:1/x?password=s3cret&odd=s3cret",
            5,
            "127.0.0.1:1/x:",
        ),
        (&["tenant", "show", "acme"], "", 3, "tenant list"),
        (&["tenant", "suspend", "acme"], "", 3, "tenant list"),
        (&["tenant", "remove", "acme", "-y"], "", 3, "tenant list"),
        (&["tenant", "edit", "acme"], "", 2, "nothing to change"),
        (&["tenant", "edit", "acme", "--max-running", "some"], "", 2, "--max-running"),
    ] {
        console
            .run_with_input(arguments, input)
            .ended(code)
            .says(&[says])
            .keeps(&["s3cret", "us3r"]);
    }
    assert_eq!(console.run(&["tenant", "list", "-o", "json"]).json(), serde_json::json!([]));
}

#[tokio::test]
async fn a_tenant_is_suspended_resumed_edited_and_removed() {
    for backend in BOTH {
        let mut console = Console::with_tenant(backend).await;
        let tenant =
            |console: &Console| console.run(&["tenant", "show", "acme", "-o", "json"]).json();
        let before = tenant(&console);
        console.run(&["tenant", "suspend", "acme"]).succeeded();
        let suspended = tenant(&console);
        assert_eq!(suspended["status"], "suspended");
        assert!(suspended["updated_at"].as_str() > before["updated_at"].as_str());
        console.run(&["tenant", "suspend", "acme"]).succeeded().says(&["suspended already"]);
        console.run(&["tenant", "resume", "acme"]).succeeded();
        console.run(&["tenant", "edit", "acme", "--max-running", "3", "--name", "A"]).succeeded();
        let edited = tenant(&console);
        assert_eq!((&edited["max_running"], &edited["name"]), (&3.into(), &"A".into()));
        console.run(&["tenant", "edit", "acme", "--max-running", "none"]).succeeded();
        assert!(tenant(&console)["max_running"].is_null());

        console.run(&["tenant", "remove", "acme"]).ended(2).says(&["-y"]);
        let removed = console.run(&["tenant", "remove", "acme", "-y", "-o", "json"]).succeeded();
        assert_eq!(removed.json()["released"], true);
        console.run(&["tenant", "show", "acme"]).ended(3);
        // Its database is free again, and the environment may name it.
        let url = console.database("next").await;
        console.set("TENANT_DATABASE_URL", url.expose());
        console.run(&["tenant", "add", "next"]).succeeded();
    }
}

#[tokio::test]
async fn a_tenant_whose_database_is_gone_can_be_removed_on_purpose() {
    let console = Console::with_tenant(BOTH[0]).await;
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(console.folder.path(&format!("acme.db{ending}")));
    }
    let list = console.run(&["job", "list", "acme"]).ended(5);
    assert!(list.stdout.is_empty());
    console.run(&["tenant", "remove", "acme", "-y"]).ended(5).says(&["--forget"]);
    console.run(&["tenant", "remove", "acme", "-y", "--forget"]).succeeded();
    console.run(&["tenant", "show", "acme"]).ended(3);
}

#[tokio::test]
async fn a_tenant_may_have_a_schema_of_its_own_and_views_by_the_former_names() {
    let console = Console::new(BOTH[1]).await;
    let url = console.database("acme").await;
    let shown = |slug| {
        let shown = console.run(&["tenant", "show", slug, "-o", "json"]).succeeded().json();
        (shown["schema"].clone(), shown["problem"].clone())
    };
    let own = ["--schema", "Our own", "--views"];
    console.add_tenant("acme", &url, &[&own[..], &["--dry-run"]].concat()).succeeded();
    console.run(&["tenant", "show", "acme"]).ended(3);
    for _ in 0..2 {
        console.add_tenant("acme", &url, &own).succeeded();
        assert_eq!(shown("acme"), ("Our own".into(), Value::Null));
    }
    // Another one in the default schema of the same database, which is kept with it.
    console.add_tenant("beside", &url, &[]).succeeded();
    assert_eq!(shown("beside"), ("public".into(), Value::Null));
    console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
    let list = console.run(&["job", "list", "beside", "-o", "json"]).succeeded().json();
    assert_eq!(list, json!([]));
    let view = "DO $$ BEGIN ASSERT (SELECT count(*) FROM \"Our own\".job) = 1; END $$";
    testkit::execute(&url, view).await;
    console
        .add_tenant("acme", &url, &["--schema", "other"])
        .ended(1)
        .says(&["is taken", "--schema"]);
    let audit = console.run(&["tenant", "edit", "acme", "--schema", "no such"]).ended(1);
    audit.says(&["polychron migrate"]);
    console
        .run(&["tenant", "edit", "beside", "--schema", "Our own"])
        .ended(1)
        .says(&["belongs to"]);
    testkit::execute(&url, "CREATE TABLE job (title text)").await;
    let refused = console.run(&["migrate", "--views", "-o", "json"]).ended(4).json();
    let problems: Vec<_> = refused.as_array().unwrap().iter().map(|one| &one["problem"]).collect();
    assert!(problems[1].is_null() && problems[2].as_str().unwrap().contains("called job already"));
    for (name, says) in [("", "63 bytes"), ("pg_ours", "pg_")] {
        console.add_tenant("x", &url, &["--schema", name]).ended(2).says(&[says]);
    }
}

#[tokio::test]
async fn an_sqlite_tenant_has_views_but_no_schema() {
    let console = Console::new(BOTH[0]).await;
    let url = console.database("acme").await;
    console.add_tenant("acme", &url, &["--schema", "ours"]).ended(2).says(&["no schemas"]);
    console.add_tenant("acme", &url, &["--views"]).succeeded();
    let update = testkit::try_execute(&url, "UPDATE job SET name = 'b'").await.unwrap_err();
    assert!(update.to_string().contains("cannot modify job because it is a view"), "{update}");
}

/// Another installation may still be at work there, and would not survive the migration.
#[tokio::test]
async fn a_database_of_another_tenant_is_refused_before_it_is_migrated() {
    for backend in BOTH {
        let console = Console::new(backend).await;
        let url = console.database("acme").await;
        testkit::migrate_to(&url, Schema::Tenant, 3).await;
        let other = "INSERT INTO polychron_identity (tenant_id) VALUES
                     ('00000000-0000-0000-0000-000000000007')";
        testkit::execute(&url, other).await;
        console.add_tenant("acme", &url, &[]).ended(1).says(&["belongs to tenant", "--adopt"]);
        testkit::execute(&url, "SELECT 1 FROM job").await;
        console.add_tenant("acme", &url, &["--adopt"]).succeeded();
    }
}
