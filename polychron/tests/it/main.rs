//! The real program, against SQLite files and against PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod all_tenants;
mod check;
mod console;
mod daemons;
mod dry_run;
mod embedded;
mod executions;
mod follow;
mod forecast;
mod import;
mod import_files;
mod installation;
mod jobs;
mod migrate;
mod next_times;
mod schedule;
mod serve;
mod tenants;
mod usage;
mod wake;
mod zones;
