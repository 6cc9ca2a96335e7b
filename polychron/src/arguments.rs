//! The command line as a whole: what operators do ([`cli::Verb`]), and what serves or runs the
//! engine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory, Parser, Subcommand, ValueEnum as _};
use shared::config;

use crate::completions::Shell;
use crate::daemon::Daemon;
use crate::user;
use cli::output::Format;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 some tenants failed, \
5 a database or the broker cannot be reached.";

/// Scheduled jobs for software whose tenants each own a database.
#[derive(Parser)]
#[command(name = "polychron", version, long_version = long_version())]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Arguments {
    /// The format of the data on standard output
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// The reason for a change, recorded in the audit
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Show what would be changed, and change nothing
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The version of the program, and of the time zone rules that are part of it.
fn long_version() -> String {
    let rules = shared::schedule::ZoneRules::built_in();
    format!("{}\ntime zone rules: {rules}", env!("CARGO_PKG_VERSION"))
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made in the life of the process")]
pub(crate) enum Verb {
    #[command(flatten)]
    Daemon(Daemon),
    #[command(flatten)]
    Other(Other),
}

/// What runs within the program's own runtime and log.
#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made in the life of the process")]
pub(crate) enum Other {
    /// Run a demonstration: three tenants whose jobs succeed, fail and retry; needs no other service
    #[command(after_help = "Examples:\n  polychron demo\n  polychron demo --for 20s")]
    Demo {
        /// How long to run, such as 20s or 5m; until Ctrl-C by default
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        length: Option<Duration>,
        /// The folder for the data; data of an earlier demo is removed
        #[arg(long, value_name = "FOLDER", default_value = "polychron-data/demo")]
        data: PathBuf,
        /// Do not serve the dashboard and the HTTP API
        #[arg(long)]
        no_dashboard: bool,
    },
    /// Run everything in one process over SQLite files, for small use without other services
    #[command(after_help = "Example:\n  polychron up --data /var/lib/polychron")]
    Up {
        /// The folder of the control database and the tenants' databases
        #[arg(long, value_name = "FOLDER", default_value = "polychron-data")]
        data: PathBuf,
        /// Do not serve the dashboard and the HTTP API
        #[arg(long)]
        no_dashboard: bool,
    },
    /// Serve the dashboard and the HTTP API, at --listen
    ///
    /// Without a file of users (POLYCHRON_USERS) only this machine can connect, and every request may
    /// do everything.
    #[command(after_help = "Examples:
  DATABASE_URL=postgres://… AMQP_URL=amqp://… polychron serve
  polychron serve --listen 0.0.0.0:8484 --users /etc/polychron/users.toml   # behind a proxy with TLS")]
    Serve,
    #[command(flatten)]
    Operators(cli::Verb),
    /// Create and revoke users of the dashboard and the API
    #[command(subcommand)]
    User(user::Verb),
    /// Write a shell's completions to standard output
    #[command(after_help = "Examples:
  polychron completions bash > /etc/bash_completion.d/polychron
  polychron completions zsh > \"${fpath[1]}/_polychron\"
  polychron completions fish > ~/.config/fish/completions/polychron.fish")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

impl Verb {
    /// Whether it runs until it is stopped.
    pub(crate) fn runs_until_stopped(&self) -> bool {
        match self {
            Verb::Daemon(_) => true,
            Verb::Other(other) => other.runs_until_stopped(),
        }
    }

    /// The settings without which the verb cannot start.
    pub(crate) fn required_settings(&self) -> &'static [&'static str] {
        match self {
            Verb::Daemon(daemon) => daemon.required_settings(),
            Verb::Other(Other::Operators(verb)) => verb.required_settings(),
            Verb::Other(Other::Serve) => &["DATABASE_URL"],
            Verb::Other(
                Other::Demo { .. } | Other::Up { .. } | Other::User(_) | Other::Completions { .. },
            ) => &[],
        }
    }
}

impl Other {
    /// Whether it runs until it is stopped.
    pub(crate) fn runs_until_stopped(&self) -> bool {
        matches!(self, Other::Demo { .. } | Other::Up { .. } | Other::Serve)
    }
}

/// The output format that an invalid command line asks for.
pub(crate) fn format_asked_for(arguments: impl Iterator<Item = OsString>) -> Format {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let requested = words.iter().enumerate().find_map(|(at, word)| match word.as_str() {
        "-o" | "--output" => words.get(at + 1).map(String::as_str),
        word => word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o")),
    });
    let format =
        requested.and_then(|word| Format::from_str(word.trim_start_matches('='), false).ok());
    format.unwrap_or(Format::Table)
}

/// The whole command line, with a flag for each setting, which `--help` lists and `-h` does not.
pub(crate) fn command() -> Command {
    let command = config::command(Arguments::command());
    let settings = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let command = command
        .mut_subcommand("job", |job| job.mut_subcommands(cli::with_both_usages))
        .mut_args(|argument| match argument.get_help_heading() {
            Some(_) => argument.hide_short_help(true),
            None => argument,
        })
        .after_help(EXIT_CODES)
        .after_long_help(format!("{settings}\n\n{EXIT_CODES}"));
    // A daemon takes the settings' flags only; its help is that of its own program.
    let hidden: Vec<Arg> = command
        .get_arguments()
        .filter(|argument| argument.get_help_heading().is_none())
        .map(|argument| argument.clone().hide(true))
        .collect();
    ["producer", "consumer"].into_iter().fold(command, |command, daemon| {
        command.mut_subcommand(daemon, |daemon| {
            let example = daemon.get_after_help().map(ToString::to_string).unwrap_or_default();
            let daemon = daemon.after_long_help(format!("{example}\n\n{settings}"));
            daemon.args(&hidden).version(env!("CARGO_PKG_VERSION")).long_version(long_version())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_shows_how_it_is_used() {
        fn count_examples(command: &Command, path: &str) -> usize {
            let verbs: Vec<&Command> =
                command.get_subcommands().filter(|verb| verb.get_name() != "help").collect();
            if !verbs.is_empty() {
                let path = |verb: &Command| format!("{path} {}", verb.get_name());
                return verbs.iter().map(|verb| count_examples(verb, &path(verb))).sum();
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains(path), "{path}: {help}");
            1
        }
        assert!(count_examples(&command(), "polychron") > 30);
    }

    #[test]
    fn the_format_is_known_even_if_the_rest_cannot_be_read() {
        for (line, expected) in [
            ("tenant list -o json", Format::Json),
            ("-ojsonl tenant", Format::Jsonl),
            ("x --output=json", Format::Json),
            ("x --output jsonl", Format::Jsonl),
            ("x -o=json", Format::Json),
            ("x -o", Format::Table),
            ("x -o xml", Format::Table),
            ("x", Format::Table),
        ] {
            let words = line.split(' ').map(OsString::from);
            assert_eq!(format_asked_for(words), expected, "{line}");
        }
    }
}
