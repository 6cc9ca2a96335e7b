//! `polychron installation`: what a control database is that was moved or copied.

use clap::Subcommand;
use operations::change::Change;
use operations::failure::Failure;
use operations::installation::{Kind, Settled, settle};

use crate::input::confirm;
use crate::output::{Column, column, say};
use crate::session::Session;

#[derive(Subcommand)]
pub enum Verb {
    /// The control database was moved or restored, and is the only one: go on with its tenants
    #[command(after_help = "Example:\n  polychron installation moved --reason 'new server'")]
    Moved {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// The control database is a copy: suspend its tenants, which are the original's
    ///
    /// Then point each at a database of its own (`polychron tenant edit`) and resume it, or remove it.
    #[command(after_help = "Example:\n  polychron installation new --reason 'staging copy'")]
    New {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const SETTLED: &[Column<Settled>] = &[
    column("place", |settled| settled.place.clone()),
    column("suspended", |settled| settled.suspended.join(", ")),
];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<(), Failure> {
    let (kind, yes, question) = match verb {
        Verb::Moved { yes } => (
            Kind::Moved,
            yes,
            "Jobs would run twice if the control database from before is in use anywhere.",
        ),
        Verb::New { yes } => {
            (Kind::New, yes, "All tenants of this control database are suspended.")
        }
    };
    if !session.actor.is_dry_run() {
        confirm(yes, question)?;
    }
    let change = settle(&session.context, &session.actor, kind).await?;
    if let Change::Made(settled) = &change {
        say(&format!("the control database belongs to {} now", settled.place));
    }
    session.show_change(change, SETTLED)
}
