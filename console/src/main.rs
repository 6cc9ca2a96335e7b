//! The operator's side.

mod demo;
mod embedded;
mod follow;
mod up;

fn main() -> anyhow::Result<()> {
    let config = shared::config::read("polychron", "demo", &[]);
    shared::telemetry::start("error", config.log_format, true);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let length = Some(std::time::Duration::from_secs(20));
    runtime.block_on(demo::run(std::path::Path::new("/tmp/demo-data"), config, length, true))
}
