//! Changes wake producers, if there is a broker.

use std::time::Duration;

use shared::queue::{Queue, Wake};
use testkit::virtual_host;
use tokio::time::timeout;

use crate::console::{BOTH, Console};

#[tokio::test(flavor = "multi_thread")]
async fn every_change_wakes_the_producers() {
    let mut console = Console::with_tenant(BOTH[0]).await;
    let url = virtual_host().await;
    console.set("AMQP_URL", &url);
    let shown = console.run(&["tenant", "show", "acme", "-o", "json"]).succeeded().json();
    let (mut wakes, driver) = Queue::Rabbit(url.parse().unwrap()).wakes("test");
    tokio::spawn(driver);
    // The first message shows that listening has begun.
    assert_eq!(wakes.next().await, Wake::All);
    let run = |arguments: &[&str]| {
        let arguments = [&["-o", "json"], arguments].concat();
        tokio::task::block_in_place(|| console.run(&arguments)).succeeded().json()
    };
    // One after the other: wakes of one tenant that wait are one.
    let mut is_woken_by = async |arguments: &[&str]| {
        let answer = run(arguments);
        let woken = timeout(Duration::from_secs(30), wakes.next()).await;
        let Ok(Wake::Tenant(tenant)) = woken else { panic!("{arguments:?}: {woken:?}") };
        assert_eq!(Some(tenant.to_string().as_str()), shown["id"].as_str());
        answer
    };
    is_woken_by(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).await;
    let execution = is_woken_by(&["job", "run", "acme", "a"]).await;
    let id = execution["id"].as_str().unwrap();
    for arguments in [
        &["execution", "cancel", "acme", id][..],
        &["execution", "retry", "acme", id],
        &["job", "edit", "acme", "a", "--every", "2h"],
        &["job", "pause", "acme", "a"],
        &["job", "resume", "acme", "a"],
        &["job", "delete", "acme", "a", "-y"],
        &["tenant", "suspend", "acme"],
        &["tenant", "resume", "acme"],
    ] {
        is_woken_by(arguments).await;
    }
}

#[tokio::test]
async fn an_unreachable_broker_causes_neither_delay_nor_warning() {
    let mut console = Console::with_tenant(BOTH[0]).await;
    console.set("AMQP_URL", "amqp://us3r:s3cret@127.0.0.1:1/x");
    let add = ["job", "add", "acme", "a", "--type", "noop", "--every", "1h"];
    let answer = console.run(&add).succeeded().keeps(&["s3cret", "us3r"]);
    assert_eq!(answer.stderr, "");
    console.run(&["job", "pause", "acme", "a", "--log", "debug"]).succeeded().says(&["broker"]);
}
