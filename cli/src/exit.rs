//! How a failure is reported to scripts: an exit code, and JSON.

use serde::Serialize;

use operations::failure::Failure;

/// A failure as programs read it: `{"error": {…}}`.
#[derive(Serialize)]
pub(crate) struct ErrorDocument {
    error: ErrorFields,
}

#[derive(Serialize)]
struct ErrorFields {
    /// The exit code's meaning in a word.
    kind: &'static str,
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    message: String,
}

/// The exit code. Nothing else decides it.
pub fn code(failure: &Failure) -> u8 {
    match failure {
        Failure::Failed(_)
        | Failure::TenantFailed { .. }
        | Failure::Conflict(_)
        | Failure::Stale(_)
        | Failure::Refused(_)
        | Failure::Forbidden(_) => 1,
        Failure::Usage(_) | Failure::Settings(_) => 2,
        Failure::NotFound(_) => 3,
        Failure::SomeTenants { .. } => 4,
        Failure::Unreachable(_) => 5,
    }
}

fn kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Failed(_) | Failure::TenantFailed { .. } => "failed",
        Failure::Conflict(_) => "conflict",
        Failure::Stale(_) => "stale",
        Failure::Refused(_) => "refused",
        Failure::Usage(_) => "usage",
        Failure::Settings(_) => "settings",
        Failure::Forbidden(_) => "forbidden",
        Failure::NotFound(_) => "not_found",
        Failure::SomeTenants { .. } => "some_tenants",
        Failure::Unreachable(_) => "unreachable",
    }
}

/// The failure for programs; of one tenant, when it was one of several.
pub(crate) fn document(failure: &Failure, tenant: Option<&str>) -> ErrorDocument {
    let (kind, code, message) = (kind(failure), code(failure), failure.to_string());
    ErrorDocument { error: ErrorFields { kind, code, tenant: tenant.map(str::to_owned), message } }
}
