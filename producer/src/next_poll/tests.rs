//! One row for each rule.

use std::time::SystemTime;

use chrono::TimeDelta;
use shared::clock::{Clock, ManualClock, Time};
use shared::id::TenantId;
use shared::store::{ChangeToken, Connections, DbTime, PollSummary, Store};
use testkit::Folder;
use uuid::Uuid;

use super::*;
use crate::dispatcher::Remaining::{Burst, FullBatches, More, Nothing, QueuesFull, Unknown};

/// When the poll ends. It began 1 s before.
fn now() -> BootTime {
    boot_time(1_000_000)
}

/// So many milliseconds after booting.
fn boot_time(millis: u64) -> BootTime {
    BootTime::ZERO + Duration::from_millis(millis)
}

fn noon() -> Time {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// A time so many milliseconds after the poll has ended.
fn ahead(millis: i64) -> Option<Time> {
    Some(noon() + TimeDelta::milliseconds(1000 + millis))
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The change token of some file.
fn token() -> ChangeToken {
    let folder = Folder::new();
    let (file, url) = (folder.path("tenant.db"), folder.sqlite_database("tenant.db"));
    std::fs::write(&file, "").unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    std::fs::File::options().append(true).open(file).unwrap().set_modified(long_ago).unwrap();
    let connections = Connections::new(Clock::System, 1);
    let store = Store::new(TenantId(Uuid::from_u128(1)), &url, &connections).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store.change_token()).unwrap()
}

/// The poll of a tenant at rest.
fn at_rest() -> PollFacts {
    let summary = PollSummary {
        tenant_id: TenantId(Uuid::from_u128(1)),
        dispatch_no: 7,
        dispatched: 0,
        running: 0,
        waiting: 0,
        next_available_at: None,
        next_lease_until: None,
        unconfirmed_since: None,
        published_since: None,
        next_due_at: None,
        has_unarmed: false,
    };
    PollFacts {
        began_at: DbTime::shown_by(&ManualClock::new(noon())),
        summary,
        read_at: boot_time(999_000),
        remaining: Nothing,
        is_active: true,
        prune_at: None,
        change_token: None,
    }
}

fn polled(change: impl FnOnce(&mut PollFacts)) -> PollResult {
    let mut facts = at_rest();
    change(&mut facts);
    PollResult::Polled(Box::new(facts))
}

fn summary(change: impl FnOnce(&mut PollSummary)) -> PollResult {
    polled(|facts| change(&mut facts.summary))
}

fn leaving(remaining: Remaining) -> PollResult {
    polled(|facts| facts.remaining = remaining)
}

/// How long until the tenant's database shows a time, when the poll ends.
fn until(time: Time) -> Duration {
    (time - ahead(0).unwrap()).to_std().unwrap_or_default()
}

/// A tenant that is polled every 30 s and probed every 15 s, by itself and without jitter.
fn terms() -> Terms<'static> {
    Terms {
        now: now(),
        until: &until,
        intervals: Intervals { poll: millis(30_000), probe: Some(millis(15_000)), trust: None },
        pauses: Pauses { refill: millis(3), retry: millis(20) },
        waiting_tenants: 1,
        woken: None,
        in_herd: false,
        jitter: 0.0,
    }
}

/// How long until the next poll in milliseconds, what it is skipped by, and the number of the dispatch in
/// the summary that it reuses.
type Planned = (u64, Skip, Option<i64>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Skip {
    Never,
    /// Until when the token is trusted, in seconds.
    Unchanged(Option<u64>),
    /// From when on the tenant is polled although the queues are full, in seconds.
    QueuesFull(u64),
}

fn planned(result: PollResult, terms: &Terms) -> Planned {
    let next = next(result, terms);
    let skip = match next.skip_if {
        None => Skip::Never,
        Some(SkipIf::Unchanged { trusted_until, .. }) => {
            Skip::Unchanged(trusted_until.map(|until| until.since_boot().as_secs()))
        }
        Some(SkipIf::QueuesFull { until }) => Skip::QueuesFull(until.since_boot().as_secs()),
    };
    (next.wait.as_millis() as u64, skip, next.reuse.map(|facts| facts.summary.dispatch_no))
}

fn check(rows: Vec<(&str, PollResult, Planned)>, terms: Terms<'_>) {
    for (rule, result, expected) in rows {
        assert_eq!(planned(result, &terms), expected, "{rule}");
    }
}

const NEVER: Skip = Skip::Never;

#[test]
fn a_poll_that_leaves_work_is_followed_by_another() {
    let rows = vec![
        ("full batches: reuse the summary", leaving(FullBatches), (3, NEVER, Some(8))),
        ("there may be more", leaving(More), (3, NEVER, None)),
        ("a burst: gather", leaving(Burst), (25, NEVER, None)),
        ("nothing by a reused summary: read a new one", leaving(Unknown), (0, NEVER, None)),
    ];
    check(rows, terms());
}

#[test]
fn a_tenant_that_waits_for_capacity_asks_in_turn() {
    let waits = Skip::QueuesFull(1000 + 1);
    check(vec![("for the first time", leaving(QueuesFull), (20, waits, None))], terms());
    let refilled = Terms { pauses: Pauses { refill: millis(50), retry: millis(20) }, ..terms() };
    check(vec![("it was filled just now", leaving(QueuesFull), (50, waits, None))], refilled);
    let many = Terms { waiting_tenants: 1000, ..terms() };
    let waits = Skip::QueuesFull(1000 + 30);
    check(vec![("many tenants ask", leaving(QueuesFull), (2000, waits, None))], many);
}

#[test]
fn a_tenant_that_waits_for_capacity_is_polled_in_turn_although_the_queues_are_full() {
    let waits_until = |result, waiting_tenants| {
        let next = next(result, &Terms { waiting_tenants, ..terms() });
        let Some(SkipIf::QueuesFull { until }) = next.skip_if else { panic!("{next:?}") };
        until - now()
    };
    for (waiting_tenants, expected) in [
        (1, 1000),
        (100, 5000),
        (1_000_000, 30_000), // as long as due jobs are held
    ] {
        let waits = waits_until(leaving(QueuesFull), waiting_tenants);
        assert_eq!(waits, millis(expected), "{waiting_tenants} tenants");
    }
    for (rule, planned, waiting_tenants, expected) in [
        ("more tenants do not delay it", 3000, 100, 3000),
        ("it is due", 0, 100, 0),
        ("fewer tenants have it polled earlier", 3000, 1, 1000),
    ] {
        let until = now() + millis(planned);
        let waits = waits_until(PollResult::Skipped(SkipIf::QueuesFull { until }), waiting_tenants);
        assert_eq!(waits, millis(expected), "{rule}");
    }
    let full = SkipIf::QueuesFull { until: boot_time(1000) };
    assert!(full.may_skip(boot_time(999), until) && !full.may_skip(boot_time(1000), until));
}

#[test]
fn a_tenant_where_nothing_is_due_is_polled_at_its_interval_or_when_something_is() {
    let due = |at| summary(|summary| summary.next_due_at = at);
    let suspended = polled(|facts| {
        facts.is_active = false;
        facts.summary.next_due_at = ahead(2000);
        facts.prune_at = ahead(2000);
    });
    let rows = vec![
        ("at the interval", polled(|_| {}), (29_900, NEVER, None)),
        ("when a job is due, a little early", due(ahead(8000)), (7900, NEVER, None)),
        ("when a job is due soon, exactly", due(ahead(4000)), (4000, NEVER, None)),
        ("what became due during the poll", due(ahead(-500)), (0, NEVER, None)),
        ("a retry", summary(|it| it.next_available_at = ahead(2000)), (2000, NEVER, None)),
        (
            "a lease, after its grace",
            summary(|it| it.next_lease_until = ahead(-3000)),
            (2000, NEVER, None),
        ),
        ("a sweep", summary(|it| it.unconfirmed_since = ahead(-3000)), (2000, NEVER, None)),
        ("pruning", polled(|facts| facts.prune_at = ahead(2000)), (2000, NEVER, None)),
        ("nothing is due while suspended", suspended, (29_900, NEVER, None)),
        ("in progress: dispatched", summary(|it| it.dispatched = 1), (10_000, NEVER, None)),
        ("in progress: waiting", summary(|it| it.waiting = 1), (10_000, NEVER, None)),
        ("overdue", due(ahead(-2000)), (1000, NEVER, None)),
        (
            "a sweep that is overdue waits",
            summary(|it| it.unconfirmed_since = ahead(-9000)),
            (29_900, NEVER, None),
        ),
    ];
    check(rows, terms());
}

#[test]
fn a_burst_and_full_queues_do_not_delay_pruning() {
    let pruning = |remaining| {
        polled(|facts| {
            facts.remaining = remaining;
            facts.prune_at = ahead(10);
        })
    };
    let rows = vec![
        ("a burst", pruning(Burst), (10, NEVER, None)),
        ("full queues", pruning(QueuesFull), (10, Skip::QueuesFull(1001), None)),
        ("more work is more urgent", pruning(More), (3, NEVER, None)),
    ];
    check(rows, terms());
}

#[test]
fn at_rest_an_equal_change_token_replaces_polls() {
    let token = token();
    let with_token = |change: fn(&mut PollFacts)| {
        polled(|facts| {
            facts.change_token = Some(token.clone());
            change(facts);
        })
    };
    let unchanged = |event| {
        let token = token.clone();
        PollResult::Skipped(SkipIf::Unchanged { token, event, trusted_until: None })
    };
    let probed = Skip::Unchanged(None);
    let rows = vec![
        ("at the interval of probes", with_token(|_| {}), (14_900, probed, None)),
        (
            "not while in progress",
            with_token(|facts| facts.summary.dispatched = 1),
            (10_000, NEVER, None),
        ),
        (
            "nor overdue",
            with_token(|facts| facts.summary.next_due_at = ahead(-2000)),
            (1000, NEVER, None),
        ),
        ("unchanged: probe again", unchanged(None), (14_900, probed, None)),
        ("unchanged, and due", unchanged(ahead(6000)), (5900, probed, None)),
    ];
    check(rows, terms());
    let trust = Some(Duration::from_secs(800));
    let overloaded = Terms { intervals: Intervals { trust, ..terms().intervals }, ..terms() };
    let trusted = Skip::Unchanged(Some(1000 + 400));
    check(vec![("trusted for a time", with_token(|_| {}), (14_900, trusted, None))], overloaded);
}

#[test]
fn a_change_token_is_not_trusted_shortly_before_something_is_due_nor_for_ever() {
    for (at, due_in, expected) in [
        (999_999, None, true),
        (999_999, Some(millis(4001)), true),
        (999_999, Some(millis(4000)), false),
        (1_000_000, None, false),
    ] {
        let (event, trusted_until) = (due_in.map(|_| noon()), Some(now()));
        let skip_if = SkipIf::Unchanged { token: token(), event, trusted_until };
        let may_skip = skip_if.may_skip(boot_time(at), |_| due_in.unwrap());
        assert_eq!(may_skip, expected, "{at}, {due_in:?}");
    }
}

#[test]
fn a_failed_poll_is_repeated_later() {
    let rows = vec![
        ("refused", PollResult::Refused, (30_000, NEVER, None)),
        ("panicked", PollResult::Panicked, (30_000, NEVER, None)),
        ("failed", PollResult::Failed(millis(1700)), (1700, NEVER, None)),
    ];
    check(rows, terms());
}

#[test]
fn a_wake_during_the_poll_has_the_tenant_polled_again_soon() {
    let rows = || {
        vec![
            ("at rest", polled(|facts| facts.change_token = Some(token())), (7, NEVER, None)),
            ("full queues", leaving(QueuesFull), (7, NEVER, None)),
            (
                "a summary from before the wake is not reused",
                leaving(FullBatches),
                (3, NEVER, None),
            ),
            ("what is due is not delayed", leaving(Unknown), (0, NEVER, None)),
        ]
    };
    check(rows(), Terms { woken: Some(millis(7)), ..terms() });
    for (_, result, _) in rows() {
        let at_once = planned(result, &Terms { woken: Some(Duration::ZERO), ..terms() });
        assert_eq!(at_once, (0, NEVER, None), "there was no other wake in the last 25 ms");
    }
}

#[test]
fn a_herd_at_rest_is_spread_over_the_whole_interval_and_others_over_a_tenth() {
    let due = || summary(|summary| summary.next_due_at = ahead(8000));
    let rows = vec![
        ("at rest", polled(|_| {}), (14_200, NEVER, None)),
        ("before it is due", due(), (3950, NEVER, None)),
        ("in progress", summary(|summary| summary.dispatched = 1), (10_000, NEVER, None)),
        ("more to do", leaving(More), (3, NEVER, None)),
    ];
    check(rows, Terms { in_herd: true, jitter: 0.5, ..terms() });
    let rows = vec![
        ("at rest", polled(|_| {}), (26_900, NEVER, None)),
        ("what is due is not spread", due(), (7900, NEVER, None)),
    ];
    check(rows, Terms { jitter: 1.0, ..terms() });
}
