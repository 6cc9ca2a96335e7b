//! Starts foreign programs, confines them, and kills their whole process tree.
//!
//! A foreign program is never a child of the engine. The engine executes *its own program again* as
//! a launcher ([`answer()`]). The launcher requests a signal for the engine's death, closes inherited
//! descriptors, sets `no_new_privs` and becomes the subreaper of its descendants. Then it starts
//! one program under that program's [`Confinement`] and exits after the last of its processes:
//!
//! ```text
//! engine ──socket──► launcher (supervisor.rs) ──► program ──► whatever that starts
//! ```
//!
//! A process that leaves its session and process group and clears its environment is still found:
//! the kernel reparents orphans to the subreaper.
//!
//! Requests go through the socket, because every user of the machine can read the arguments of a
//! process. [`Launcher`] is the engine's side.
//!
//! All unsafe code of the workspace is in this crate, so it also bounds connections to SQLite files
//! that others wrote ([`bound_sqlite`]).

mod answer;
mod confine;
mod engine;
mod protocol;
mod role;
mod socket;
mod sqlite;
mod supervisor;
mod system;
mod tree;

pub use answer::{answer, make_unreadable, use_program};
pub use engine::{Launch, LaunchError, Launched, Launcher, Running};
pub use protocol::{Confinement, Exit, Files, Landlock, Limit, Start, User};
pub use role::Role;
pub use sqlite::bound_sqlite;
