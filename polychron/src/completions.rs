//! `polychron completions`: shell completions.

use std::io::{ErrorKind, Write as _};

use clap::{Command, ValueEnum};
use clap_complete::generate;

use operations::failure::Failure;

/// A shell whose completions can be written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(shell: Shell, mut command: Command) -> Result<(), Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // `generate` panics if writing fails.
    let mut script = Vec::new();
    generate(shell, &mut command, "polychron", &mut script);
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}
