//! What a process is known by.

use crate::random::Random;

/// A name that is new at every start, so that a process is never taken for the one before it.
pub fn name(random: &Random) -> String {
    let tail: String = random.bytes::<3>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{tail}", host(), id())
}

/// The machine it runs on.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Its process id there.
pub fn id() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}
