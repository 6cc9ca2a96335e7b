//! The command line, a module for each noun. [`Verb`] is what it can do; the program
//! `polychron` adds what serves or runs the engine.
//!
//! Data goes to standard output ([`output`]), everything else to standard error. Whatever goes
//! wrong becomes an exit code ([`exit`]).

mod check;
mod dead;
mod each_tenant;
mod execution;
pub mod exit;
mod findings;
mod forecast;
pub mod input;
mod installation;
mod job;
mod migrate;
pub mod output;
mod progress;
mod schedule;
mod session;
mod tenant;
mod zones;

use clap::{Command, Subcommand};
use operations::failure::Failure;
use shared::config::{Config, Problems};

use each_tenant::JOB_OF_ONE;
use output::Output;
use session::Session;

pub use session::Request;

/// What operators do with tenants, jobs and executions.
#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made in the life of the process")]
pub enum Verb {
    /// Check settings, databases, broker, consumers and jobs for problems
    #[command(
        after_help = "Examples:\n  polychron check\n  polychron check --occurrences --from 2026-11-24T00:00:00Z\n  polychron check -o json"
    )]
    Check(check::Arguments),
    /// Migrate the control database, then every tenant's, to this program's schema
    ///
    /// Continues past a tenant that fails (exit code 4 then). It may be repeated at any time.
    #[command(after_help = "Examples:
  DATABASE_URL=postgres://… polychron migrate
  polychron migrate --dry-run
  polychron migrate acme")]
    Migrate(migrate::Arguments),
    /// Add, show and suspend tenants
    #[command(subcommand)]
    Tenant(tenant::Verb),
    /// Define, change and run a tenant's jobs
    #[command(subcommand)]
    Job(job::Verb),
    /// Show, cancel and retry executions
    #[command(subcommand)]
    Execution(execution::Verb),
    /// Show the coming load, its peaks, and how many consumers it needs
    ///
    /// Computed from the schedules of the active tenants' enabled jobs and the durations of their
    /// latest runs. Manual runs and `max_running` are not taken into account.
    Forecast(forecast::Arguments),
    /// Say what a control database is that was moved, restored or copied
    #[command(subcommand)]
    Installation(installation::Verb),
    /// List and remove messages that no consumer could parse
    #[command(subcommand)]
    Dead(dead::Verb),
    /// Preview schedules, and import those of other schedulers
    #[command(subcommand)]
    Schedule(schedule::Verb),
    /// Show and replace the time zone rules of the installation
    #[command(subcommand)]
    Zones(zones::Verb),
}

impl Verb {
    /// The settings without which the verb cannot start.
    pub fn required_settings(&self) -> &'static [&'static str] {
        match self {
            Verb::Check(_)
            | Verb::Migrate(_)
            | Verb::Tenant(_)
            | Verb::Job(_)
            | Verb::Execution(_)
            | Verb::Dead(_)
            | Verb::Installation(_)
            | Verb::Forecast(_)
            | Verb::Zones(_) => &["DATABASE_URL"],
            Verb::Schedule(_) => &[],
        }
    }
}

/// Runs the verb, and writes its result.
///
/// # Errors
/// When it failed. Results from before the failure have been written.
pub async fn run(
    verb: Verb,
    config: Result<Config, Problems>,
    output: Output,
    request: &Request,
) -> Result<(), Failure> {
    let session = async |config| Session::open(config, output, request).await;
    match verb {
        // It reports problems with the settings, too.
        Verb::Check(arguments) => check::run(config, arguments, output).await,
        Verb::Migrate(arguments) => migrate::run(arguments, config?, output, request).await,
        Verb::Tenant(verb) => tenant::run(verb, &session(config?).await?).await,
        Verb::Job(verb) => Box::pin(job::run(verb, &session(config?).await?)).await,
        Verb::Execution(verb) => execution::run(verb, &session(config?).await?).await,
        Verb::Dead(verb) => dead::run(verb, &session(config?).await?).await,
        Verb::Installation(verb) => installation::run(verb, &session(config?).await?).await,
        Verb::Forecast(arguments) => forecast::run(arguments, &session(config?).await?).await,
        Verb::Zones(verb) => Box::pin(zones::run(verb, &session(config?).await?)).await,
        Verb::Schedule(verb) => Box::pin(schedule::run(verb, config, output, request)).await,
    }
}

/// Shows both ways to call a verb of `job`: with a tenant and a job, or with --all-tenants and the
/// job alone.
pub fn with_both_usages(verb: Command) -> Command {
    let job = verb.get_arguments().find(|argument| argument.get_id() == JOB_OF_ONE);
    let Some(job) = job.and_then(|argument| argument.get_value_names()?.first().cloned()) else {
        return verb;
    };
    let call = format!("polychron job {}", verb.get_name());
    verb.override_usage(format!(
        "{call} [OPTIONS] <TENANT> <{job}>\n       {call} [OPTIONS] --all-tenants <{job}>"
    ))
}
