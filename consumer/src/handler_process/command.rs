//! Converts a handler command into a request to the launcher.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::protocol;
use launcher::{Confinement, Launch, Limit, Start, User};
use shared::config::{
    Config, HANDLER_PROTOCOL, HANDLER_SOCKET, HandlerCommand, SystemUser, handler_environment,
};

const MIB: u64 = 1 << 20;

/// The request that makes the launcher start a process of the command.
///
/// # Errors
/// A sentence that says what is wrong with the command.
pub(super) fn launch(command: &HandlerCommand, config: &Config) -> Result<Launch, String> {
    let mut environment = handler_environment(&config.secrets);
    environment.extend(command.environment.clone());
    environment.insert(HANDLER_PROTOCOL.to_owned(), protocol::VERSION.to_string());
    let folder = match &command.folder {
        Some(folder) => folder.clone(),
        None => std::env::current_dir().map_err(|why| format!("no working directory: {why}"))?,
    };
    let program = command.argv.first().map(String::as_str).unwrap_or_default();
    let start = Start::Program {
        path: find(program, &folder, &environment)?,
        arguments: command.argv.iter().skip(1).cloned().collect(),
        environment: environment.into_iter().collect(),
        folder,
        user: command.user.map(|SystemUser { user, group }| User { user, group }),
        channel: Some(HANDLER_SOCKET.to_owned()),
    };
    let limits = command.limits;
    let limits = [
        (Limit::OpenFiles, limits.open_files),
        (Limit::AddressSpace, limits.address_space_mib.map(|mib| mib.saturating_mul(MIB))),
        (Limit::FileBytes, limits.file_mib.map(|mib| mib.saturating_mul(MIB))),
        (Limit::Cpu, limits.cpu_seconds),
    ];
    let limits = limits.into_iter().filter_map(|(limit, value)| Some((limit, value?))).collect();
    // A program may signal only its descendants: if it killed its launcher, its processes would be orphaned.
    let confinement = Confinement { own_signals_only: true, limits, ..Confinement::default() };
    Ok(Launch { start, confinement })
}

/// Finds the program's file as a shell would.
fn find(
    program: &str,
    folder: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = folder.join(program);
        return match path.is_file() {
            true => Ok(path),
            false => Err(format!("there is no file {}", path.display())),
        };
    }
    let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
    let found = std::env::split_paths(path).map(|part| folder.join(part).join(program));
    found.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        format!("there is no `{program}` on the PATH ({path}); name it by its absolute path")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_path_or_below_the_folder() {
        let environment = BTreeMap::from([("PATH".to_owned(), "/nonexistent:/bin".to_owned())]);
        let find = |program: &str| find(program, Path::new("/bin"), &environment);
        assert_eq!(find("sh"), Ok("/bin/sh".into()));
        assert_eq!(find("/bin/sh"), Ok("/bin/sh".into()));
        assert_eq!(find("./sh"), Ok("/bin/./sh".into()));
        assert!(find("no-such-program").unwrap_err().contains("on the PATH"));
        assert!(find("./no-such-program").unwrap_err().contains("no file /bin/./no-such-program"));
    }
}
