//! The consumer daemon: executes jobs of the built-in types.

use std::process::ExitCode;

use polychron_consumer::Consumer;

const ABOUT: &str =
    "Executes Polychron's jobs. Start it as often as you like: processes share the work.";

fn main() -> ExitCode {
    Consumer::builder().about(ABOUT).run()
}
