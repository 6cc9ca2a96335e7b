//! How many connections all processes together may open to each database server, and how many there are.

use std::collections::BTreeMap;

use shared::store::{CONNECTIONS_MAX, ConnectionLimits, share};

use crate::finding::Finding;

/// The most connections of one process to one tenant's database at a time.
const PER_TENANT: usize = 4;

/// The PostgreSQL servers that tenants' databases are on, by address.
#[derive(Default)]
pub struct Servers(BTreeMap<String, Server>);

#[derive(Default)]
struct Server {
    limit: usize,
    sessions: usize,
    /// The limit of each role that has one, and the number of tenants that use it.
    roles: BTreeMap<String, (usize, usize)>,
}

impl Servers {
    /// Adds a tenant's database: where it is, who connects, and what the server says.
    pub(super) fn add(&mut self, address: &str, role: String, limits: ConnectionLimits) {
        let server = self.0.entry(address.to_owned()).or_default();
        server.limit = usize::try_from(limits.server).unwrap_or_default();
        server.sessions = usize::try_from(limits.sessions).unwrap_or_default();
        if let Ok(limit) = usize::try_from(limits.role) {
            let (known, tenants) = server.roles.entry(role).or_default();
            *known = limit;
            *tenants += 1;
        }
    }

    /// Where `processes` with this setting may need more connections than there are.
    pub(super) fn findings(&self, per_server: Option<usize>, processes: usize) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (address, Server { limit, sessions, roles }) in &self.0 {
            let each = per_server.unwrap_or_else(|| share(*limit).min(CONNECTIONS_MAX));
            let subject = format!("connections to {address}");
            if each * processes > *limit {
                let finding = format!(
                    "{processes} processes may open {} connections, and the server allows {limit}",
                    each * processes
                );
                let remedy = format!(
                    "set POLYCHRON_CONNECTIONS to {} or less, raise `max_connections`, or put a pooler in \
                     session mode before it",
                    (limit / 2 / processes).max(1)
                );
                findings.push(Finding::problem(&subject, finding, remedy));
            }
            if sessions * 10 >= limit * 9 {
                let finding = format!("{sessions} of {limit} are open, of all programs");
                let remedy =
                    "find out whose they are in `pg_stat_activity`, or raise `max_connections`";
                findings.push(Finding::problem(&subject, finding, remedy).warning());
            }
            for (role, (limit, tenants)) in roles {
                let needed = processes * each.min(PER_TENANT * tenants);
                if needed > *limit {
                    let finding = format!(
                        "{processes} processes may open {needed} as role {role}, which is allowed {limit}"
                    );
                    let remedy = format!(
                        "raise the role's limit by `ALTER ROLE \"{role}\" CONNECTION LIMIT {needed}`, or lower \
                         POLYCHRON_CONNECTIONS"
                    );
                    findings.push(Finding::problem(&subject, finding, remedy).warning());
                }
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    #[test]
    fn budgets_are_added_up_against_the_limits_of_server_and_role() {
        let mut servers = Servers::default();
        for _ in 0..5 {
            let limits = ConnectionLimits { server: 97, role: 22, database: -1, sessions: 50 };
            servers.add("db:5432", "app".to_owned(), limits);
        }
        assert!(servers.findings(None, 0).is_empty());
        assert!(servers.findings(None, 2).is_empty(), "16 of 22");
        let found = servers.findings(None, 6);
        assert_eq!(found.len(), 1, "48 of 97 are a half, and more than the role's 22");
        assert!(found[0].finding.contains("48 as role app, which is allowed 22"), "{found:?}");
        let found = servers.findings(Some(20), 6);
        assert!(found[0].level == Level::Problem && found[0].finding.contains("120 connections"));
        assert!(found[0].remedy.as_ref().unwrap().contains("POLYCHRON_CONNECTIONS to 8"));
        let limits = ConnectionLimits { server: 97, role: -1, database: -1, sessions: 90 };
        servers.add("busy:5432", "app".to_owned(), limits);
        assert!(servers.findings(None, 1)[0].finding.contains("90 of 97 are open"));
    }
}
