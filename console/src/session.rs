//! What every command works with: the means of its operation, who asks for it, and where what it
//! finds is shown.

use shared::config::Config;
use shared::tenant::{Tenant, TenantStatus};

use crate::exit::Failure;
use crate::operator::{Asker, Operator, Request};
use crate::output::{Output, say};

/// One command's surroundings.
pub(crate) struct Session {
    pub(crate) operator: Operator,
    pub(crate) asker: Asker,
    pub(crate) output: Output,
}

impl Session {
    /// Connects to the control database and sees to it that its schema is known.
    pub(crate) async fn open(
        config: Config,
        output: Output,
        request: &Request,
    ) -> Result<Session, Failure> {
        let asker = Asker::at_the_terminal(request)?;
        Ok(Session { operator: Operator::open(config).await?, asker, output })
    }
}

/// Says so when what was asked for will have to wait for the tenant to be resumed.
pub(crate) fn mind_suspension(tenant: &Tenant) {
    if tenant.status == TenantStatus::Suspended {
        let slug = &tenant.slug;
        say(&format!(
            "tenant {slug} is suspended: nothing starts until `polychron tenant resume {slug}`"
        ));
    }
}
