//! The main function of a launcher: receives a request, starts the program, supervises its process
//! tree, and reports the exit once the tree is dead.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitStatus, getpid, getppid, set_parent_process_death_signal};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::confine::{confine_launcher, confine_program};
use crate::protocol::{Confinement, Exit, Order, Reply, Request, Start, User, VERSION};
use crate::role::Role;
use crate::socket::{Inbox, Passed, Stdio, receive_request, send};
use crate::system;
use crate::tree::Tree;

/// Exit status of a launcher, or of a role, that failed.
const FAILED: i32 = 1;
/// The descriptor of a program's channel: a digit, since some shells know no higher ones. In the
/// launcher it is the first one opened, the one for signals, which a program does not need.
const CHANNEL: RawFd = 3;
/// Delay between two rounds of SIGKILL.
const KILL_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// The most rounds. A process in uninterruptible sleep may outlast them.
const KILLS_MAX: usize = 500;

/// Runs a launcher; returns its exit status.
pub(crate) fn supervise(roles: &[Role]) -> i32 {
    let control = rustix::stdio::stdin();
    match run(control, roles) {
        Ok(()) => 0,
        Err(error) => {
            // The engine may be dead.
            let _ = send(control, &Reply::Refused(format!("the launcher failed: {error}")));
            let _ = writeln!(io::stderr(), "polychron-launcher: {error}");
            FAILED
        }
    }
}

fn run(control: BorrowedFd<'_>, roles: &[Role]) -> io::Result<()> {
    system::close_from(3)?;
    let signals = system::take_signals()?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let Some((request, passed)) = receive_request(control)? else {
        return Ok(()); // not needed
    };
    if request.version != VERSION {
        return Err(io::Error::other("it is of another version than the engine"));
    }
    let Some(parent) = getppid().filter(|parent| parent.as_raw_nonzero().get() == request.parent)
    else {
        return Ok(()); // the engine died before we requested the signal
    };
    let Confinement { own_signals_only, files, .. } = &request.confinement;
    let (landlock, sealed) = confine_launcher(*own_signals_only)?;
    let scratch = Scratch::make(files.as_ref().and_then(|files| files.scratch.as_deref()));
    let main = match start(&request, &passed, scratch.path(), roles) {
        Ok(main) => main,
        Err(error) => return send(control, &Reply::Refused(error.to_string())),
    };
    drop(passed);
    let pid = main.as_raw_nonzero().get();
    send(control, &Reply::Started { landlock, pid })?;
    let tree = Tree::new(sealed, parent);
    let mut supervisor = Supervisor { control, signals, parent, tree, main, exit: None };
    let stayed = supervisor.stay();
    supervisor.end()?;
    drop(scratch);
    if let Some(exit) = supervisor.exit {
        let _ = send(control, &Reply::Exited(exit)); // the engine may be dead
    }
    stayed
}

/// Starts the requested program or role; returns its process.
fn start(
    request: &Request,
    passed: &Passed,
    scratch: Option<&Path>,
    roles: &[Role],
) -> io::Result<Pid> {
    match &request.start {
        Start::Program { .. } => start_program(request, passed, scratch),
        Start::Role { name, argument } => {
            let role = roles.iter().find(|role| role.name == name);
            let role = role.ok_or_else(|| {
                io::Error::other(format!("the launcher has no role {name}: it is another program"))
            })?;
            start_role(*role, argument, &request.confinement, &passed.stdio, scratch)
        }
    }
}

fn start_program(request: &Request, passed: &Passed, scratch: Option<&Path>) -> io::Result<Pid> {
    let Start::Program { path, arguments, environment, folder, user, channel } = &request.start
    else {
        return Err(io::Error::other("the request names a role, not a program"));
    };
    let [input, output, errors] = &passed.stdio;
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(input.try_clone()?)
        .stdout(output.try_clone()?)
        .stderr(errors.try_clone()?)
        .process_group(0);
    if let Some(user) = user {
        command.uid(user.user).gid(user.group);
    }
    let socket = passed.channel.as_ref().map(OwnedFd::try_clone).transpose()?;
    if let (Some(name), Some(_)) = (channel, &socket) {
        command.env(name, CHANNEL.to_string());
    }
    let (confinement, launcher) = (request.confinement.clone(), getpid());
    let scratch = scratch.map(Path::to_path_buf);
    system::before_program(&mut command, move || {
        system::release_signals();
        if let Some(socket) = &socket {
            system::duplicate_to(socket, CHANNEL)?;
        }
        confine_program(&confinement, scratch.as_deref(), launcher)
    })?;
    let child = command.spawn().map_err(|error| explained(error, user.as_ref()))?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::Other.into())
}

/// An error of a start. The kernel's own text does not say that the user is the reason.
fn explained(error: io::Error, user: Option<&User>) -> io::Error {
    match user {
        Some(User { user, group }) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            io::Error::other(format!(
                "only root may start programs as another user ({user}:{group}): start the consumer as root, \
                or as that user without the setting"
            ))
        }
        _ => error,
    }
}

/// Runs a role in a fork. It needs no exec, so the program's own files can be out of its reach.
fn start_role(
    role: Role,
    argument: &str,
    confinement: &Confinement,
    stdio: &Stdio,
    scratch: Option<&Path>,
) -> io::Result<Pid> {
    let (launcher, (mut refusal, mut refuse)) = (getpid(), io::pipe()?);
    if let Some(child) = system::fork()? {
        drop(refuse);
        let mut reason = String::new();
        refusal.read_to_string(&mut reason)?;
        return if reason.is_empty() { Ok(child) } else { Err(io::Error::other(reason)) };
    }
    let prepared = || -> io::Result<()> {
        let [input, output, errors] = stdio;
        dup2_stdin(input)?;
        dup2_stdout(output)?;
        dup2_stderr(errors)?;
        confine_program(confinement, scratch, launcher)
    };
    if let Err(error) = prepared() {
        let _ = write!(refuse, "{error}");
        std::process::exit(FAILED);
    }
    // This closes `refuse`, which tells the launcher that the role starts.
    let closed = system::close_from(3);
    system::release_signals();
    let code = match closed {
        Ok(()) => catch_unwind(|| (role.run)(argument)).unwrap_or(FAILED),
        Err(_) => FAILED,
    };
    std::process::exit(code)
}

/// Supervises a program and its descendants.
struct Supervisor<'a> {
    control: BorrowedFd<'a>,
    signals: OwnedFd,
    parent: Pid,
    tree: Tree,
    main: Pid,
    exit: Option<Exit>,
}

/// Why `poll` returned.
struct Wake {
    signal: bool,
    engine: bool,
    grace_over: bool,
}

impl Supervisor<'_> {
    /// Returns when the program has exited or must be killed.
    fn stay(&mut self) -> io::Result<()> {
        let (mut inbox, mut grace) = (Inbox::default(), None);
        loop {
            let wake = self.wait(grace.as_ref())?;
            if wake.signal {
                self.reap()?;
            }
            if self.exit.is_some() || wake.grace_over || getppid() != Some(self.parent) {
                return Ok(());
            }
            if wake.engine {
                let Some(orders) = inbox.read(self.control)? else { return Ok(()) };
                for Order::Stop { grace_millis } in orders {
                    self.tree.signal(Signal::TERM);
                    grace = Some(timer(grace_millis)?);
                }
            }
        }
    }

    /// Kills and reaps all that is left.
    fn end(&mut self) -> io::Result<()> {
        for _ in 0..KILLS_MAX {
            if !self.reap()? {
                return Ok(());
            }
            self.tree.signal(Signal::KILL);
            let mut watched = [PollFd::new(&self.signals, PollFlags::IN)];
            let _ = poll(&mut watched, Some(&KILL_EVERY)); // a shorter wait is harmless
        }
        Err(io::Error::other("a process could not be killed"))
    }

    /// Reaps children; returns whether any are left.
    fn reap(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 1024];
        while rustix::io::read(&self.signals, &mut buffer).is_ok_and(|count| count > 0) {}
        let (ended, any_left) = self.tree.reap()?;
        for (pid, status) in ended {
            if pid == self.main {
                self.exit = exit(status);
            }
        }
        Ok(any_left)
    }

    fn wait(&self, grace: Option<&OwnedFd>) -> io::Result<Wake> {
        let control = PollFd::new(&self.control, PollFlags::IN);
        let mut watched = vec![PollFd::new(&self.signals, PollFlags::IN), control];
        watched.extend(grace.map(|timer| PollFd::new(timer, PollFlags::IN)));
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| watched.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Wake { signal: ready(0), engine: ready(1), grace_over: ready(2) })
    }
}

fn exit(status: WaitStatus) -> Option<Exit> {
    let by_signal = || status.terminating_signal().map(Exit::Signal);
    status.exit_status().map(Exit::Status).or_else(by_signal)
}

/// A descriptor that becomes readable after this time.
fn timer(millis: u64) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?;
    // Zero would disarm the timer.
    let nanos =
        i64::try_from(millis.max(1)).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000);
    let (tv_sec, tv_nsec) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let after = Itimerspec { it_interval: once, it_value: Timespec { tv_sec, tv_nsec } };
    timerfd_settime(timer.as_fd(), TimerfdTimerFlags::empty(), &after)?;
    Ok(timer)
}

/// The program's temporary folder, deleted on drop.
struct Scratch(Option<PathBuf>);

impl Scratch {
    fn make(path: Option<&Path>) -> Scratch {
        let make = |path: &&Path| std::fs::DirBuilder::new().mode(0o700).create(path).is_ok();
        Scratch(path.filter(make).map(Path::to_path_buf))
    }

    fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
