//! `polychron dead`: messages that no consumer could parse.

use clap::Subcommand;
use operations::change::Change;
use operations::dead::{self, Emptied};
use operations::failure::Failure;
use shared::queue::DeadMessage;

use crate::input::confirm;
use crate::output::{Column, column, maybe, say};
use crate::session::Session;

#[derive(Subcommand)]
pub enum Verb {
    /// List the oldest messages that no consumer could parse; they stay in the queue polychron.dead
    ///
    /// RabbitMQ 4 drops a message that was listed and returned about twenty times, unless a policy
    /// raises the queue's delivery-limit.
    #[command(
        after_help = "Examples:\n  polychron dead list\n  polychron dead list --limit 5 -o json"
    )]
    List {
        /// Show at most this many
        #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Remove all of them, for good
    #[command(after_help = "Example:\n  polychron dead empty --reason 'a test published garbage'")]
    Empty {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const COLUMNS: &[Column<DeadMessage>] = &[
    column("REASON", |message| maybe(message.reason.as_ref())),
    column("BYTES", |message| message.bytes.to_string()),
    column("BODY", |message| message.body.clone()),
];

const EMPTIED: &[Column<Emptied>] = &[column("removed", |emptied| emptied.removed.to_string())];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<(), Failure> {
    match verb {
        Verb::List { limit } => {
            session.output.list(&dead::list(&session.context, limit).await?, COLUMNS)
        }
        Verb::Empty { yes } => {
            if !session.actor.is_dry_run() {
                confirm(yes, "All messages in polychron.dead are removed for good.")?;
            }
            let change = dead::empty(&session.context, &session.actor).await?;
            if let Change::Made(emptied) = &change {
                say(&format!("messages removed: {}", emptied.removed));
            }
            session.show_change(change, EMPTIED)
        }
    }
}
