//! Decides whether this process is a launcher, and protects it if it is an engine.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::role::Role;
use crate::supervisor;

/// `argv[0]` of a launcher.
pub(crate) const LAUNCHER: &str = "polychron-launcher";

/// This program, or the one that a test names.
static ITSELF: OnceLock<PathBuf> = OnceLock::new();

/// Call this first in `main`. In a process that was started as a launcher, it does the launcher's
/// work and does not return. In any other process it calls [`make_unreadable`] and returns.
///
/// Call it before the process has threads: a launcher with threads refuses to start programs.
pub fn answer(roles: &[Role]) {
    if std::env::args_os().next().is_some_and(|name| name == LAUNCHER) {
        std::process::exit(supervisor::supervise(roles));
    }
    make_unreadable();
    // The link leads to this program even if its file was replaced. A second call changes nothing.
    let _ = ITSELF.set(PathBuf::from("/proc/self/exe"));
}

/// Names the program that launchers run, for processes whose `main` cannot call [`answer`], such as
/// tests. It has no effect after `answer` or a previous call.
pub fn use_program(program: &Path) {
    let _ = ITSELF.set(program.to_path_buf()); // the first one counts
}

/// Prevents other processes of the same user from reading the memory and the environment of this
/// one, which contain passwords. It also disables core dumps.
pub fn make_unreadable() {
    // The kernel rejects only unknown values.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// The program that launchers run, if it is known.
pub(crate) fn itself() -> Option<PathBuf> {
    ITSELF.get().cloned()
}
