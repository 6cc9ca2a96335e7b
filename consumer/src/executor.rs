//! Runs one attempt's handler until it returns, or the deadline, a lost lease, a request to cancel
//! or a shutdown ends the attempt. The result is always one [`Outcome`].
//!
//! In the life of a job: `worker.rs` claims before this and writes the result after it.
//!
//! Handlers run on a runtime of their own, where a handler that blocks its thread delays only other
//! handlers. One that does not stop keeps its slot until it returns, although its row is final.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::outcome::Outcome;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::handler::ErasedHandler;
use crate::panics::{self, CatchPanic};
use crate::stop::{StopReason, Stops};

/// How long a handler may take to return once it was told to stop; then it is aborted.
const ABORT_AFTER: Duration = Duration::from_secs(2);
/// The same after a lost lease, when another worker may already be starting the next attempt.
const ABORT_LOST_AFTER: Duration = Duration::from_millis(200);

/// A handler that still runs after its attempt has ended; completes when it has returned.
pub(crate) type Lingering = JoinHandle<()>;

/// Runs handlers.
pub(crate) struct Executor {
    handlers: Handle,
    clock: Clock,
}

impl Executor {
    /// Runs handlers on the runtime of `handlers`.
    pub(crate) fn new(handlers: Handle, clock: Clock) -> Executor {
        panics::install_hook();
        Executor { handlers, clock }
    }

    /// Runs one attempt. Returns its outcome, and the handler if that is still running.
    pub(crate) async fn execute(
        &self,
        handler: Arc<dyn ErasedHandler>,
        payload: String,
        context: Context,
        stops: Stops,
    ) -> (Outcome, Option<Lingering>) {
        let (cancelled, blocking) = (context.cancelled.clone(), context.blocking.clone());
        let (output, reason) = (context.output.clone(), context.stopped.clone());
        let (report, mut reported) = oneshot::channel();
        let runtime = if handler.is_ours() { Handle::current() } else { self.handlers.clone() };
        let mut running = runtime.spawn(async move {
            let future = handler.run(payload, context);
            let outcome = CatchPanic { future, output }.await;
            let _ = report.send(outcome); // after a stop nothing receives it
        });
        let stopped = tokio::select! {
            biased;
            outcome = &mut reported => {
                // Without an outcome, the runtime dropped the handler: the process is going down.
                let down = |_| Outcome::Shutdown { worker: stops.worker };
                return (outcome.unwrap_or_else(down), still_blocking(blocking));
            }
            () = stops.signals.cancel.cancelled() => StopReason::Request,
            () = self.clock.sleep(stops.time_left) => StopReason::Timeout,
            () = stops.signals.lost.cancelled() => StopReason::LeaseLost,
            () = stops.release.cancelled() => StopReason::Shutdown,
        };
        let _ = reason.set(stopped); // nothing else sets it
        cancelled.cancel();
        let abort_after = match stopped {
            StopReason::LeaseLost => ABORT_LOST_AFTER,
            StopReason::Request | StopReason::Timeout | StopReason::Shutdown => ABORT_AFTER,
        };
        let outcome = match stopped {
            StopReason::Request => Outcome::Cancelled,
            StopReason::Timeout => Outcome::Timeout { limit: stops.limit },
            StopReason::LeaseLost => Outcome::Lost { worker: stops.worker },
            StopReason::Shutdown => Outcome::Shutdown { worker: stops.worker },
        };
        let clock = self.clock.clone();
        let lingering = tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = &mut running => {}
                () = clock.sleep(abort_after) => {
                    running.abort();
                    let _ = running.await; // returns once its thread is free
                }
            }
            // Threads of its own cannot be aborted.
            blocking.close();
            blocking.wait().await;
        });
        (outcome, Some(lingering))
    }
}

/// The blocking work of a handler that has returned.
fn still_blocking(blocking: TaskTracker) -> Option<Lingering> {
    blocking.close();
    (!blocking.is_empty()).then(|| tokio::spawn(async move { blocking.wait().await }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::HandlerError;
    use crate::handler::Registry;
    use crate::stop::StopSignals;
    use crate::testing::FakeContext;
    use serde_json::{Value, json};
    use shared::clock::ManualClock;
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;

    struct Fixture {
        executor: Executor,
        manual: ManualClock,
        stops: Stops,
        context: Context,
    }

    fn fixture() -> Fixture {
        let manual = ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap());
        let clock = Clock::Manual(manual.clone());
        let stops = Stops {
            time_left: Duration::from_secs(10),
            limit: Duration::from_secs(10),
            signals: StopSignals::default(),
            release: CancellationToken::new(),
            worker: "w".into(),
        };
        let context = FakeContext::new().context();
        Fixture { executor: Executor::new(Handle::current(), clock), manual, stops, context }
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
        let Fixture { executor, stops, context, .. } = fixture();
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
        let Fixture { executor, stops, context, .. } = fixture();
        let (outcome, _) = executor.execute(erased(panics), "null".into(), context, stops).await;
        let Outcome::Panic { message, detail } = outcome else { panic!("{outcome:?}") };
        assert_eq!(message, "out of cheese");
        assert!(detail.contains("executor.rs") && detail.lines().count() > 5, "{detail}");
    }

    #[tokio::test]
    async fn each_stop_has_its_outcome_and_the_handler_is_aborted() {
        for stop in ["cancel", "deadline", "lease", "release"] {
            let Fixture { executor, manual, stops, context } = fixture();
            let (signals, release) = (stops.signals.clone(), stops.release.clone());
            let stop_requested = context.cancelled.clone();
            let mut attempt =
                Box::pin(executor.execute(erased(never), "null".into(), context, stops));
            assert!(futures_util::poll!(&mut attempt).is_pending());
            match stop {
                "cancel" => signals.cancel.cancel(),
                "deadline" => manual.advance(Duration::from_secs(10)),
                "lease" => signals.lost.cancel(),
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
            assert!(stop_requested.is_cancelled());
            let lingering = lingering.unwrap();
            tokio::task::yield_now().await;
            assert!(!lingering.is_finished(), "it may still return by itself");
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
        let Fixture { executor, manual, stops, context } = fixture();
        let (cancel, output) = (stops.signals.cancel.clone(), context.output.clone());
        cancel.cancel();
        let blocking = registry.get("test").unwrap();
        let (outcome, lingering) =
            executor.execute(blocking.clone(), "null".into(), context, stops).await;
        assert_eq!(outcome, Outcome::Cancelled);
        let lingering = lingering.unwrap();
        testkit::eventually("the handler is running", || async {
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
        let Fixture { executor, stops, mut context, .. } = fixture();
        context.attempt = 2;
        let (outcome, _) = executor.execute(blocking, "null".into(), context, stops).await;
        let Outcome::Panic { message, detail } = outcome else { panic!("{outcome:?}") };
        assert!(message == "out of luck" && detail.contains("executor.rs"), "{detail}");
    }

    #[tokio::test]
    async fn a_handler_that_honours_the_request_is_not_aborted() {
        let done = Arc::new(Notify::new());
        let ended = done.clone();
        let honours = move |_: Value, context: Context| {
            let ended = ended.clone();
            async move {
                context.cancelled.cancelled().await;
                ended.notify_one();
                Ok(())
            }
        };
        let Fixture { executor, stops, context, .. } = fixture();
        let cancel = stops.signals.cancel.clone();
        cancel.cancel();
        let (outcome, lingering) =
            executor.execute(erased(honours), "null".into(), context, stops).await;
        assert_eq!(outcome, Outcome::Cancelled);
        lingering.unwrap().await.unwrap();
        done.notified().await;
    }
}
