//! `polychron tenant notify`: whom to notify about a tenant's jobs.

use clap::Args;
use serde_json::Value;
use shared::notification::NOTIFIER;

use crate::input;
use crate::output::say;
use crate::session::Session;
use operations::change::Change;
use operations::failure::Failure;
use operations::tenant;

#[derive(Args)]
pub struct Notify {
    /// The slug of the tenant
    slug: String,
    /// A URL, or JSON with url, headers, signing_secret and on; `off` for no one
    #[arg(value_name = "URL|JSON", value_parser = input::target)]
    target: Value,
}

pub(super) async fn run(arguments: Notify, session: &Session) -> Result<(), Failure> {
    let Notify { slug, target } = arguments;
    let at = session.context.enter(&slug).await?;
    let change = tenant::notify(&session.context, &session.actor, &at, None, target).await?;
    if let Change::WouldMake(dry_run) = change {
        return session.show_dry_run(&dry_run);
    }
    say(&format!(
        "written to the job {NOTIFIER} of tenant {slug}; `polychron job run {slug} {NOTIFIER} --wait` \
         tries it"
    ));
    Ok(())
}
