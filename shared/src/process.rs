//! The identity of this process.

use crate::random::Random;

/// A name that is unique to each start, so that a restarted process differs from its predecessor.
pub fn name(random: &Random) -> String {
    let tail: String = random.bytes::<3>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{tail}", host(), id())
}

/// The name of the machine.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The process id.
pub fn id() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}
