use futures_util::poll;
use shared::clock::ManualClock;
use shared::random::Random;

use super::*;

fn pool(settings: HandlerCommand, slots: usize) -> (Arc<Pool>, ManualClock) {
    let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
    let (types, hello_received) = (Types::default(), Arc::new(Notify::new()));
    let clock = Clock::Manual(manual.clone());
    let metrics = Metrics::new(clock.clone());
    (Arc::new(Pool::new(0, settings, slots, types, hello_received, clock, metrics)), manual)
}

fn hello(text: &str) -> Hello {
    serde_json::from_str(text).unwrap()
}

/// Starts the next process, whose hello is `offer`. The caller must keep the receiver.
fn started(pool: &Arc<Pool>, offer: &str) -> (ProcessNumber, mpsc::UnboundedReceiver<Request>) {
    let Next::Start(number, requests) = pool.next() else { panic!("no process is needed") };
    assert_eq!(pool.said_hello(number, &hello(offer)), Ok(()));
    (number, requests)
}

fn tenants() -> [TenantId; 2] {
    [1, 2].map(|seed| TenantId::new("2026-11-24T12:00:00Z".parse().unwrap(), &Random::seeded(seed)))
}

const TWO_AT_ONCE: &str = r#"{"protocol":1,"types":["report"],"concurrency":2}"#;
const ONE_AT_ONCE: &str = r#"{"protocol":1,"types":["report"]}"#;

#[tokio::test]
async fn waiting_callers_get_places_strictly_in_order() {
    let settings = HandlerCommand { processes: Some(1), ..HandlerCommand::default() };
    let (pool, _) = pool(settings, 5);
    let _process = started(&pool, TWO_AT_ONCE);
    let [acme, globex] = tenants();
    let first = pool.try_reserve(acme).expect("it is idle");
    let mut theirs = Box::pin(pool.reserve("report", globex));
    assert!(poll!(&mut theirs).is_pending(), "the process holds one tenant's executions only");
    assert!(pool.try_reserve(acme).is_none(), "another tenant has waited for longer");
    let mut second = Box::pin(pool.reserve("report", acme));
    assert!(poll!(&mut second).is_pending());
    drop(first);
    let theirs = theirs.await;
    assert!(poll!(&mut second).is_pending());
    drop(theirs);
    assert!(second.await.is_some());
}

#[tokio::test]
async fn a_cancelled_wait_takes_no_place() {
    let settings = HandlerCommand { processes: Some(1), ..HandlerCommand::default() };
    let (pool, _) = pool(settings, 5);
    let _process = started(&pool, ONE_AT_ONCE);
    let [acme, _] = tenants();
    let place = pool.try_reserve(acme).unwrap();
    let mut given_up = Box::pin(pool.reserve("report", acme));
    assert!(poll!(&mut given_up).is_pending());
    drop(given_up);
    drop(place);
    assert!(pool.try_reserve(acme).is_some());
}

#[tokio::test]
async fn processes_are_started_for_waiting_callers_up_to_the_limit() {
    let (pool, _) = pool(HandlerCommand::default(), 2);
    let (first, _requests) = started(&pool, ONE_AT_ONCE);
    assert!(matches!(pool.next(), Next::Enough));
    let [acme, _] = tenants();
    let _held = pool.try_reserve(acme).unwrap();
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(pool.reserve("report", acme))).collect();
    for wait in &mut waits {
        assert!(poll!(wait).is_pending());
    }
    let _second = started(&pool, ONE_AT_ONCE);
    assert!(poll!(&mut waits[0]).is_ready());
    assert!(matches!(pool.next(), Next::Enough), "there is one process per slot");
    pool.retire(first);
    assert!(matches!(pool.next(), Next::Enough), "its slot is busy");
    pool.exited(first, &End::Stopped, String::new());
    assert!(matches!(pool.next(), Next::Start(..)));
}

#[tokio::test]
async fn processes_with_several_places_are_fewer_than_slots() {
    for (share_tenants, expected) in [(true, 3), (false, 5)] {
        let settings = HandlerCommand { share_tenants, ..HandlerCommand::default() };
        let (pool, _) = pool(settings, 5);
        let mut processes = vec![started(&pool, TWO_AT_ONCE)];
        let tenants = (1..=9).map(|seed| {
            TenantId::new("2026-11-24T12:00:00Z".parse().unwrap(), &Random::seeded(seed))
        });
        let mut waits: Vec<_> =
            tenants.map(|tenant| Box::pin(pool.reserve("report", tenant))).collect();
        let mut held = Vec::new();
        for wait in &mut waits {
            held.push(poll!(wait));
        }
        while let Next::Start(number, requests) = pool.next() {
            assert_eq!(pool.said_hello(number, &hello(TWO_AT_ONCE)), Ok(()));
            processes.push((number, requests));
        }
        // Without sharing, a tenant must not wait for another one's process.
        assert_eq!(processes.len(), expected, "share_tenants: {share_tenants}");
    }
    let (pool, _) = pool(HandlerCommand::default(), 5);
    let _process = started(&pool, TWO_AT_ONCE);
    let [acme, _] = tenants();
    let _held = (pool.try_reserve(acme).unwrap(), pool.try_reserve(acme).unwrap());
    assert!(matches!(pool.next(), Next::Enough), "one process has room for both");
}

#[tokio::test]
async fn new_code_takes_over_once_it_has_said_hello() {
    let (pool, manual) = pool(HandlerCommand::default(), 1);
    let (_, mut old) = started(&pool, ONE_AT_ONCE);
    let [acme, _] = tenants();
    let held = pool.try_reserve(acme).unwrap();
    pool.reload();
    let Next::Start(broken, _requests) = pool.next() else { panic!("new code needs a process") };
    pool.exited(broken, &End::Refused("no hello".into()), "no module".into());
    assert_eq!(
        (pool.status().status, pool.status().last_output.as_str()),
        (HandlerState::NotReady, "no module")
    );
    drop(held);
    let held = pool.try_reserve(acme).expect("the old process still serves");
    assert!(old.try_recv().is_err(), "the old process is not retired");
    let Next::Start(_, _requests) = pool.next() else { panic!("the first failure has no delay") };
    manual.advance(Duration::from_secs(1));
    pool.exited(2, &End::Died("status 1".into()), String::new());
    pool.exited(3, &End::Died("status 1".into()), String::new());
    let Next::At(at) = pool.next() else { panic!("further failures have a delay") };
    manual.advance(at - pool.clock.boot_time());
    let _new = started(&pool, TWO_AT_ONCE);
    assert!(matches!(old.try_recv(), Ok(Request::Retire)));
    assert_eq!(pool.status().status, HandlerState::Ready);
    drop(held);
    assert!(pool.try_reserve(acme).is_some(), "the new process has a place");
}

#[tokio::test]
async fn callers_for_a_type_that_new_code_lacks_stop_waiting() {
    let settings = HandlerCommand { processes: Some(1), ..HandlerCommand::default() };
    let (pool, _) = pool(settings, 5);
    let _old = started(&pool, r#"{"protocol":1,"types":["mail","report"]}"#);
    let [acme, globex] = tenants();
    let held = pool.try_reserve(acme).unwrap();
    let mut mail = Box::pin(pool.reserve("mail", acme));
    let mut report = Box::pin(pool.reserve("report", globex));
    assert!(poll!(&mut mail).is_pending() && poll!(&mut report).is_pending());
    pool.reload();
    let _new = started(&pool, ONE_AT_ONCE);
    assert!(poll!(&mut mail).is_ready(), "no process will ever have a place for it");
    assert!(poll!(&mut report).is_ready(), "it does not wait behind it");
    drop(held);
}

#[tokio::test]
async fn a_command_must_offer_the_types_that_the_operator_names() {
    let types = ["report".to_owned(), "mail".to_owned()].into();
    let (pool, _) = pool(HandlerCommand { types, ..HandlerCommand::default() }, 1);
    let Next::Start(number, _requests) = pool.next() else { panic!("a process is needed") };
    let refused = pool.said_hello(number, &hello(ONE_AT_ONCE)).unwrap_err();
    assert!(refused.contains("does not offer `mail`"), "{refused}");
}
