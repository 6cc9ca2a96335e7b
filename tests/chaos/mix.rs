//! All faults combined: for some minutes a seed decides which processes are killed, suspended, cut off
//! and edited, under a steady load. Then the faults end, and everything must be accounted for.
//!
//! The seed determines the order of events, but not their exact times, which depend on real processes.
//! A failure is therefore reproduced by its log rather than by its seed.

mod faults;
mod load;

use std::time::Duration;

use polychron_tests::{Path, Process, Proxy, System, address_in};
use shared::clock::{BootTime, Clock};
use shared::random::Random;
use shared::store::TenantEdit;

use crate::LEASE;
use crate::account::{Recovery, is_accounted_for};

/// Tenants on PostgreSQL, and in SQLite files.
const TENANTS: (usize, usize) = (17, 3);
/// How many of the tenants are behind a proxy.
const PROXIED: usize = 4;
/// How many producers, and how many consumers.
const SEATS: usize = 3;
/// How long it may take from the end of the faults until nothing is open. The sweeper waits longer for
/// messages that were lost several times.
const QUIET_LIMIT: Duration = Duration::from_secs(20 * 60);

/// A process slot that faults empty and refill.
struct Seat {
    is_producer: bool,
    process: Option<Process>,
    paused: bool,
}

/// How a fault ends.
enum Cure {
    Start(usize),
    Continue(usize),
    Broker,
    Tenant(usize),
    Resume(usize),
}

struct Mix {
    system: System,
    random: Random,
    seats: Vec<Seat>,
    broker: Proxy,
    proxies: Vec<Proxy>,
    /// When each fault ends.
    cures: Vec<(BootTime, Cure)>,
    begun: BootTime,
    faults: usize,
}

fn now() -> BootTime {
    Clock::System.boot_time()
}

impl Mix {
    async fn new(seed: u64) -> Mix {
        let system = System::with_files(TENANTS.0, TENANTS.1).await;
        let broker = Proxy::start(address_in(&system.amqp_url)).await;
        let mut proxies = Vec::new();
        for tenant in &system.tenants[..PROXIED] {
            proxies.push(system.proxy_tenant(tenant).await);
        }
        let random = Random::seeded(seed);
        for tenant in system.tenants.iter().step_by(3) {
            let id = tenant.store.owner().await.unwrap().unwrap();
            let edit = TenantEdit { max_running: Some(Some(2)), ..TenantEdit::default() };
            let now = system.control.now().await.unwrap();
            assert!(system.control.edit_tenant(id, &edit, now).await.unwrap().is_applied());
        }
        let seats =
            (0..2 * SEATS).map(|n| Seat { is_producer: n < SEATS, process: None, paused: false });
        let (seats, cures) = (seats.collect(), Vec::new());
        let mut mix =
            Mix { system, random, seats, broker, proxies, cures, begun: now(), faults: 0 };
        mix.add_jobs().await;
        (0..2 * SEATS).for_each(|seat| mix.start(seat, None));
        mix
    }

    #[expect(clippy::print_stdout, reason = "the course of events is what one needs afterwards")]
    fn note(&self, text: &str) {
        println!("{:>7.1} {text}", (now() - self.begun).as_secs_f64());
    }

    fn below(&self, n: usize) -> usize {
        ((self.random.unit() * n as f64) as usize).min(n - 1)
    }

    /// Starts a process in a seat; it may be armed to die at a failpoint.
    fn start(&mut self, seat: usize, failpoint: Option<&str>) {
        let amqp = self.broker.url(&self.system.amqp_url);
        let mut settings = vec![
            LEASE,
            ("AMQP_URL", amqp.as_str()),
            ("POLYCHRON_LOG", "warn"),
            ("POLYCHRON_POLL_INTERVAL", "10s"),
            ("POLYCHRON_DRAIN_TIMEOUT", "3s"),
        ];
        settings.extend(failpoint.map(|point| ("POLYCHRON_TEST_FAILPOINT", point)));
        let process = match self.seats[seat].is_producer {
            true => self.system.producer(&settings),
            false => self.system.consumer(&settings),
        };
        self.seats[seat].process = Some(process);
        self.seats[seat].paused = false;
        self.note(&format!("seat {seat} starts {}", failpoint.unwrap_or_default()));
    }

    /// Ends the faults whose time is over.
    async fn cure(&mut self, all: bool) {
        let now = now();
        let due = |cure: &mut (BootTime, Cure)| all || cure.0 <= now;
        for (_, cure) in self.cures.extract_if(.., due).collect::<Vec<_>>() {
            match cure {
                Cure::Start(seat) => self.start(seat, None),
                Cure::Continue(seat) => self.go_on(seat),
                Cure::Broker => {
                    self.broker.heal();
                    self.note("the path to the broker is whole");
                }
                Cure::Tenant(which) => {
                    self.proxies[which].heal();
                    self.note(&format!("the path to t{which} is whole"));
                }
                Cure::Resume(which) => self.suspend(which, false).await,
            }
        }
    }

    fn cure_later(&mut self, most_seconds: f64, cure: Cure) {
        let after = Duration::from_secs_f64(0.5 + self.random.unit() * most_seconds);
        self.cures.push((now() + after, cure));
    }

    /// A random fault of a network path.
    fn spoil(&self, proxy: &Proxy) -> String {
        let delay = Path::Delay(Duration::from_millis(300 + self.below(2000) as u64));
        let (to_server, to_client) = match self.below(6) {
            0 => (Path::Blackhole, Path::Blackhole),
            1 => (Path::Pass, Path::Blackhole),
            2 => (Path::Blackhole, Path::Pass),
            3 => (delay, delay),
            4 => {
                proxy.refuse();
                return "refused".to_owned();
            }
            _ => {
                proxy.reset();
                return "reset".to_owned();
            }
        };
        proxy.set(to_server, to_client);
        format!("{to_server:?} {to_client:?}")
    }

    /// Ends the faults, and adds nothing more.
    async fn heal(&mut self) {
        self.cure(true).await;
        for seat in 0..self.seats.len() {
            let running = self.seats[seat].process.as_mut().is_some_and(|it| !it.is_over());
            match running {
                true if self.seats[seat].paused => self.go_on(seat),
                true => {}
                false => self.start(seat, None),
            }
        }
        self.end_load().await;
    }

    /// Waits until nothing is open. If that takes too long, fails with what is.
    async fn quiet(&self) {
        let end = now() + QUIET_LIMIT;
        let mut busy: Vec<&polychron_tests::TestTenant> = self.system.tenants.iter().collect();
        while let Some(tenant) = busy.last() {
            match self.open_rows(tenant).await {
                Some(rows) if rows.is_empty() => {
                    busy.pop();
                }
                rows => {
                    assert!(now() < end, "{} is never done: {rows:#?}", tenant.slug);
                    Clock::System.sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// Runs the mix for this long.
async fn run(seed: u64, length: Duration) {
    let mut mix = Mix::new(seed).await;
    let end = now() + length;
    while now() < end {
        mix.cure(false).await;
        mix.fault().await;
        let pause = Duration::from_secs_f64(0.2 + mix.random.unit() * 2.8);
        Clock::System.sleep(pause.min(end - now())).await;
    }
    mix.heal().await;
    mix.note("faults end");
    let recovery = Recovery::begins();
    mix.quiet().await;
    recovery.ends();
    mix.check_occurrences().await;
    is_accounted_for(&mix.system).await;
}

#[tokio::test]
async fn a_minute_of_everything() {
    run(1, Duration::from_secs(60)).await;
}

#[expect(clippy::disallowed_methods, reason = "seed and length are chosen by the environment")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

#[tokio::test]
#[ignore = "by hand: make chaos-mix MINUTES=… SEED=…"]
async fn minutes_by_hand() {
    run(setting("SEED", 1), Duration::from_secs(60 * setting("MINUTES", 30))).await;
}
