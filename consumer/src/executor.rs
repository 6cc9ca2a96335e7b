//! One attempt: a handler under a deadline, a lease and requests to stop; whatever happens becomes
//! one [`Outcome`].
//!
//! In the life of a job: `worker.rs` claims before this and finishes after it, then `store.rs`.
//!
//! Handlers run on a runtime of their own, so that those which block their thread starve nobody
//! but each other. One that will not stop keeps its slot until it returns; its row is final all
//! the same.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::clock::Clock;
use shared::outcome::Outcome;
use shared::output::Output;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::handler::ErasedHandler;

/// How long a handler has to end by itself once it was told to; then it is aborted.
const ABORT_AFTER: Duration = Duration::from_secs(2);
/// The same for one whose lease was lost.
const ABORT_LOST_AFTER: Duration = Duration::from_millis(200);

/// What may end an attempt before its handler does.
pub(crate) struct Stops {
    /// The longest it may run, from now.
    pub time_left: Duration,
    /// The longest it was allowed to run in all.
    pub limit: Duration,
    /// Somebody asked for its end.
    pub cancel: CancellationToken,
    /// The lease ran out, or the row is somebody else's.
    pub lease_lost: CancellationToken,
    /// The process gives back what runs.
    pub release: CancellationToken,
    /// Who runs it.
    pub worker: String,
}

/// A handler that was told to stop and hasn't yet.
pub(crate) type Lingering = JoinHandle<()>;

/// Runs handlers.
pub(crate) struct Executor {
    handlers: Handle,
    clock: Clock,
}

impl Executor {
    /// Runs them on the given runtime.
    pub(crate) fn new(handlers: Handle, clock: Clock) -> Executor {
        install_panic_hook();
        Executor { handlers, clock }
    }

    /// Runs one attempt to its outcome, and says whether its handler is still busy.
    pub(crate) async fn execute(
        &self,
        handler: Arc<dyn ErasedHandler>,
        payload: String,
        context: Context,
        stops: Stops,
    ) -> (Outcome, Option<Lingering>) {
        let (cancelled, busy) = (context.cancelled.clone(), context.busy.clone());
        let output = context.output.clone();
        let (report, mut reported) = oneshot::channel();
        let mut running = self.handlers.spawn(async move {
            let future = handler.run(payload, context);
            let outcome = CatchPanic { future, output }.await;
            let _ = report.send(outcome); // nobody waits for it after a stop
        });
        let stopped = tokio::select! {
            biased;
            outcome = &mut reported => {
                // If nothing came, the runtime dropped the handler: the process is going down.
                let down = |_| Outcome::Shutdown { worker: stops.worker };
                return (outcome.unwrap_or_else(down), still_busy(busy));
            }
            () = stops.cancel.cancelled() => Outcome::Cancelled,
            () = self.clock.sleep(stops.time_left) => Outcome::Timeout { limit: stops.limit },
            () = stops.lease_lost.cancelled() => Outcome::Lost { worker: stops.worker },
            () = stops.release.cancelled() => Outcome::Shutdown { worker: stops.worker },
        };
        cancelled.cancel();
        // Without its lease, what it still does may be done by somebody else as well.
        let lost = matches!(stopped, Outcome::Lost { .. });
        let abort_after = if lost { ABORT_LOST_AFTER } else { ABORT_AFTER };
        let clock = self.clock.clone();
        let lingering = tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = &mut running => {}
                () = clock.sleep(abort_after) => {
                    running.abort();
                    let _ = running.await; // it holds its thread no more
                }
            }
            // What it left to threads of their own cannot be aborted.
            busy.close();
            busy.wait().await;
        });
        (stopped, Some(lingering))
    }
}

/// What a handler that has returned left to threads of their own.
fn still_busy(busy: TaskTracker) -> Option<Lingering> {
    busy.close();
    (!busy.is_empty()).then(|| tokio::spawn(async move { busy.wait().await }))
}

thread_local! {
    /// Whether this thread is inside a handler's poll.
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    /// Where the panic came from that is now unwinding out of a handler.
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A handler's future whose panic becomes an outcome, and whose log lines its output.
struct CatchPanic {
    future: BoxFuture<'static, Outcome>,
    output: Output,
}

impl Future for CatchPanic {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Outcome> {
        let CatchPanic { future, output } = &mut *self;
        let polled = output.enter(|| catching(|| future.as_mut().poll(context)));
        polled.unwrap_or_else(Poll::Ready)
    }
}

/// Runs a handler's code on this thread.
///
/// # Errors
/// Its panic, as an outcome.
pub(crate) fn catching<T>(code: impl FnOnce() -> T) -> Result<T, Outcome> {
    IN_HANDLER.set(true);
    // Unwind safe: what panicked is never called again.
    let done = catch_unwind(AssertUnwindSafe(code));
    IN_HANDLER.set(false);
    done.map_err(|panic| {
        let detail = PANICKED_AT.take().unwrap_or_default();
        Outcome::Panic { message: panic_message(panic.as_ref()), detail }
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "the handler panicked with something that is no text".to_owned(),
    }
}

/// Keeps a handler's panic and its backtrace for the row, where it belongs, instead of printing
/// it; every other panic goes to the hook that was there before.
fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
            if !IN_HANDLER.get() {
                return before(panic);
            }
            let place = panic.location().map(|place| place.to_string()).unwrap_or_default();
            let backtrace = Backtrace::force_capture();
            PANICKED_AT.set(Some(format!("at {place}\n{backtrace}")));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::{HandlerError, Registry};
    use crate::testing::FakeContext;
    use serde_json::{Value, json};
    use shared::clock::ManualClock;
    use tokio::sync::Notify;

    struct Bench {
        executor: Executor,
        manual: ManualClock,
        stops: Stops,
        context: Context,
    }

    fn bench() -> Bench {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let clock = Clock::Manual(manual.clone());
        let stops = Stops {
            time_left: Duration::from_secs(10),
            limit: Duration::from_secs(10),
            cancel: CancellationToken::new(),
            lease_lost: CancellationToken::new(),
            release: CancellationToken::new(),
            worker: "w".into(),
        };
        let context = FakeContext::new().context();
        Bench { executor: Executor::new(Handle::current(), clock), manual, stops, context }
    }

    fn erased<P, H>(handler: H) -> Arc<dyn ErasedHandler>
    where
        P: serde::de::DeserializeOwned + Send + 'static,
        H: crate::handler::Handler<P>,
    {
        let mut registry = Registry::default();
        registry.insert("test", handler);
        registry.get("test").unwrap()
    }

    async fn never(_: Value, _: Context) -> Result<(), HandlerError> {
        std::future::pending().await
    }

    #[tokio::test]
    async fn a_result_is_a_success_and_a_panic_is_not() {
        let double = |n: u32, _| async move { Ok(json!({"doubled": n * 2})) };
        let Bench { executor, stops, context, .. } = bench();
        let (outcome, lingering) =
            executor.execute(erased(double), "21".into(), context, stops).await;
        assert_eq!(outcome, Outcome::Success(json!({"doubled": 42})));
        assert!(lingering.is_none());

        let panics = |_: Value, _: Context| async move {
            tokio::task::yield_now().await;
            let text = "out of cheese".to_owned();
            if text.len() > 1 {
                panic!("{text}");
            }
            Ok(())
        };
        let Bench { executor, stops, context, .. } = bench();
        let (outcome, _) = executor.execute(erased(panics), "null".into(), context, stops).await;
        let Outcome::Panic { message, detail } = outcome else { panic!("{outcome:?}") };
        assert_eq!(message, "out of cheese");
        assert!(detail.contains("executor.rs") && detail.lines().count() > 5, "{detail}");
    }

    #[tokio::test]
    async fn each_stop_has_its_outcome_and_the_handler_is_aborted() {
        for stop in ["cancel", "deadline", "lease", "release"] {
            let Bench { executor, manual, stops, context } = bench();
            let (cancel, lease, release) =
                (stops.cancel.clone(), stops.lease_lost.clone(), stops.release.clone());
            let told = context.cancelled.clone();
            let mut attempt =
                Box::pin(executor.execute(erased(never), "null".into(), context, stops));
            assert!(futures_util::poll!(&mut attempt).is_pending());
            match stop {
                "cancel" => cancel.cancel(),
                "deadline" => manual.advance(Duration::from_secs(10)),
                "lease" => lease.cancel(),
                _ => release.cancel(),
            }
            let (outcome, lingering) = attempt.await;
            let expected = match stop {
                "cancel" => Outcome::Cancelled,
                "deadline" => Outcome::Timeout { limit: Duration::from_secs(10) },
                "lease" => Outcome::Lost { worker: "w".into() },
                _ => Outcome::Shutdown { worker: "w".into() },
            };
            assert_eq!(outcome, expected);
            assert!(told.is_cancelled());
            let lingering = lingering.unwrap();
            tokio::task::yield_now().await;
            assert!(!lingering.is_finished(), "it has a moment to end by itself");
            tokio::task::yield_now().await;
            manual.advance(ABORT_AFTER);
            lingering.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_blocking_handler_keeps_its_slot_until_it_returns() {
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let mut registry = Registry::default();
        registry.insert_blocking("test", move |_: Value, context: Context| {
            tracing::info!("not seen here");
            context.log("at work");
            let waited = wait.lock().unwrap().recv();
            if context.attempt == 1 { Ok(waited?) } else { panic!("out of luck") }
        });
        let Bench { executor, manual, stops, context } = bench();
        let (cancel, output) = (stops.cancel.clone(), context.output.clone());
        cancel.cancel();
        let blocking = registry.get("test").unwrap();
        let (outcome, lingering) =
            executor.execute(blocking.clone(), "null".into(), context, stops).await;
        assert_eq!(outcome, Outcome::Cancelled);
        let lingering = lingering.unwrap();
        testkit::eventually("the handler works", || async {
            (output.changes() == 1).then_some(())
        })
        .await;
        for _ in 0..20 {
            manual.advance(ABORT_AFTER);
            tokio::task::yield_now().await;
        }
        assert!(!lingering.is_finished(), "aborting does not end a thread");
        go_on.send(()).unwrap();
        lingering.await.unwrap();

        go_on.send(()).unwrap();
        let Bench { executor, stops, mut context, .. } = bench();
        context.attempt = 2;
        let (outcome, _) = executor.execute(blocking, "null".into(), context, stops).await;
        let Outcome::Panic { message, detail } = outcome else { panic!("{outcome:?}") };
        assert!(message == "out of luck" && detail.contains("executor.rs"), "{detail}");
    }

    #[tokio::test]
    async fn a_handler_that_heeds_the_request_ends_by_itself() {
        let done = Arc::new(Notify::new());
        let ended = done.clone();
        let heeds = move |_: Value, context: Context| {
            let ended = ended.clone();
            async move {
                context.cancelled.cancelled().await;
                ended.notify_one();
                Ok(())
            }
        };
        let Bench { executor, stops, context, .. } = bench();
        let cancel = stops.cancel.clone();
        cancel.cancel();
        let (outcome, lingering) =
            executor.execute(erased(heeds), "null".into(), context, stops).await;
        assert_eq!(outcome, Outcome::Cancelled);
        lingering.unwrap().await.unwrap();
        done.notified().await;
    }
}
