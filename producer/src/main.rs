//! `polychron-producer`.

use polychron_producer::program;
use shared::config;

fn main() -> anyhow::Result<()> {
    launcher::make_unreadable();
    program::run(config::read("polychron-producer", program::ABOUT, program::REQUIRED_SETTINGS))
}
