//! What lets more people in than it should: clear text on a network, default passwords, roles with too
//! many rights, files that others can read. Warnings: whether they matter depends on the network and on
//! who uses the machine.

use std::collections::BTreeMap;

use shared::config::Config;
use shared::database_url::{DatabaseUrl, ServerConnection};
use shared::private_file;
use shared::queue::AmqpUrl;
use shared::tenant::Tenant;

use crate::finding::Finding;

/// The subject of all these findings.
pub(super) const SUBJECT: &str = "security";
/// How many tenants are named in one finding.
const NAMED: usize = 3;

fn warning(finding: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::problem(SUBJECT, finding, remedy).warning()
}

/// Of the settings.
pub(super) fn of_settings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, url) in
        [("AMQP_URL", &config.amqp_url), ("POLYCHRON_EXCHANGES_URL", &config.exchanges_url)]
    {
        findings.extend(url.iter().flat_map(|url| of_broker(name, url)));
    }
    if let Some(url) = &config.database_url {
        findings.extend(of_encryption("DATABASE_URL", url));
        findings.extend(of_parameters("DATABASE_URL", url));
    }
    if let Some(path) = &config.users
        && let Err(unfit) = private_file::read(path)
    {
        let finding = format!("POLYCHRON_USERS names {}, which {unfit}", path.display());
        findings.push(warning(finding, "`polychron serve` refuses it; do as the finding says"));
    }
    findings.extend(config.secrets.unfit().into_iter().map(|(name, reason)| {
        let finding = format!("the secret {name} is in {reason}");
        warning(finding, "jobs that name it fail; do as the finding says")
    }));
    findings
}

fn of_broker(name: &str, url: &AmqpUrl) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !url.is_encrypted() && !url.is_local() {
        findings.push(warning(
            format!("{name}: {url} is reached in clear text, its password included"),
            "use amqps://, with TLS enabled in RabbitMQ",
        ));
    }
    if url.has_default_password() {
        findings.push(warning(
            format!("{name}: the user is guest with RabbitMQ's default password"),
            "create a user of its own by `rabbitmqctl add_user`, and delete guest",
        ));
    }
    findings
}

fn of_encryption(name: &str, url: &DatabaseUrl) -> Option<Finding> {
    let connection = url.connection()?;
    if connection.is_local || connection.is_verified {
        return None;
    }
    let finding = format!(
        "{name}: {url} is reached without verifying its certificate, so that others on the network may read or answer"
    );
    Some(warning(
        finding,
        "add `?sslmode=verify-full` to the URL, and `sslrootcert` if its CA is your own",
    ))
}

fn of_parameters(name: &str, url: &DatabaseUrl) -> Option<Finding> {
    let ignored = url.ignored_parameters();
    let finding = format!(
        "{name}: in the URL of {url}, these parameters have no effect: {}",
        ignored.join(", ")
    );
    (!ignored.is_empty()).then(|| warning(finding, "remove them from the URL"))
}

/// Of the tenants' URLs: encryption, and roles that several tenants or the control database share.
pub(super) fn of_tenants(config: &Config, tenants: &[Tenant]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut roles: BTreeMap<(String, u16, String), Vec<&str>> = BTreeMap::new();
    let key = |ServerConnection { role, host, port, .. }| (host, port, role);
    for tenant in tenants {
        let name = format!("tenant {}", tenant.slug);
        findings.extend(of_encryption(&name, &tenant.database_url));
        findings.extend(of_parameters(&name, &tenant.database_url));
        if let Some(connection) = tenant.database_url.connection() {
            roles.entry(key(connection)).or_default().push(&tenant.slug);
        }
    }
    let control = config.database_url.as_ref().and_then(DatabaseUrl::connection).map(key);
    for (connection, slugs) in &roles {
        let is_controls = control.as_ref() == Some(connection);
        if slugs.len() < 2 && !is_controls {
            continue;
        }
        let (host, _, role) = connection;
        let also = if is_controls { ", and the control database" } else { "" };
        findings.push(warning(
            format!("role {role} at {host} is shared by {}{also}: what one of them runs as SQL reaches the others", names(slugs)),
            "create a role for each tenant that owns its database only, and give it by `polychron tenant edit TENANT --database-url-file FILE`",
        ));
    }
    findings
}

/// Of tenants whose role is a superuser.
pub(super) fn of_superusers(slugs: &[&str]) -> Option<Finding> {
    let remedy = "connect as a role that owns the tenant's database only: `CREATE ROLE … LOGIN`, \
                  `ALTER DATABASE … OWNER TO …`, then `polychron tenant edit TENANT --database-url-file FILE`";
    let finding = format!(
        "the role of {} is a superuser: their `sql` jobs can read the server's files and run programs there",
        names(slugs)
    );
    (!slugs.is_empty()).then(|| warning(finding, remedy))
}

fn names(slugs: &[&str]) -> String {
    let text = slugs.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match slugs.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use shared::config::Sources;

    use super::*;

    fn config(settings: &[(&str, &str)]) -> Config {
        let environment = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Config::read(&Sources { environment, ..Sources::default() }, &[]).unwrap()
    }

    fn tenant(slug: &str, url: &str) -> Tenant {
        let time = "2026-11-24T12:00:00Z".parse().unwrap();
        Tenant {
            id: shared::id::TenantId::new(time, &shared::random::Random::system()),
            slug: slug.to_owned(),
            name: slug.to_owned(),
            status: shared::tenant::TenantStatus::Active,
            database_url: url.parse().unwrap(),
            schema: None,
            max_running: None,
            created_at: time,
            updated_at: time,
        }
    }

    #[test]
    fn each_setting_that_exposes_something_is_found_and_its_remedy_silences_it() {
        for (name, exposed, says, mended) in [
            ("AMQP_URL", "amqp://ann:x@broker", "in clear text", "amqps://ann:x@broker"),
            ("AMQP_URL", "amqp://ann:x@192.0.2.1", "in clear text", "amqp://ann:x@127.0.0.1"),
            (
                "AMQP_URL",
                "amqp://guest:guest@localhost",
                "default password",
                "amqp://ann:x@localhost",
            ),
            (
                "POLYCHRON_EXCHANGES_URL",
                "amqp://ann:x@broker",
                "in clear text",
                "amqps://ann:x@broker",
            ),
            (
                "DATABASE_URL",
                "postgres://ann:x@db/c",
                "certificate",
                "postgres://ann:x@db/c?sslmode=verify-full",
            ),
            (
                "DATABASE_URL",
                "postgres://ann:x@db/c?sslmode=require",
                "certificate",
                "postgres://ann:x@[::1]/c",
            ),
            (
                "DATABASE_URL",
                "postgres://ann:x@192.0.2.1/c",
                "certificate",
                "postgres:///c?host=/run/postgresql",
            ),
        ] {
            let found = of_settings(&config(&[(name, exposed)]));
            assert_eq!(found.len(), 1, "{exposed}: {found:?}");
            assert!(found[0].finding.contains(says) && found[0].remedy.is_some(), "{found:?}");
            assert!(!found[0].finding.contains(":x@"), "{found:?}");
            let found = of_settings(&config(&[(name, mended)]));
            assert!(found.is_empty(), "{mended}: {found:?}");
        }
    }

    #[test]
    fn a_role_of_several_tenants_or_of_the_control_database_is_found() {
        let control = config(&[("DATABASE_URL", "postgres://polychron:x@localhost/control")]);
        let own = |slug: &str| tenant(slug, &format!("postgres://{slug}:x@localhost/{slug}"));
        assert!(of_tenants(&control, &[own("acme"), own("globex")]).is_empty());
        let shared = |slug: &str| tenant(slug, &format!("postgres://app:x@localhost/{slug}"));
        let found = of_tenants(&control, &[shared("acme"), shared("globex"), own("initech")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].finding.contains("role app at localhost is shared by acme, globex:"),
            "{found:?}"
        );
        let found =
            of_tenants(&control, &[tenant("acme", "postgres://polychron:y@localhost/acme")]);
        assert!(found[0].finding.contains("acme, and the control database"), "{found:?}");
        let remote = tenant("acme", "postgres://acme:x@db/acme");
        assert!(of_tenants(&control, &[remote])[0].finding.contains("certificate"));
        assert!(of_superusers(&[]).is_none());
        let many = of_superusers(&["a", "b", "c", "d"]).unwrap();
        assert!(many.finding.contains("a, b, c and 1 more"), "{many:?}");
    }
}
