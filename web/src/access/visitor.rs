//! The user who makes a request, and what they may do.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use crate::problem::Problem;
use crate::user::Role;

/// The user who makes a request.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Their name; none without a file of users.
    pub(crate) name: Option<String>,
    pub(crate) role: Role,
    pub(crate) tenants: Option<BTreeSet<String>>,
    /// Their forms must send it back, which prevents request forgery; none for a token, which has no
    /// forms.
    pub(crate) form_key: Option<String>,
}

impl Visitor {
    /// Whether they may see a tenant.
    pub(crate) fn may_see(&self, slug: &str) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(slug))
    }

    /// Whether they may see all tenants, and what belongs to none.
    pub(crate) fn sees_all(&self) -> bool {
        self.tenants.is_none()
    }

    /// Refuses users who may see some tenants only.
    pub(crate) fn must_see_all(&self) -> Result<(), Problem> {
        match self.sees_all() {
            true => Ok(()),
            false => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "your role is limited to some tenants; name one of them",
            )),
        }
    }

    /// Whether they may change anything.
    pub(crate) fn may_change(&self) -> bool {
        self.role == Role::Operator
    }

    /// Under which name their connections and requests are counted.
    pub(crate) fn user(&self) -> &str {
        self.name.as_deref().unwrap_or("loopback")
    }

    /// Their name in the audit.
    pub(crate) fn actor(&self) -> String {
        format!("web:{}", self.user())
    }
}
