//! Turns a handler's panic into an outcome with its message and backtrace.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use shared::outcome::Outcome;
use shared::output::Output;

thread_local! {
    /// Whether this thread is running a handler's code.
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
    /// The location and backtrace of the panic that is unwinding out of a handler.
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Polls a handler's future: a panic becomes its outcome, and log lines go to its output.
pub(crate) struct CatchPanic {
    pub(crate) future: BoxFuture<'static, Outcome>,
    pub(crate) output: Output,
}

impl Future for CatchPanic {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
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
    // Unwind safe: code that panicked is never called again.
    let done = catch_unwind(AssertUnwindSafe(code));
    IN_HANDLER.set(false);
    done.map_err(|panic| {
        let detail = PANICKED_AT.take().unwrap_or_default();
        Outcome::Panic { message: message(panic.as_ref()), detail }
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "the handler panicked with a value that is not text".to_owned(),
    }
}

/// Keeps a handler's panic message and backtrace for its row instead of printing them. Other panics
/// go to the hook that was installed before.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
            if !IN_HANDLER.get() {
                return before(panic);
            }
            let location =
                panic.location().map(|location| location.to_string()).unwrap_or_default();
            let backtrace = Backtrace::force_capture();
            PANICKED_AT.set(Some(format!("at {location}\n{backtrace}")));
        }));
    });
}
