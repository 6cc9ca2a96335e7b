//! The engine's side: starts a program through a launcher, waits for it, stops it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::answer::{LAUNCHER, itself, make_unreadable};
use crate::protocol::{
    Confinement, Exit, Landlock, MESSAGE_BYTES_MAX, Order, Reply, Request, Start, VERSION,
};

/// Starts programs through launchers.
#[derive(Clone, Debug)]
pub struct Launcher {
    fallback: Option<PathBuf>,
}

/// A program and its restrictions.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What to run.
    pub start: Start,
    /// Its restrictions.
    pub confinement: Confinement,
}

/// Why a program could not be started, or its exit is unknown.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The running program cannot be a launcher, and no other was found.
    #[error(
        "no launcher: this program's main does not begin with `polychron_consumer::answer()`, \
         POLYCHRON_LAUNCHER is not set, and there is no `polychron` on the PATH"
    )]
    NoLauncher,
    /// The launcher could not be executed.
    #[error("the launcher {} cannot be started: {error}", program.display())]
    NotStarted {
        /// The program that was to be the launcher.
        program: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The launcher could not start the program.
    #[error("{0}")]
    Refused(String),
    /// The launcher exited without a report.
    #[error("the launcher was killed, or is not one of Polychron's programs")]
    Lost,
    /// A socket or a pipe could not be created.
    #[error("the connection to a launcher failed: {0}")]
    Io(#[from] io::Error),
}

/// A running program.
pub struct Launched {
    /// Its standard input.
    pub input: Sender,
    /// Its standard output.
    pub output: Receiver,
    /// Its standard errors.
    pub errors: Receiver,
    /// The socket to it, if [`Start::Program`] names a variable for its descriptor.
    pub channel: Option<UnixStream>,
    /// Its process id.
    pub pid: i32,
    /// Tells which of the requested restrictions are in force.
    pub landlock: Landlock,
    /// Waits for it and stops it.
    pub running: Running,
}

/// Control of a running program. Dropping it kills the program and its descendants.
pub struct Running {
    control: UnixStream,
    unread: Vec<u8>,
    /// Tokio reaps it, even if this is dropped first.
    _launcher: Child,
}

impl Launcher {
    /// Uses the running program as the launcher if its `main` calls [`answer`](crate::answer()), else
    /// `program`, which must be of the same version.
    pub fn itself_or(program: Option<PathBuf>) -> Launcher {
        Launcher { fallback: program }
    }

    /// Starts a program; returns once it runs. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn launch(&self, launch: Launch) -> Result<Launched, LaunchError> {
        let program = itself().or_else(|| self.fallback.clone()).ok_or(LaunchError::NoLauncher)?;
        let (ours, theirs) = StdStream::pair()?;
        let process = start_launcher(program.clone(), theirs.into()).await;
        let process = process.map_err(|error| LaunchError::NotStarted { program, error })?;
        let (child_input, input) = io::pipe()?;
        let (output, child_output) = io::pipe()?;
        let (errors, child_errors) = io::pipe()?;
        let mut passed = vec![child_input.into(), child_output.into(), child_errors.into()];
        let channel = match &launch.start {
            Start::Program { channel: Some(_), .. } => {
                let (channel, theirs) = StdStream::pair()?;
                passed.push(theirs.into());
                Some(from_std(channel)?)
            }
            Start::Program { channel: None, .. } | Start::Role { .. } => None,
        };
        let request = Request {
            version: VERSION,
            parent: i32::try_from(std::process::id()).unwrap_or_default(),
            start: launch.start,
            confinement: launch.confinement,
        };
        let control = from_std(ours)?;
        let mut running = Running { control, unread: Vec::new(), _launcher: process };
        running.request(&request, passed).await.map_err(|_| LaunchError::Lost)?;
        let (landlock, pid) = match running.reply().await? {
            Reply::Started { landlock, pid } => (landlock, pid),
            Reply::Refused(reason) => return Err(LaunchError::Refused(reason)),
            Reply::Exited(_) => return Err(LaunchError::Lost),
        };
        Ok(Launched {
            input: Sender::from_owned_fd(input.into())?,
            output: Receiver::from_owned_fd(output.into())?,
            errors: Receiver::from_owned_fd(errors.into())?,
            channel,
            pid,
            landlock,
            running,
        })
    }
}

impl Running {
    /// Waits until the program has exited and all its descendants are dead. Cancel safe.
    ///
    /// # Errors
    /// If the launcher was killed.
    pub async fn wait(&mut self) -> Result<Exit, LaunchError> {
        match self.reply().await? {
            Reply::Exited(exit) => Ok(exit),
            Reply::Refused(reason) => Err(LaunchError::Refused(reason)),
            Reply::Started { .. } => Err(LaunchError::Lost),
        }
    }

    /// Sends SIGTERM to the process tree, and SIGKILL after `grace`. Returns at once.
    pub async fn stop(&mut self, grace: Duration) {
        let grace_millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        // If the launcher is dead, `wait` returns the error.
        let _ = self.send(&Order::Stop { grace_millis }).await;
    }

    async fn request(&mut self, request: &Request, passed: Vec<OwnedFd>) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let sent = {
            let descriptors: Vec<BorrowedFd<'_>> = passed.iter().map(|fd| fd.as_fd()).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            // The buffer of a new socket is empty, so this does not block.
            sendmsg(&self.control, &[IoSlice::new(&line)], &mut ancillary, SendFlags::NOSIGNAL)?
        };
        self.control.write_all(&line[sent..]).await
    }

    async fn send(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.control.write_all(&line).await
    }

    /// The next message. Cancel safe.
    async fn reply(&mut self) -> Result<Reply, LaunchError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line).map_err(io::Error::from)?);
            }
            let count = self.control.read_buf(&mut self.unread).await;
            if matches!(count, Ok(0) | Err(_)) || self.unread.len() > MESSAGE_BYTES_MAX {
                return Err(LaunchError::Lost);
            }
        }
    }
}

fn from_std(stream: StdStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// A launcher to start; the socket becomes its standard input.
struct NewLauncher {
    program: PathBuf,
    socket: OwnedFd,
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

/// Starts a launcher on a thread that lives as long as this process, because the kernel sends the
/// parent-death signal when the *thread* that forked the child exits.
async fn start_launcher(program: PathBuf, socket: OwnedFd) -> io::Result<Child> {
    static STARTER: OnceLock<Option<mpsc::Sender<NewLauncher>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel();
        let thread = std::thread::Builder::new().name("launching".to_owned());
        thread.spawn(move || orders.into_iter().for_each(start_here)).is_ok().then_some(sender)
    });
    let gone = || io::Error::other("the thread that starts launchers is gone");
    let (started, child) = oneshot::channel();
    let order = NewLauncher { program, socket, runtime: Handle::current(), started };
    starter.as_ref().ok_or_else(gone)?.send(order).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

fn start_here(new: NewLauncher) {
    // Also if `main` did not call `answer`.
    make_unreadable();
    let _runtime = new.runtime.enter();
    let child = Command::new(new.program)
        .arg0(LAUNCHER)
        .env_clear()
        .current_dir("/")
        .stdin(new.socket)
        .stdout(Stdio::null())
        .process_group(0)
        .spawn();
    let _ = new.started.send(child); // the caller may have given up
}
