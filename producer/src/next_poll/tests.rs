//! One row for each rule.

use std::time::SystemTime;

use chrono::TimeDelta;
use shared::clock::{Clock, ManualClock, Time};
use shared::id::TenantId;
use shared::store::{ChangeToken, Connections, DbTime, PollSummary, Store};
use testkit::Folder;
use uuid::Uuid;

use super::*;
use crate::dispatcher::DispatchOutcome::{self, Burst, FullBatch, More, Nothing, QueuesFull};
use crate::poll_result::Moment;
use crate::sweeper::SweepOutcome;

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
        unarmed: false,
    };
    let boot = boot_time(999_000);
    PollFacts {
        polled_at: Moment { db: DbTime::shown_by(&ManualClock::new(noon())), boot },
        read: ReadSummary { summary, read_at: boot },
        is_reused: false,
        is_active: true,
        is_limited: false,
        rescued: 0,
        armed: false,
        notified: false,
        dispatch: Nothing,
        sweep: SweepOutcome::Nothing,
        prune_at: None,
        change_token: None,
        pauses: Pauses { refill: millis(3), retry: millis(20) },
    }
}

fn polled(change: impl FnOnce(&mut PollFacts)) -> PollResult {
    let mut facts = at_rest();
    change(&mut facts);
    PollResult::Polled(Box::new(facts))
}

fn summary(change: impl FnOnce(&mut PollSummary)) -> PollResult {
    polled(|facts| change(&mut facts.read.summary))
}

fn dispatched(outcome: DispatchOutcome) -> PollResult {
    polled(|facts| facts.dispatch = outcome)
}

/// A tenant that is polled every 30 s and probed every 15 s, by itself and without jitter.
fn terms() -> Terms {
    Terms {
        now: now(),
        intervals: Intervals { poll: millis(30_000), probe: millis(15_000), trust: None },
        waiting_tenants: 1,
        woken: false,
        in_herd: false,
        jitter: Jitter { interval: 0.0, herd: 0.5, trust: 0.5 },
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
    /// Since when the queues are full, in seconds.
    QueuesFull(u64),
}

fn planned(result: PollResult, terms: &Terms) -> Planned {
    let next = next(result, terms);
    let skip = match next.skip_if {
        SkipIf::Never => Skip::Never,
        SkipIf::Unchanged(it) => {
            Skip::Unchanged(it.trusted_until.map(|until| until.since_boot().as_secs()))
        }
        SkipIf::QueuesFull { since } => Skip::QueuesFull(since.since_boot().as_secs()),
    };
    (next.wait.as_millis() as u64, skip, next.reuse.map(|read| read.summary.dispatch_no))
}

fn check(rows: Vec<(&str, PollResult, Planned)>, terms: Terms) {
    for (rule, result, expected) in rows {
        assert_eq!(planned(result, &terms), expected, "{rule}");
    }
}

const NEVER: Skip = Skip::Never;

#[test]
fn a_poll_that_leaves_work_is_followed_by_another() {
    let swept = |outcome| polled(|facts| facts.sweep = outcome);
    let limited = polled(|facts| {
        facts.dispatch = FullBatch;
        facts.is_limited = true;
    });
    let full_and_armed = polled(|facts| {
        facts.dispatch = FullBatch;
        facts.armed = true;
    });
    let burst_and_rescued = polled(|facts| {
        facts.dispatch = Burst;
        facts.rescued = 1;
    });
    let reused = |outcome| {
        polled(|facts| {
            facts.dispatch = outcome;
            facts.is_reused = true;
        })
    };
    let rows = vec![
        ("a full batch: reuse the summary", dispatched(FullBatch), (3, NEVER, Some(8))),
        ("a full batch is more urgent than what was armed", full_and_armed, (3, NEVER, Some(8))),
        ("a limit on running rows needs a new summary", limited, (3, NEVER, None)),
        ("some were dispatched", dispatched(More), (3, NEVER, None)),
        ("jobs were armed", polled(|facts| facts.armed = true), (3, NEVER, None)),
        ("rows were rescued", polled(|facts| facts.rescued = 1), (3, NEVER, None)),
        ("a notification was written", polled(|facts| facts.notified = true), (3, NEVER, None)),
        ("there is more to sweep", swept(SweepOutcome::More), (3, NEVER, None)),
        ("a burst: gather", dispatched(Burst), (25, NEVER, None)),
        ("what was rescued is more urgent than to gather", burst_and_rescued, (3, NEVER, None)),
        ("nothing by a reused summary: read a new one", reused(Nothing), (0, NEVER, None)),
        ("a full batch by a reused summary", reused(FullBatch), (3, NEVER, Some(8))),
    ];
    check(rows, terms());
}

#[test]
fn a_tenant_that_waits_for_capacity_asks_in_turn() {
    let waits = Skip::QueuesFull(1000);
    let swept = polled(|facts| facts.sweep = SweepOutcome::QueuesFull);
    let rows = vec![
        ("the dispatch waits", dispatched(QueuesFull), (20, waits, None)),
        ("the sweep waits", swept, (20, waits, None)),
    ];
    check(rows, terms());
    let still = PollResult::QueuesFull(
        boot_time(990_000),
        Pauses { refill: millis(50), retry: millis(20) },
    );
    let rows = vec![("it was not polled since", still, (50, Skip::QueuesFull(990), None))];
    check(rows, terms());
    let many = Terms { waiting_tenants: 1000, ..terms() };
    check(vec![("many tenants ask", dispatched(QueuesFull), (2000, waits, None))], many);
}

#[test]
fn a_tenant_that_waits_for_capacity_is_polled_in_turn_although_the_queues_are_full() {
    for (waited, waiting_tenants, expected) in [
        (999, 1, false),
        (1000, 1, true),
        (4999, 100, false),
        (5000, 100, true),
        (29_999, 1_000_000, false),
        (30_000, 1_000_000, true), // as long as due jobs are held
    ] {
        let polls = polls_although_full(millis(waited), waiting_tenants);
        assert_eq!(polls, expected, "{waited} ms, {waiting_tenants} tenants");
    }
}

#[test]
fn a_tenant_where_nothing_is_due_is_polled_at_its_interval_or_when_something_is() {
    let due = |at| summary(|summary| summary.next_due_at = at);
    let suspended = polled(|facts| {
        facts.is_active = false;
        facts.read.summary.next_due_at = ahead(2000);
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
    let pruning = |outcome| {
        polled(|facts| {
            facts.dispatch = outcome;
            facts.prune_at = ahead(10);
        })
    };
    let rows = vec![
        ("a burst", pruning(Burst), (10, NEVER, None)),
        ("full queues", pruning(QueuesFull), (10, Skip::QueuesFull(1000), None)),
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
    let unchanged = |due_in| {
        let it = Unchanged { token: token.clone(), until: None, trusted_until: None };
        PollResult::Unchanged(it, due_in)
    };
    let probed = Skip::Unchanged(None);
    let rows = vec![
        ("at the interval of probes", with_token(|_| {}), (14_900, probed, None)),
        (
            "not while in progress",
            with_token(|facts| facts.read.summary.dispatched = 1),
            (10_000, NEVER, None),
        ),
        (
            "nor overdue",
            with_token(|facts| facts.read.summary.next_due_at = ahead(-2000)),
            (1000, NEVER, None),
        ),
        ("unchanged: probe again", unchanged(None), (14_900, probed, None)),
        ("unchanged, and due", unchanged(Some(millis(6000))), (5900, probed, None)),
    ];
    check(rows, terms());
    let trust = Some(Duration::from_secs(800));
    let overloaded = Terms { intervals: Intervals { trust, ..terms().intervals }, ..terms() };
    let trusted = Skip::Unchanged(Some(1000 + 600));
    check(vec![("trusted for a time", with_token(|_| {}), (14_900, trusted, None))], overloaded);
}

#[test]
fn a_change_token_is_not_trusted_shortly_before_something_is_due_nor_for_ever() {
    let it = Unchanged { token: token(), until: None, trusted_until: Some(now()) };
    assert!(
        it.may_skip(boot_time(999_999), None)
            && it.may_skip(boot_time(999_999), Some(millis(4001)))
    );
    assert!(!it.may_skip(boot_time(999_999), Some(millis(4000))));
    assert!(!it.may_skip(now(), None));
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
fn a_wake_during_the_poll_has_the_tenant_polled_at_once() {
    let rows = vec![
        ("at rest", polled(|facts| facts.change_token = Some(token())), (0, NEVER, None)),
        ("full queues", dispatched(QueuesFull), (0, NEVER, None)),
        ("a summary from before the wake is not reused", dispatched(FullBatch), (0, NEVER, None)),
    ];
    check(rows, Terms { woken: true, ..terms() });
}

#[test]
fn a_herd_at_rest_is_spread_over_the_whole_interval_and_others_over_a_tenth() {
    let due = || summary(|summary| summary.next_due_at = ahead(8000));
    let rows = vec![
        ("at rest", polled(|_| {}), (14_950, NEVER, None)),
        ("before it is due", due(), (3950, NEVER, None)),
        ("in progress", summary(|summary| summary.dispatched = 1), (10_000, NEVER, None)),
        ("more to do", dispatched(More), (3, NEVER, None)),
    ];
    check(rows, Terms { in_herd: true, ..terms() });
    let jitter = Jitter { interval: 1.0, ..terms().jitter };
    let rows = vec![
        ("at rest", polled(|_| {}), (26_900, NEVER, None)),
        ("what is due is not spread", due(), (7900, NEVER, None)),
    ];
    check(rows, Terms { jitter, ..terms() });
}
