//! Limits the warnings of one kind about one tenant, so that no tenant floods the log that all share.
//!
//! The kind is the place in the code. Only Polychron's own warnings and errors are limited, not those of
//! programs that embed it.

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, warn};
use tracing_subscriber::layer::{Context, Filter};

use crate::clock::{BootTime, Clock};
use crate::output::Output;

/// How many lines of one kind are logged about one tenant in each window.
const LINES_MAX: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
/// The target of the lines that say how many were left out, which are not limited themselves.
const REPORT: &str = "flood_limit";
/// How many characters of a line are quoted when others like it were left out.
const QUOTED_MAX: usize = 200;

/// The filter of the layer that writes the log.
pub(super) struct FloodLimit {
    windows: Windows,
    began: Sender<()>,
}

/// Says how many lines were left out, at the end of each window.
pub(super) struct FloodReporter {
    windows: Windows,
    /// Receives a message whenever lines begin to be left out.
    began: Receiver<()>,
}

/// The windows of all kinds and tenants. There are not many of either: a tenant's name is only logged if the
/// control database knows it.
#[derive(Clone)]
struct Windows {
    clock: Clock,
    by_kind: Arc<Mutex<ByKind>>,
}

/// The windows by the place in the code and the tenant.
type ByKind = HashMap<(Identifier, Option<String>), Window>;

struct Window {
    began: BootTime,
    lines: u32,
    left_out: u64,
    /// The first line that was left out.
    quoted: String,
}

pub(super) fn flood_limit(clock: Clock) -> (FloodLimit, FloodReporter) {
    let windows = Windows { clock, by_kind: Arc::default() };
    let (sender, receiver) = mpsc::channel();
    (
        FloodLimit { windows: windows.clone(), began: sender },
        FloodReporter { windows, began: receiver },
    )
}

impl<S> Filter<S> for FloodLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let is_limited =
            *metadata.level() <= Level::WARN && metadata.target().starts_with("polychron");
        !is_limited || self.admits(event)
    }
}

impl FloodLimit {
    fn admits(&self, event: &Event<'_>) -> bool {
        let mut line = Line::default();
        event.record(&mut line);
        let now = self.windows.clock.boot_time();
        let mut windows = self.windows.lock();
        let window = windows
            .entry((event.metadata().callsite(), line.tenant))
            .or_insert_with(|| Window::new(now));
        // The reporter ends a window in which lines were left out.
        if window.left_out == 0 && now - window.began >= WINDOW {
            *window = Window::new(now);
        }
        if window.lines < LINES_MAX {
            window.lines += 1;
            return true;
        }
        if window.left_out == 0 {
            window.quoted = quoted(&line.message);
            // Without a reporter, as in a program that ends, nobody would ever say it.
            if self.began.send(()).is_err() {
                return true;
            }
        }
        window.left_out += 1;
        false
    }
}

/// A line as it is quoted later, when its handler's secrets are not known any more.
fn quoted(message: &str) -> String {
    let message = match Output::current() {
        Some(output) => output.redact(message),
        None => message.to_owned(),
    };
    message.chars().take(QUOTED_MAX).collect()
}

impl FloodReporter {
    /// Reports on a thread of its own for as long as lines are logged.
    pub(super) fn start(self) {
        let run = move || {
            while self.began.recv().is_ok() {
                while let Some(wait) = self.report() {
                    std::thread::sleep(wait);
                }
            }
        };
        // If this fails, the filter leaves out nothing.
        let _ = std::thread::Builder::new().name("flood-reporter".into()).spawn(run);
    }

    /// Reports on the windows that have ended, and returns how long until the next one ends.
    fn report(&self) -> Option<Duration> {
        let now = self.windows.clock.boot_time();
        let (mut ended, mut next) = (Vec::new(), None);
        self.windows.lock().retain(|(_, tenant), window| {
            let left = WINDOW.saturating_sub(now - window.began);
            if left.is_zero() && window.left_out > 0 {
                ended.push((tenant.clone(), window.left_out, std::mem::take(&mut window.quoted)));
            } else if window.left_out > 0 {
                next = Some(next.map_or(left, |next: Duration| next.min(left)));
            }
            !left.is_zero()
        });
        for (tenant, left_out, quoted) in ended {
            let seconds = WINDOW.as_secs();
            warn!(target: REPORT, tenant, "left out {left_out} more like this in the last {seconds} s: {quoted}");
        }
        next
    }
}

impl Windows {
    fn lock(&self) -> MutexGuard<'_, ByKind> {
        self.by_kind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn new(began: BootTime) -> Window {
        Window { began, lines: 0, left_out: 0, quoted: String::new() }
    }
}

/// What a line says, and about which tenant.
#[derive(Default)]
struct Line {
    tenant: Option<String>,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "tenant" => self.tenant = Some(format!("{value:?}")),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "tenant" {
            self.tenant = Some(value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing::{error, info};
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::clock::ManualClock;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        /// The lines since the last call.
        fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    /// Runs `test` with a log, its clock and its reporter.
    fn with_log(test: impl FnOnce(&Lines, &ManualClock, FloodReporter)) {
        let (lines, clock) =
            (Lines::default(), ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap()));
        let (limit, reporter) = flood_limit(Clock::Manual(clock.clone()));
        let written = lines.clone();
        let layer = fmt::layer().without_time().with_target(false).with_ansi(false);
        let layer = layer.with_writer(move || written.clone()).with_filter(limit);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || test(&lines, &clock, reporter));
    }

    fn refuse(tenant: &str) {
        warn!(tenant, "a row of {tenant} was refused");
    }

    #[test]
    fn a_flood_about_one_tenant_leaves_the_lines_of_others_and_says_how_many_it_left_out() {
        with_log(|lines, clock, reporter| {
            for n in 0..1000 {
                refuse("evil");
                if n % 20 == 0 {
                    refuse("good");
                }
            }
            warn!(tenant = "evil", "another kind");
            error!(tenant = "evil", "an error");
            let shown = lines.take();
            let count = |text: &str| shown.iter().filter(|line| line.contains(text)).count();
            assert_eq!((count("of evil was refused"), count("of good was refused")), (60, 50));
            assert_eq!((count("another kind"), count("an error")), (1, 1));

            clock.advance(Duration::from_secs(59));
            assert_eq!(reporter.report(), Some(Duration::from_secs(1)));
            refuse("evil");
            assert!(lines.take().is_empty());
            clock.advance(Duration::from_secs(1));
            assert_eq!(reporter.report(), None);
            let report = " WARN left out 941 more like this in the last 60 s: a row of evil was refused tenant=\"evil\"";
            assert_eq!(lines.take(), [report]);
            refuse("evil");
            assert_eq!(lines.take().len(), 1, "a new window has begun");
        });
    }

    #[test]
    fn a_steady_trickle_information_and_other_programs_lines_are_not_limited() {
        with_log(|lines, clock, reporter| {
            for _ in 0..200 {
                refuse("slow");
                info!(tenant = "slow", "done");
                warn!(target: "a_handler", tenant = "slow", "its own line");
                clock.advance(Duration::from_secs(2));
            }
            assert_eq!(lines.take().len(), 600);
            assert_eq!(reporter.report(), None);
        });
    }

    #[test]
    fn what_a_report_quotes_is_redacted_and_short() {
        with_log(|lines, clock, reporter| {
            let output =
                Output::new(crate::secrets::Redactor::new(&["hunter2-hunter2".to_owned()]));
            let long = "x".repeat(5000);
            for _ in 0..61 {
                output.enter(|| warn!("used hunter2-hunter2 {long}"));
            }
            lines.take();
            clock.advance(WINDOW);
            reporter.report();
            let report = lines.take().remove(0);
            assert!(report.contains("used [secret] xxx") && report.len() < 300, "{report}");
        });
    }

    #[test]
    fn nothing_is_left_out_that_nobody_would_report() {
        with_log(|lines, _, reporter| {
            drop(reporter);
            (0..100).for_each(|_| refuse("evil"));
            assert_eq!(lines.take().len(), 100);
        });
    }
}
