//! `polychron job explain`.

use crate::exit::Failure;
use crate::finding::COLUMNS;
use crate::operation::explain::explain;
use crate::session::Session;

pub(super) async fn run(tenant: &str, name: &str, session: &Session) -> Result<(), Failure> {
    let at = session.operator.enter(tenant).await?;
    session.output.list(&explain(&session.operator, &at, name).await?, COLUMNS)
}
