//! Manual runs and `polychron execution …`.

use std::time::Duration;

use serde_json::{Value, json};
use shared::execution::{ErrorKind, Status, Trigger};
use shared::id::ExecutionId;
use shared::outcome::{Failure, Outcome};
use shared::output::Report;
use shared::random::Random;
use shared::store::{
    ClaimTerms, DbTime, Dispatch, Dispatched, ExecutionFilter, Finish, NextRow, Store,
};
use testkit::eventually;

use crate::console::{BOTH, Console};

#[tokio::test]
async fn what_has_not_started_is_cancelled_at_once_and_what_is_over_can_be_run_again() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        let add = ["job", "add", "acme", "a", "--type", "noop", "--every", "1h", "--disabled"];
        console.run(&add).succeeded();
        let run = ["job", "run", "acme", "a", "--payload", r#"{"n": 1}"#, "-o", "json"];
        let run = console.run(&run).succeeded().json();
        assert_eq!((&run["trigger"], &run["status"]), (&"manual".into(), &"scheduled".into()));
        let id = run["id"].as_str().unwrap();
        console
            .run(&["execution", "retry", "acme", id])
            .ended(1)
            .says(&["only an execution that has ended"]);
        let cancelled = console.run(&["execution", "cancel", "acme", id, "-o", "json"]).succeeded();
        assert_eq!(cancelled.json()["status"], "cancelled");
        console.run(&["execution", "cancel", "acme", id]).ended(1).says(&["already"]);
        let again =
            console.run(&["execution", "retry", "acme", id, "-o", "jsonl"]).succeeded().json();
        assert_eq!((&again["payload"], &again["attempt"]), (&json!({"n": 1}), &1.into()));
        assert_ne!(again["id"], run["id"]);

        let list = |flags: &[&str]| -> Vec<Value> {
            let arguments = [&["execution", "list", "acme", "-o", "json"], flags].concat();
            let listed = console.run(&arguments).succeeded().json();
            listed.as_array().unwrap().iter().map(|row| row["id"].clone()).collect()
        };
        let (new, old) = (again["id"].clone(), run["id"].clone());
        assert_eq!(list(&[]), [new.clone(), old.clone()]);
        assert_eq!(list(&["--limit", "1"]), std::slice::from_ref(&new));
        assert_eq!(list(&["--before", new.as_str().unwrap()]), std::slice::from_ref(&old));
        assert_eq!(list(&["--status", "cancelled", "--job", "a"]), [old]);

        let deleted = console.run(&["job", "delete", "acme", "a", "-y", "-o", "json"]).succeeded();
        assert_eq!(deleted.json()["open_executions"], 1);
        assert_eq!(list(&["--status", "cancelled"]).len(), 2);
        console.run(&["execution", "retry", "acme", id]).ended(1).says(&["was deleted"]);
    }
}

#[tokio::test]
async fn missing_and_misspelt_arguments_are_refused() {
    let console = Console::with_tenant(BOTH[0]).await;
    let none = "01934b7e-0000-7000-8000-0000000000ff";
    for (arguments, code) in [
        (&["show", "acme", none][..], 3),
        (&["cancel", "acme", none], 3),
        (&["retry", "acme", none], 3),
        (&["show", "acme", "x"], 2),
        (&["list", "acme", "--status", "done"], 2),
        (&["list", "acme", "--limit", "0"], 2),
        (&["list", "acme", "--job", "none"], 3),
        (&["list", "nobody"], 3),
    ] {
        console.run(&[&["execution"], arguments].concat()).ended(code);
    }
}

#[tokio::test]
async fn a_running_execution_is_only_asked_to_end() {
    for backend in BOTH {
        let console = Console::with_tenant(backend).await;
        console.run(&["job", "add", "acme", "a", "--type", "noop", "--every", "1h"]).succeeded();
        let run = console.run(&["job", "run", "acme", "a", "-o", "json"]).succeeded().json();
        let id: ExecutionId = run["id"].as_str().unwrap().parse().unwrap();
        let store = console.store("acme").await;
        start(&store, id).await;
        let cancel = ["execution", "cancel", "acme", &id.to_string(), "-o", "json"];
        let cancelled = console.run(&cancel).succeeded().says(&["heartbeat"]).json();
        assert_eq!(
            (&cancelled["status"], &cancelled["cancel_requested"]),
            (&"running".into(), &true.into())
        );
    }
}

#[tokio::test]
async fn waiting_ends_with_the_run_and_shows_its_result() {
    for backend in BOTH {
        let failure = |retry| {
            let message = "no luck".to_owned();
            Outcome::Failure(Failure { message, detail: None, retry, retry_after: None })
        };
        let success = Outcome::Success(json!({"done": true}));
        for (outcomes, code) in [
            (vec![success.clone()], 0),
            (vec![failure(false)], 1),
            (vec![failure(true), success.clone()], 0),
            (vec![failure(true), failure(true)], 1),
        ] {
            let console = Console::with_tenant(backend).await;
            let add = ["job", "add", "acme", "a", "--type", "noop", "--every", "1h"];
            console.run(&add).succeeded();
            let store = console.store("acme").await;
            let waiting = tokio::task::spawn_blocking(move || {
                let answer = console.run(&["job", "run", "acme", "a", "--wait", "-o", "json"]);
                (console, answer)
            });
            let id = eventually("the manual run's row", || async {
                let rows = store.list_executions(&ExecutionFilter::default(), 1).await.unwrap();
                rows.first().map(|row| row.id)
            })
            .await;
            run_to_its_end(&store, id, &outcomes).await;
            let (_console, answer) = waiting.await.unwrap();
            let shown = answer.ended(code).json();
            let expected = if code == 0 { Status::Success } else { Status::Failed };
            assert_eq!(shown["status"], expected.as_str());
            assert_eq!(shown["attempt"], outcomes.len());
            let kind = (code != 0).then_some(ErrorKind::Handler.as_str());
            assert_eq!(shown["error_kind"].as_str(), kind);
        }
    }
}

/// Acts as the engine: a first attempt that fails, and a second that succeeds.
pub(crate) async fn fail_and_succeed(store: &Store, first: ExecutionId) {
    let failure =
        Failure { message: "no luck".to_owned(), detail: None, retry: true, retry_after: None };
    let outcomes = [Outcome::Failure(failure), Outcome::Success(json!(null))];
    run_to_its_end(store, first, &outcomes).await;
}

/// Acts as the engine: one attempt for each outcome.
async fn run_to_its_end(store: &Store, first: ExecutionId, outcomes: &[Outcome]) {
    let mut id = first;
    for (at, outcome) in outcomes.iter().enumerate() {
        let now = start(store, id).await + Duration::from_millis(1);
        let is_last = at + 1 == outcomes.len();
        let next = (!is_last).then(|| NextRow {
            id: ExecutionId::new(now.time(), &Random::system()),
            trigger: Trigger::Retry,
            available_at: now.time(),
        });
        let (worker, ending) = ("w".to_owned(), outcome.ending());
        let end =
            Finish { id, worker, ending, report: Report::default(), next, notification: None };
        assert_eq!(store.finish(&[end], now).await.unwrap().len(), 1);
        id = next.map_or(id, |next| next.id);
    }
}

/// Dispatches and claims an execution, as producer and consumer would. Returns when it started.
async fn start(store: &Store, id: ExecutionId) -> DbTime {
    let summary = store.poll().await.unwrap();
    let now = store.now().await.unwrap();
    let dispatch = Dispatch { released: vec![id], ..Dispatch::default() };
    let dispatched = store.dispatch(&dispatch, summary.dispatch_no, now).await.unwrap();
    assert_eq!(dispatched, Dispatched::Done(vec![id]));
    let terms = ClaimTerms {
        worker: "w".to_owned(),
        queues: vec!["default".to_owned()],
        lease: Duration::from_secs(60),
        default_timeout: Duration::from_secs(60),
    };
    assert_eq!(store.claim(&[id], &terms, now).await.unwrap().len(), 1);
    now
}
