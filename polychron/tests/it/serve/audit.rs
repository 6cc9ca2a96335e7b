//! Every change is audited, whether by command, page or API.

use serde_json::{Value, json};

use super::server::Server;
use crate::console::{BOTH, Console};

#[tokio::test]
async fn every_change_by_command_page_or_api_is_recorded() {
    for backend in BOTH {
        let mut console = Console::with_tenant(backend).await;
        console.set("USER", "ann");
        let add = ["job", "add", "acme", "a", "--type", "noop", "--every", "1h"];
        console.run(&[&add[..], &["--payload", r#"{"key": "s3cret"}"#]].concat()).succeeded();
        let edit = ["job", "edit", "acme", "a", "--every", "2h", "--payload", r#""s3cret""#];
        console.run(&[&edit[..], &["--reason", "less often"]].concat()).succeeded();
        console.run(&["job", "pause", "acme", "a"]).succeeded();
        console.run(&["job", "pause", "acme", "a"]).succeeded();
        console.run(&["tenant", "suspend", "acme", "--reason", "unpaid"]).succeeded();
        let server = Server::start(&console);
        let job = "/api/v1/tenants/acme/jobs/a";
        server.json("POST", &format!("{job}/resume"), &json!({"reason": "go"})).ended(200);
        server.json("POST", &format!("{job}/run"), &json!({"payload": "s3cret"})).ended(201);
        server.submit("/tenants/acme", "/tenants/acme/resume", &[]).ended(303);
        let stale = ["If-Match: \"1\"", "Content-Type: application/json"];
        server.send("PATCH", job, &stale, r#"{"max_attempts": 1}"#).ended(412);
        let refused = ["If-Match: *", "Content-Type: application/json"];
        server.send("PATCH", job, &refused, r#"{"max_attempts": 101}"#).ended(422);
        console.run(&["job", "delete", "acme", "a", "-y"]).succeeded();

        let answer = server.get("/api/v1/audit?limit=100").ended(200);
        assert!(!answer.body.contains("s3cret"), "{answer:#?}");
        let rows = answer.value()["items"].as_array().unwrap().clone();
        let recorded: Vec<(&str, &str)> = rows
            .iter()
            .rev()
            .map(|row| (row["actor"].as_str().unwrap(), row["action"].as_str().unwrap()))
            .collect();
        assert_eq!(
            recorded,
            [
                ("cli:unknown", "tenant.add"),
                ("cli:ann", "job.add"),
                ("cli:ann", "job.edit"),
                ("cli:ann", "job.pause"),
                ("cli:ann", "tenant.suspend"),
                ("web:loopback", "job.resume"),
                ("web:loopback", "job.run"),
                ("web:loopback", "tenant.resume"),
                ("web:loopback", "job.edit"),
                ("cli:ann", "job.delete"),
            ]
        );
        let row = |at: usize| &rows[rows.len() - 1 - at];
        let edited = row(2);
        assert_eq!((&edited["tenant"], &edited["target"]), (&json!("acme"), &json!("a")));
        assert_eq!(edited["reason"], "less often");
        assert_eq!(edited["before"]["schedule"], json!({"every": "1h"}));
        assert_eq!(edited["after"]["schedule"], json!({"every": "2h"}));
        assert_eq!(row(4)["after"]["status"], "suspended");
        assert_eq!(row(8)["after"], Value::Null, "what was refused did not come about");

        let page = |before: &str| server.get(&format!("/api/v1/audit?limit=4{before}")).value();
        let first = page("");
        let second = page(&format!("&before={}", first["next"].as_str().unwrap()));
        assert_eq!(second["items"][0], rows[4]);
        let of_job = server.get("/api/v1/audit?tenant=acme&target=a").value();
        assert_eq!(of_job["items"].as_array().unwrap().len(), 7);
        server.get("/audit").ended(200).shows(&["not made", "less often", "<del>"]);
    }
}
