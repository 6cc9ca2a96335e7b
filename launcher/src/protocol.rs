//! The protocol between engine and launcher: JSON, one message per line, over a Unix socket. The
//! program's standard descriptors, and its channel if it has one, are attached to the first byte of
//! the request.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Changes with the protocol, because engine and launcher may be different builds.
pub(crate) const VERSION: u32 = 2;
/// The longest request, in bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 << 20;
/// The longest of the other messages, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The engine's first message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub version: u32,
    /// The engine's process id.
    pub parent: i32,
    pub start: Start,
    pub confinement: Confinement,
}

/// What to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Start {
    /// A program.
    Program {
        /// Its absolute path.
        path: PathBuf,
        /// The arguments after its name.
        arguments: Vec<String>,
        /// All of its environment.
        environment: Vec<(String, String)>,
        /// Its working directory.
        folder: PathBuf,
        /// The user it runs as; the engine's user if none is given.
        user: Option<User>,
        /// The environment variable that tells the program the descriptor of a socket to the engine
        /// ([`Launched::channel`](crate::Launched::channel)); `None` if it needs no socket.
        channel: Option<String>,
    },
    /// A function of ours, see [`Role`](crate::Role).
    Role {
        /// Its name.
        name: String,
        /// Its argument.
        argument: String,
    },
}

/// A user that programs run as. The engine needs the privilege to switch to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub user: u32,
    /// Its only group.
    pub group: u32,
}

/// What a program may do. By default everything that its user may do, except gain privileges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Resource limits of each process. A lower hard limit of the engine stays in force.
    pub limits: Vec<(Limit, u64)>,
    /// Whether it may signal only its own process tree. Needs Linux 6.12.
    pub own_signals_only: bool,
    /// Whether it may neither open nor accept TCP connections. Needs Linux 6.7.
    pub no_network: bool,
    /// The only files it may use; `None` means no restriction. Needs Linux 5.13.
    pub files: Option<Files>,
}

/// A limited resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// Processor time, in seconds.
    Cpu,
    /// Size of a file that it writes, in bytes.
    FileBytes,
    /// Open descriptors.
    OpenFiles,
    /// Virtual memory, in bytes.
    AddressSpace,
    /// Size of a core dump, in bytes.
    Core,
}

/// The files and folders that a program may use. Paths that do not exist are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Read and execute, including everything below.
    pub read: Vec<PathBuf>,
    /// Full access, including everything below.
    pub write: Vec<PathBuf>,
    /// A folder that does not exist yet. The launcher creates it for this program, and deletes it
    /// with its content afterwards. If it cannot be created, the program runs without it.
    pub scratch: Option<PathBuf>,
}

/// Messages of the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The program runs.
    Started {
        landlock: Landlock,
        /// Its process id.
        pid: i32,
    },
    /// The program could not be started.
    Refused(String),
    /// The program has exited, and all its descendants are dead.
    Exited(Exit),
}

/// The Landlock support of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Landlock {
    /// None, or disabled. The restrictions of files, network and signals in [`Confinement`] are not
    /// in force.
    Unavailable,
    /// The ABI version: 1 restricts files, 4 the network, 6 signals.
    Available(i32),
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// A signal killed it.
    Signal(i32),
}

/// Later messages of the engine. If the engine closes the socket or dies, the launcher kills the
/// process tree at once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Send SIGTERM to the process tree, and SIGKILL after this time.
    Stop { grace_millis: u64 },
}
