//! `polychron`: everything in one program.
//!
//! This file parses the command line, hands over to what was named, and turns whatever went wrong
//! into the exit code ([`exit`]).

mod arguments;
mod completions;
mod daemon;
mod demo;
mod serve;
mod up;
mod user;

use std::process::ExitCode;

use clap::error::ErrorKind as ClapError;
use clap::{ArgMatches, FromArgMatches as _};
use shared::config::{self, Config, LogFormat, Problems};
use shared::logging;

use arguments::{Arguments, Other, Verb};
use cli::output::Output;
use cli::{Request, exit};
use operations::failure::Failure;

/// Commands report broker errors themselves, and one that only wakes producers should not log that it
/// has connected.
const QUIET: &str = ",polychron_shared::queue=error";

fn main() -> ExitCode {
    consumer::answer();
    let matches = match arguments::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return misread(&error),
    };
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => return misread(&error),
    };
    let output = Output::new(arguments.output);
    match run(arguments, &matches, output) {
        Ok(code) => code,
        Err(failure) => report(&failure, output),
    }
}

/// Reports a failure, and returns the exit code.
fn report(failure: &Failure, output: Output) -> ExitCode {
    output.failure(None, failure);
    ExitCode::from(exit::code(failure))
}

/// Handles an invalid command line, or one that asks for help.
fn misread(error: &clap::Error) -> ExitCode {
    let output = Output::new(arguments::format_asked_for(std::env::args_os()));
    if output.is_for_people() || !error.use_stderr() {
        error.exit();
    }
    let text = match error.kind() {
        // It would render as the whole help.
        ClapError::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a subcommand is missing; `--help` lists them".to_owned()
        }
        _ => error.render().to_string(),
    };
    let what = text.split("\n\nUsage:").next().unwrap_or_default();
    let what = what.trim_start_matches("error: ").trim_end();
    report(&Failure::Usage(what.to_owned()), output)
}

fn run(arguments: Arguments, matches: &ArgMatches, output: Output) -> Result<ExitCode, Failure> {
    let Arguments { verb, reason, dry_run, .. } = arguments;
    if dry_run && verb.runs_until_stopped() {
        return Err(Failure::Usage("--dry-run: this runs until it is stopped".to_owned()));
    }
    let config = config::from_arguments(innermost(matches), verb.required_settings());
    match verb {
        Verb::Daemon(daemon) => daemon.run(config?),
        Verb::Other(verb) => {
            run_other(verb, config, output, &Request { reason, dry_run })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_other(
    verb: Other,
    config: Result<Config, Problems>,
    output: Output,
    request: &Request,
) -> Result<(), Failure> {
    let (log, format) = match &config {
        Ok(Config { log, log_format, .. }) => (log.as_str(), *log_format),
        Err(_) => ("warn", LogFormat::Text),
    };
    // The demo shows what happens itself, unless another level is asked for.
    let log = if matches!(verb, Other::Demo { .. }) && log == "info" { "error" } else { log };
    logging::start(&format!("{log}{QUIET}"), format, output.colour());
    let mut runtime = match verb.runs_until_stopped() {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    let done = runtime.block_on(dispatch(verb, config, output, request));
    // A pending connection attempt must not delay the exit.
    runtime.shutdown_background();
    done
}

async fn dispatch(
    verb: Other,
    config: Result<Config, Problems>,
    output: Output,
    request: &Request,
) -> Result<(), Failure> {
    match verb {
        Other::Operators(verb) => Box::pin(cli::run(verb, config, output, request)).await,
        Other::Demo { length, data, no_dashboard } => {
            let demo = demo::run(&data, config?, length, !no_dashboard, output.colour());
            Ok(Box::pin(demo).await?)
        }
        Other::Up { data, no_dashboard } => {
            Ok(Box::pin(up::run(&data, config?, !no_dashboard)).await?)
        }
        Other::Serve => serve::run(config?).await,
        Other::User(verb) => user::run(verb, config, request),
        Other::Completions { shell } => completions::run(shell, arguments::command()),
    }
}

/// The matches of the last verb, to which clap propagates all global flags.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, inner)) => innermost(inner),
        None => matches,
    }
}
