//! All unsafe code of Polychron: system calls that have no safe wrapper in rustix.
#![expect(unsafe_code, reason = "each block says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal};

/// Blocks all signals, and returns a descriptor that becomes readable on SIGCHLD and SIGTERM.
pub(crate) fn take_signals() -> io::Result<OwnedFd> {
    // SAFETY: both sets are initialised by `sigfillset` and `sigemptyset` before they are read, and
    // all pointers are of locals. `signalfd` returns a new descriptor, which we own.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        check(libc::sigprocmask(libc::SIG_SETMASK, &all, std::ptr::null_mut()))?;
        let mut wanted = std::mem::zeroed();
        libc::sigemptyset(&mut wanted);
        libc::sigaddset(&mut wanted, libc::SIGCHLD);
        libc::sigaddset(&mut wanted, libc::SIGTERM);
        let fd = check(libc::signalfd(-1, &wanted, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Unblocks all signals, in a child: it inherits the blocked ones.
pub(crate) fn release_signals() {
    // SAFETY: the set is initialised before it is read.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// Closes all descriptors from `first` on.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: both callers use none of these descriptors afterwards: a launcher that has just
    // started, and a child that has just been forked.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if closed == 0 {
        return Ok(());
    }
    // Linux before 5.9, or a seccomp filter.
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for fd in open.into_iter().filter(|fd| *fd >= first) {
        // SAFETY: as above. The descriptor of the listing is in the list and already closed.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Makes `at` another descriptor of the same socket, which stays open in a program that is executed.
/// Closes what was at `at`; call it only in a child that is about to execute a program.
pub(crate) fn duplicate_to(socket: &OwnedFd, at: RawFd) -> io::Result<()> {
    // SAFETY: no pointers. The child uses nothing that was open at `at`.
    check(unsafe { libc::dup2(socket.as_raw_fd(), at) })?;
    Ok(())
}

/// Forks. Returns `None` in the child.
///
/// # Errors
/// Also if this process has threads: the child would have only the calling thread, and locks held
/// by others would stay locked.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    if threads()? != 1 {
        return Err(io::Error::other("a launcher must not have threads"));
    }
    // SAFETY: this process has one thread, so no lock is held and no data is half-written.
    let pid = check(unsafe { libc::fork() })?;
    Ok(Pid::from_raw(pid))
}

/// How many threads this process has.
pub(crate) fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Runs `action` in the child, between fork and exec.
pub(crate) fn before_program(
    command: &mut Command,
    action: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<()> {
    if threads()? != 1 {
        return Err(io::Error::other("a launcher must not have threads"));
    }
    // SAFETY: this process has one thread, so its fork may allocate and take locks.
    unsafe { command.pre_exec(action) };
    Ok(())
}

/// Sends a signal to every process that this one may signal, except itself and process 1. Only for
/// a process whose Landlock domain limits signals to its own descendants.
pub(crate) fn signal_everybody(signal: Signal) {
    // SAFETY: no pointers. It fails if there is no such process.
    let _ = unsafe { libc::kill(-1, signal.as_raw()) };
}

/// The ABI version of Landlock; `None` if the kernel has none or it is disabled.
pub(crate) fn landlock_version() -> Option<i32> {
    const VERSION: libc::c_uint = 1;
    let nothing: *const libc::c_void = std::ptr::null();
    // SAFETY: for this query the kernel requires a null pointer and length 0.
    let found = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, VERSION) };
    i32::try_from(found).ok().filter(|version| *version > 0)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
