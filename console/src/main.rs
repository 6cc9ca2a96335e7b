//! `polychron`, the operator's side.
//!
//! This file parses the command line, hands over to the file of the noun that was named, and turns
//! whatever went wrong into the exit code ([`exit`]). Data goes to standard output ([`output`]),
//! everything else to standard error.

mod arguments;
mod check;
mod demo;
mod execution;
mod exit;
mod finding;
mod follow;
mod forecast;
mod input;
mod job;
mod migrate;
mod operation;
mod operator;
mod output;
mod schedule;
mod serve;
mod session;
mod tenant;
mod up;

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};
use shared::config::{self, Config};
use shared::telemetry;

use arguments::{Arguments, Verb};
use exit::Failure;
use output::Output;
use session::Session;

/// The CLI reports in its own words what comes of the broker; a command that only nudges the
/// producer is not to say that it has connected.
const QUIET: &str = ",polychron_shared::queue=error";

fn main() -> ExitCode {
    let matches = arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let output = Output::new(arguments.output);
    match run(arguments, &matches, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::say(&format!("polychron: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}

fn run(arguments: Arguments, matches: &ArgMatches, output: Output) -> Result<(), Failure> {
    let Arguments { verb, reason, .. } = arguments;
    let config = config::from_arguments(innermost(matches), verb.required_settings());
    let (log, format) = match &config {
        Ok(Config { log, log_format, .. }) => (log.as_str(), *log_format),
        Err(_) => ("warn", config::LogFormat::Text),
    };
    // The demo tells what happens by itself, unless more is asked for.
    let log = if matches!(verb, Verb::Demo { .. }) && log == "info" { "error" } else { log };
    telemetry::start(&format!("{log}{QUIET}"), format, output.colour());
    let mut runtime = match verb.is_busy() {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    let done = runtime.block_on(dispatch(verb, config, output, reason.as_deref()));
    // A connection that is still being tried must not hold the process up.
    runtime.shutdown_background();
    done
}

async fn dispatch(
    verb: Verb,
    config: Result<Config, config::Problems>,
    output: Output,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let session = async |config| Session::open(config, output, reason).await;
    match verb {
        // It is there to report what is wrong, the settings included.
        Verb::Check(arguments) => check::run(config, arguments, output).await,
        Verb::Demo { length, data, no_dashboard } => {
            let demo = demo::run(&data, config?, length, !no_dashboard, output.colour());
            Ok(Box::pin(demo).await?)
        }
        Verb::Up { data, no_dashboard } => {
            Ok(Box::pin(up::run(&data, config?, !no_dashboard)).await?)
        }
        Verb::Serve => serve::run(config?).await,
        Verb::User(verb) => serve::user::run(verb),
        Verb::Migrate => migrate::run(config?, output).await,
        Verb::Tenant(verb) => tenant::run(verb, &session(config?).await?).await,
        Verb::Job(verb) => job::run(verb, &session(config?).await?).await,
        Verb::Execution(verb) => execution::run(verb, &session(config?).await?).await,
        Verb::Forecast(arguments) => forecast::run(arguments, &session(config?).await?).await,
        Verb::Schedule(verb) => Box::pin(schedule::run(verb, config, output, reason)).await,
    }
}

/// Where flags that may stand anywhere are all found: clap hands them down to the last verb.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, inner)) => innermost(inner),
        None => matches,
    }
}
