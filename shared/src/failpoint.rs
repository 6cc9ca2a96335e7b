//! Named points in the code at which a test can kill or block a process. They exist only with the
//! feature `failpoints`, which no release has.
//!
//! `POLYCHRON_TEST_FAILPOINT=after_claim:abort@3` aborts the process when it reaches that point for
//! the third time, like a power failure. With `hold` instead of `abort`, the thread blocks forever.

/// Marks the point `name`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reach(_name: &str) {}

/// Marks the point `name`.
#[cfg(feature = "failpoints")]
pub fn reach(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        name: String,
        hold: bool,
        countdown: AtomicU32,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let text = crate::environment::variable("POLYCHRON_TEST_FAILPOINT")?;
        let (name, action) = text.split_once(':')?;
        let (action, count) = action.split_once('@').unwrap_or((action, "1"));
        let countdown = AtomicU32::new(count.parse().ok()?);
        Some(Armed { name: name.to_owned(), hold: action == "hold", countdown })
    });

    let Some(armed) = ARMED.as_ref().filter(|armed| armed.name == name) else { return };
    if armed.countdown.fetch_sub(1, Ordering::Relaxed) == 1 {
        if armed.hold {
            loop {
                std::thread::park();
            }
        }
        std::process::abort();
    }
}
