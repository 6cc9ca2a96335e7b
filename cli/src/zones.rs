//! `polychron zones`: the time zone rules of the installation.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use operations::change::Change;
use operations::failure::Failure;
use operations::zones::{self, MovedJob, Request, Rules, Source, Update};

use crate::output::{Column, column, maybe, say, time, whole_column};
use crate::session::Session;

#[derive(Subcommand)]
pub enum Verb {
    /// Show the time zone rules in force, and those that held before
    #[command(after_help = "Examples:\n  polychron zones show\n  polychron zones show -o json")]
    Show,
    /// Replace the time zone rules of the installation
    ///
    /// The new rules hold a minute later. Producers read them within 10 s, without a restart, and work
    /// out anew the next times that change; they are shown first. Zones that the directory lacks stay
    /// as they are.
    #[command(after_help = "Examples:
  polychron zones update --from /usr/share/zoneinfo --dry-run
  polychron zones update --from /usr/share/zoneinfo --reason 'tzdata 2027a'
  polychron zones update --built-in")]
    Update(Arguments),
}

#[derive(Args)]
pub struct Arguments {
    /// A directory with the layout of zoneinfo: the machine's, or one that `zic -d` has written
    #[arg(long, value_name = "DIR", required_unless_present = "built_in")]
    from: Option<PathBuf>,
    /// The rules that are part of this program
    #[arg(long, conflicts_with = "from")]
    built_in: bool,
    /// Use them even if they are older than those in force
    #[arg(long)]
    allow_older: bool,
}

const RULES: &[Column<Rules>] = &[
    column("VERSION", |rules| rules.version.clone()),
    column("FROM (UTC)", |rules| time(rules.from)),
    column("UNTIL (UTC)", |rules| time(rules.until)),
    column("SOURCE", |rules| rules.source.clone()),
    column("SHA-256", |rules| rules.hash.chars().take(12).collect()),
];

const MOVED: &[Column<MovedJob>] = &[
    whole_column("TENANT", |moved| moved.tenant.clone()),
    whole_column("JOB", |moved| moved.job.clone()),
    column("NEXT (UTC)", |moved| time(Some(moved.from))),
    column("BECOMES (UTC)", |moved| time(moved.to)),
];

const UPDATE: &[Column<Update>] = &[
    column("before", |update| update.before.version.clone()),
    column("after", |update| update.after.version.clone()),
    column("source", |update| update.after.source.clone()),
    column("hash", |update| update.after.hash.clone()),
    column("holds from", |update| time(update.after.from)),
    column("next times that change", |update| update.jobs_moved.to_string()),
    column("zones kept", |update| update.kept.len().to_string()),
    column("tenants not read", |update| {
        let slugs = update.unreachable.iter().map(|(slug, _)| slug.clone()).collect::<Vec<_>>();
        maybe(Some(slugs.join(", ")).filter(|slugs| !slugs.is_empty()))
    }),
];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<(), Failure> {
    match verb {
        Verb::Show => session.output.list(&zones::show(&session.context).await?, RULES),
        Verb::Update(arguments) => update(arguments, session).await,
    }
}

async fn update(arguments: Arguments, session: &Session) -> Result<(), Failure> {
    let Arguments { from, allow_older, .. } = arguments;
    let source = from.map_or(Source::BuiltIn, Source::Directory);
    let planned = zones::plan(&session.context, &Request { source, allow_older }).await?;
    let update = &planned.update;
    for name in update.ignored.iter().take(10) {
        say(&format!("{name} is a link that leads out of the directory, and was not read"));
    }
    for (slug, reason) in &update.unreachable {
        say(&format!("tenant {slug} could not be read; its jobs move all the same: {reason}"));
    }
    if session.output.is_for_people() && !update.jobs.is_empty() {
        session.output.list(&update.jobs, MOVED)?;
    }
    let change = zones::update(&session.context, &session.actor, planned).await?;
    if let Change::Made(update) = &change {
        say(&format!(
            "the rules of {} hold from {} on; producers read them within 10 s",
            update.after.version,
            time(update.after.from)
        ));
    }
    session.show_change(change, UPDATE)
}
