//! Pages are notified of changes; the embedded engine serves pages, too.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use shared::clock::Clock;
use testkit::{LyingServer, eventually};

use super::server::Server;
use crate::console::{BOTH, Console};

/// Waits until the answer has begun; reads until an event comes whenever it is called.
fn hear(stream: TcpStream) -> impl FnMut() {
    let mut lines = BufReader::new(stream).lines();
    while !lines.next().expect("a head").unwrap().is_empty() {}
    move || loop {
        let line = lines.next().expect("the stream goes on").unwrap();
        if line == "data: changed" {
            return;
        }
    }
}

#[tokio::test]
async fn a_page_is_notified_of_changes_at_its_tenant() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let server = Server::start(&console);
        let mut first = hear(server.open("GET", "/events?tenant=acme", &[], ""));
        let mut second = hear(server.open("GET", "/events?tenant=acme", &[], ""));
        for _ in 0..2 {
            console.run(&["job", "run", "acme", "a"]).succeeded();
            first();
            second();
        }
        let mut walk = hear(server.open("GET", "/events", &[], ""));
        walk();
        server.get("/events?tenant=nobody").ended(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_that_answer_slowly_delay_no_snapshot_of_others_for_long() {
    const SLOW: usize = 8;
    /// No statement is cancelled for it, but a visit of several takes 20 s.
    const DELAY: Duration = Duration::from_millis(1500);
    /// Four are visited at a time, each for five seconds at most.
    const WALK_MAX: Duration = Duration::from_secs(14);
    let console = Console::with_tenant(BOTH[1]).await;
    let mut servers = Vec::new();
    for n in 0..SLOW {
        let server = LyingServer::before(&console.database("slow").await).await;
        console.add_tenant(&format!("slow-{n}"), &server.url, &[]).succeeded();
        server.delay_statements(DELAY);
        servers.push(server);
    }
    let server = Server::start(&console);
    let mut walk = hear(server.open("GET", "/events", &[], ""));
    walk();
    let began = Clock::System.boot_time();
    walk();
    let took = Clock::System.boot_time() - began;
    assert!(took < WALK_MAX, "{took:?}");
    let page = server.get("/tenants").body;
    assert_eq!(page.matches("did not answer within 5 s").count(), SLOW, "{page}");
}

#[tokio::test]
async fn the_demo_has_a_dashboard_and_goes_on_without_one() {
    let console = Console::bare(BOTH[0]).await;
    let folder = console.folder.path("demo").display().to_string();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let demo = ["demo", "--for", "1s", "--data", &folder];
    let without = console.run(&[&demo[..], &["--listen", &address]].concat()).succeeded();
    without.says(&["There is no dashboard", &address]);
    let unwanted = console.run(&[&demo[..], &["--no-dashboard"]].concat()).succeeded();
    assert!(!unwanted.stderr.contains("ashboard"), "{unwanted:#?}");
}

#[tokio::test]
async fn the_embedded_engine_runs_a_job_at_once_when_a_page_requests_it() {
    let console = Console::with_tenant(BOTH[0]).await;
    console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
    let folder = console.folder.path("").display().to_string();
    let mut command = console.command(&["up", "--data", &folder, "--listen", "127.0.0.1:0"]);
    command.env("POLYCHRON_DIAGNOSTICS", "on").stdout(Stdio::null());
    let server = Server::of(command);
    server.submit("/tenants/acme/job?name=a", "/tenants/acme/job/run?name=a", &[]).ended(303);
    eventually("it has run", || async {
        let rows = server.get("/api/v1/tenants/acme/executions").ended(200).value();
        (rows["items"][0]["status"] == "success").then_some(())
    })
    .await;
    eventually("the consumer shows itself", || async {
        let consumers = server.get("/api/v1/consumers").value();
        (consumers[0]["job_types"].as_array()?.len() > 3).then_some(())
    })
    .await;
    let queues = server.get("/api/v1/queues").value();
    assert_eq!((&queues[0]["queue"], &queues[0]["ready"]), (&"default".into(), &0.into()));
}
