//! Restricts a launcher and its program before they run. None of it can be undone.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit,
    set_child_subreaper, set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;

use crate::protocol::{Confinement, Landlock, Limit};
use crate::system;

/// The Landlock ABI we use. With an older kernel, the crate leaves out what it lacks.
const INTERFACE: ABI = ABI::V6;
/// The first ABI version that restricts signals.
const SIGNALS_SINCE: i32 = 6;

/// Restricts a launcher: `no_new_privs`, not dumpable, subreaper. Returns the kernel's Landlock
/// support, and whether signals of this process are now limited to its descendants.
pub(crate) fn confine_launcher(own_signals_only: bool) -> io::Result<(Landlock, bool)> {
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_child_subreaper(Some(getpid()))?;
    let landlock = system::landlock_version().map_or(Landlock::Unavailable, Landlock::Available);
    let seals = own_signals_only && matches!(landlock, Landlock::Available(SIGNALS_SINCE..));
    if seals {
        let ruleset = Ruleset::default().scope(Scope::Signal).and_then(Ruleset::create);
        ruleset.and_then(RulesetCreated::restrict_self).map_err(io::Error::other)?;
    }
    Ok((landlock, seals))
}

/// Restricts a child of the launcher. The kernel kills it if the launcher dies.
pub(crate) fn confine_program(
    confinement: &Confinement,
    scratch: Option<&Path>,
    launcher: Pid,
) -> io::Result<()> {
    // After the change of user, which would clear it.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(launcher) {
        return Err(io::Error::other("the launcher is gone"));
    }
    set_no_new_privs(true)?;
    for (limit, value) in &confinement.limits {
        set_limit(resource(*limit), *value)?;
    }
    restrict(confinement, scratch)
}

fn resource(limit: Limit) -> Resource {
    match limit {
        Limit::Cpu => Resource::Cpu,
        Limit::FileBytes => Resource::Fsize,
        Limit::OpenFiles => Resource::Nofile,
        Limit::AddressSpace => Resource::As,
        Limit::Core => Resource::Core,
    }
}

/// Never raises a hard limit.
fn set_limit(resource: Resource, value: u64) -> io::Result<()> {
    let value = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}

fn restrict(confinement: &Confinement, scratch: Option<&Path>) -> io::Result<()> {
    let Confinement { own_signals_only, no_network, files, .. } = confinement;
    if !own_signals_only && !no_network && files.is_none() {
        return Ok(());
    }
    let made = || -> Result<_, RulesetError> {
        let mut ruleset = Ruleset::default();
        if *own_signals_only {
            ruleset = ruleset.scope(Scope::Signal)?;
        }
        if *no_network {
            ruleset = ruleset.handle_access(AccessNet::from_all(INTERFACE))?;
            ruleset = ruleset.scope(Scope::AbstractUnixSocket)?;
        }
        if files.is_some() {
            ruleset = ruleset.handle_access(AccessFs::from_all(INTERFACE))?;
        }
        let mut ruleset = ruleset.create()?;
        if let Some(files) = files {
            let (read, all) = (AccessFs::from_read(INTERFACE), AccessFs::from_all(INTERFACE));
            let written = files.write.iter().map(AsRef::as_ref).chain(scratch);
            ruleset = ruleset
                .add_rules(path_beneath_rules(&files.read, read))?
                .add_rules(path_beneath_rules(written, all))?;
        }
        ruleset.restrict_self()
    };
    made().map(|_| ()).map_err(io::Error::other)
}
