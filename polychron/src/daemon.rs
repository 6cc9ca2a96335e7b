//! `polychron producer` and `polychron consumer`: the same as the programs of those names.

use std::process::ExitCode;

use clap::Subcommand;
use consumer::Consumer;
use operations::failure::Failure;
use shared::config::Config;

#[derive(Subcommand)]
pub(crate) enum Daemon {
    /// Find the due jobs of all tenants and dispatch them: the same as `polychron-producer`
    ///
    /// Any number may run at once.
    #[command(
        after_help = "Example:\n  DATABASE_URL=postgres://… AMQP_URL=amqp://… polychron producer"
    )]
    Producer,
    /// Execute jobs of the built-in types: the same as `polychron-consumer`
    ///
    /// Any number may run at once: they share the work.
    #[command(
        after_help = "Example:\n  DATABASE_URL=postgres://… AMQP_URL=amqp://… polychron consumer --prefetch 20"
    )]
    Consumer,
}

impl Daemon {
    /// The settings without which it cannot start.
    pub(crate) fn required_settings(&self) -> &'static [&'static str] {
        match self {
            Daemon::Producer => producer::program::REQUIRED_SETTINGS,
            Daemon::Consumer => consumer::REQUIRED_SETTINGS,
        }
    }

    /// Runs until SIGTERM or SIGINT. It makes its own runtime and starts its own log.
    pub(crate) fn run(self, config: Config) -> Result<ExitCode, Failure> {
        match self {
            Daemon::Producer => {
                producer::program::run(config)?;
                Ok(ExitCode::SUCCESS)
            }
            Daemon::Consumer => Ok(Consumer::builder().run_with(config)),
        }
    }
}
