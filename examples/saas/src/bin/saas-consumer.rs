//! The same handlers in a process of their own, for production. Any number of them share the work that
//! producers publish to RabbitMQ. `--help` lists the settings.

use std::process::ExitCode;

use polychron_consumer::Consumer;

fn main() -> ExitCode {
    Consumer::builder().about("Executes the jobs of the example.").handlers(saas::handlers()).run()
}
