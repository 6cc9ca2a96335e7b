//! A tenant's database server is untrusted: whatever it sends costs at most an error for that tenant,
//! a few megabytes and the duration of a statement timeout.

use std::time::{Duration, Instant};

use shared::clock::Clock;
use shared::store::{Connections, Planning, READ_LIMITS_ARE_KEPT, Store, StoreError, chain};
use testkit::{Lie, LyingServer, TenantDatabase};

/// The store's statement timeout (7 s) plus the wait for a connection (3 s), with a margin for a busy
/// machine.
const DURATION_MAX: Duration = Duration::from_secs(15);

/// The peak memory of this process so far, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[expect(clippy::disallowed_methods, reason = "measures the duration of real statements")]
fn clock() -> Instant {
    Instant::now()
}

async fn poll_with(lie: Lie, when_connected: bool) -> StoreError {
    let database = TenantDatabase::postgres().await;
    let server = LyingServer::before(&database.url).await;
    let connections = Connections::new(Clock::Manual(database.clock.clone()), 4);
    let connections = connections.planned(Planning::ByKeys);
    let store = Store::new(database.tenant, &server.url, &connections).unwrap();
    if when_connected {
        store.poll().await.unwrap();
    }
    let (before, began) = (peak(), clock());
    server.tell(Some(lie));
    let error = store.poll().await.unwrap_err();
    assert!(began.elapsed() < DURATION_MAX, "{lie:?} took {:?}", began.elapsed());
    assert!(peak() - before < 64, "{lie:?} took {} MiB", peak() - before);
    server.tell(None);
    store.poll().await.unwrap();
    assert_eq!(connections.count().postgres.0, 1, "{lie:?}: a connection with a lie is not reused");
    error
}

/// The errors of a lie during a statement and while a connection is opened.
async fn both(lie: Lie) -> [StoreError; 2] {
    let errors = tokio::join!(Box::pin(poll_with(lie, true)), Box::pin(poll_with(lie, false)));
    errors.into()
}

#[test]
fn this_build_enforces_the_read_limits() {
    const { assert!(READ_LIMITS_ARE_KEPT) }
}

#[tokio::test]
async fn a_message_over_the_limit_is_rejected_by_its_header() {
    for lie in [Lie::HugeRow, Lie::HugeError, Lie::HugeNotice] {
        for error in both(lie).await {
            let text = chain(&error);
            assert!(matches!(error, StoreError::TooLarge(_)), "{lie:?}: {text}");
            assert!(text.starts_with("the database sends too much: "), "{text}");
            assert!(text.contains("500000001 bytes"), "{text}");
        }
    }
}

#[tokio::test]
async fn endless_messages_are_rejected_at_the_limit_of_a_statement() {
    for lie in [Lie::Notices, Lie::Settings] {
        for error in both(lie).await {
            assert!(matches!(error, StoreError::TooLarge(_)), "{lie:?}: {}", chain(&error));
        }
    }
    for error in both(Lie::Rows).await {
        // Unexpected rows violate the protocol. Others end at the limit, unless an unoptimised build
        // reaches the statement timeout first.
        let ended = matches!(
            error,
            StoreError::Unreachable(_) | StoreError::TooLarge(_) | StoreError::Slow(_)
        );
        assert!(ended, "{}", chain(&error));
    }
}

#[tokio::test]
async fn slow_responses_end_at_the_statement_timeout() {
    for lie in [Lie::Drip, Lie::SlowNotices, Lie::Silence] {
        for error in both(lie).await {
            assert!(matches!(error, StoreError::Slow(_)), "{lie:?}: {}", chain(&error));
        }
    }
}

#[tokio::test]
async fn an_invalid_response_is_an_error_and_not_a_panic() {
    for lie in [Lie::Noise, Lie::Cut] {
        for error in both(lie).await {
            let unusable = matches!(error, StoreError::Unreachable(_) | StoreError::Failed(_));
            assert!(unusable, "{lie:?}: {}", chain(&error));
        }
    }
}

#[tokio::test]
async fn other_tenants_are_served_meanwhile() {
    let (good, bad) = (TenantDatabase::postgres().await, TenantDatabase::postgres().await);
    let server = LyingServer::before(&bad.url).await;
    let connections = Connections::new(Clock::Manual(good.clock.clone()), 4);
    let neighbour = Store::new(good.tenant, &good.url, &connections).unwrap();
    let hostile = Store::new(bad.tenant, &server.url, &connections).unwrap();
    hostile.poll().await.unwrap();
    neighbour.poll().await.unwrap();
    for lie in Lie::ALL {
        server.tell(Some(lie));
        let served = async {
            let mut longest = Duration::ZERO;
            for _ in 0..20 {
                let began = clock();
                neighbour.poll().await.unwrap();
                longest = longest.max(began.elapsed());
            }
            longest
        };
        // Both run on one thread, as in a producer.
        tokio::select! {
            longest = served => assert!(longest < Duration::from_secs(1), "{lie:?}: {longest:?}"),
            () = async { loop { let _ = hostile.poll().await; } } => {}
        }
    }
}
