//! The command line as a whole; each noun's verbs stand in the noun's own file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Command, CommandFactory, Parser, Subcommand};
use shared::config;

use crate::output::Format;
use crate::{check, execution, forecast, job, schedule, serve, tenant};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 some tenants failed, \
5 a database or the broker cannot be reached.";

/// Scheduled jobs for software whose tenants each own a database.
#[derive(Parser)]
#[command(name = "polychron", version)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Arguments {
    /// How data is written to standard output
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// Why a change is made, for the audit
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made in the life of the process")]
pub(crate) enum Verb {
    /// See it at work: three tenants whose jobs succeed, fail and try again; needs no service
    #[command(after_help = "Examples:\n  polychron demo\n  polychron demo --for 20s")]
    Demo {
        /// How long to run, such as 20s or 5m; until Ctrl-C, if it isn't given
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        length: Option<Duration>,
        /// Where to keep the data; what an earlier demo left there is removed
        #[arg(long, value_name = "FOLDER", default_value = "polychron-data/demo")]
        data: PathBuf,
        /// Do not serve the dashboard and the HTTP API
        #[arg(long)]
        no_dashboard: bool,
    },
    /// Run the whole engine in one process over SQLite files: small real use without any service
    #[command(after_help = "Example:\n  polychron up --data /var/lib/polychron")]
    Up {
        /// Where the control database and the tenants' databases are, or will be
        #[arg(long, value_name = "FOLDER", default_value = "polychron-data")]
        data: PathBuf,
        /// Do not serve the dashboard and the HTTP API
        #[arg(long)]
        no_dashboard: bool,
    },
    /// Serve the dashboard and the HTTP API, at --listen
    ///
    /// Without a file of users (POLYCHRON_USERS) only this machine is answered, and whoever asks
    /// may do everything.
    #[command(after_help = "Examples:
  DATABASE_URL=postgres://… AMQP_URL=amqp://… polychron serve
  polychron serve --listen 0.0.0.0:8484 --users /etc/polychron/users.toml   # behind a proxy with TLS")]
    Serve,
    /// Look for what is wrong: settings, databases, broker, consumers, jobs
    #[command(
        after_help = "Examples:\n  polychron check\n  polychron check --audit --from 2026-11-24T00:00:00Z\n  polychron check -o json"
    )]
    Check(check::audit::Arguments),
    /// Bring the control database, then every tenant's, up to this program's schema
    ///
    /// Goes on past a tenant that fails (exit code 4 then). It may be repeated at any time.
    #[command(after_help = "Example:\n  DATABASE_URL=postgres://… polychron migrate")]
    Migrate,
    /// Add, look at and suspend tenants
    #[command(subcommand)]
    Tenant(tenant::Verb),
    /// Define, change and run a tenant's jobs
    #[command(subcommand)]
    Job(job::Verb),
    /// Look at what ran, cancel it, run it again
    #[command(subcommand)]
    Execution(execution::Verb),
    /// Say who may use dashboard and API
    #[command(subcommand)]
    User(serve::user::Verb),
    /// Show the load to come, its peaks and who makes them, and how many consumers it needs
    ///
    /// From the schedules of the active tenants' enabled jobs, and from how long their latest runs
    /// took. Manual runs and `max_running` are not counted in.
    Forecast(forecast::Forecast),
    /// Try out schedules, and import those of cron and APScheduler
    #[command(subcommand)]
    Schedule(schedule::Verb),
}

impl Verb {
    /// Whether it has much to do at once, rather than one thing after the other.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Verb::Demo { .. } | Verb::Up { .. } | Verb::Serve)
    }

    /// The settings without which the verb cannot start.
    pub(crate) fn required_settings(&self) -> &'static [&'static str] {
        match self {
            Verb::Demo { .. } | Verb::Up { .. } => &[],
            Verb::Serve
            | Verb::Check(_)
            | Verb::Migrate
            | Verb::Tenant(_)
            | Verb::Job(_)
            | Verb::Execution(_)
            | Verb::Forecast(_) => &["DATABASE_URL"],
            Verb::Schedule(_) | Verb::User(_) => &[],
        }
    }
}

/// The whole command line, with a flag for each setting. Those are told by `--help` only: `-h`
/// is about the verb.
pub(crate) fn command() -> Command {
    let command = config::command(Arguments::command());
    let settings = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command
        .mut_args(|argument| match argument.get_help_heading() {
            Some(_) => argument.hide_short_help(true),
            None => argument,
        })
        .after_help(EXIT_CODES)
        .after_long_help(format!("{settings}\n\n{EXIT_CODES}"))
}
