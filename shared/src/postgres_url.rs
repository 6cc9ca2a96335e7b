//! Judges PostgreSQL URLs before they are used: what cannot be read as it is meant, and parameters that demand
//! what we do not do, are refused. Pure.

/// Parameters that have an effect.
const EFFECTIVE: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Parameters that protect the connection or choose where it leads, with the values that ask for nothing.
/// Any other value is refused, because ignoring it would be less safe than it says.
const DEMANDING: &[(&str, &[&str])] = &[
    ("channel_binding", &["prefer", "disable"]),
    ("gssencmode", &["prefer", "disable"]),
    ("load_balance_hosts", &["disable"]),
    ("passfile", &[]),
    ("replication", &["false", "off", "no", "0"]),
    ("require_auth", &[]),
    ("requirepeer", &[]),
    ("schema", &[]),
    ("service", &[]),
    ("servicefile", &[]),
    ("ssl_max_protocol_version", &[]),
    ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("sslcertmode", &["allow", "disable"]),
    ("sslcrl", &[]),
    ("sslcrldir", &[]),
    ("sslnegotiation", &["postgres"]),
    ("sslpassword", &[]),
    ("target_session_attrs", &["any"]),
];

const ENCODE: &str = "within user, password and database name, percent-encode special characters: `@` as \
                      %40, `/` as %2F, `#` as %23, `?` as %3F, `:` as %3A";

/// The parts of a URL, undecoded.
struct Parts<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    database: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

/// Why a PostgreSQL URL cannot be used; none if it can. The text contains no password.
pub(crate) fn problem(url: &str) -> Option<String> {
    let Parts { user, host, port, database, parameters } = match parts(url) {
        Ok(parts) => parts,
        Err(problem) => return Some(problem),
    };
    let shown = shown(host);
    let at = |key: &str| parameters.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    if host.contains(',') || at("host").is_some_and(|host| host.contains(',')) {
        let several = "it names several hosts, and one is supported: name an address that leads to \
                       the primary (a proxy, a virtual IP address or a DNS name that follows it)";
        return Some(several.to_owned());
    }
    if user.is_none() && database.contains('@') {
        return Some(format!("its host is read as `{shown}`; {ENCODE}"));
    }
    if let Some(port) = port
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        // The port is not repeated: it may be a password.
        return Some(format!("its host is read as `{shown}`, and its port is no number; {ENCODE}"));
    }
    if host.starts_with('[') && !host.ends_with(']') || host.matches(':').count() == 1 {
        return Some(format!("its host is read as `{shown}`; write an IPv6 address as [::1]"));
    }
    if host.chars().any(|c| c.is_whitespace() || "\\\"<>^`{|}".contains(c)) {
        return Some(format!("its host is read as `{shown}`; {ENCODE}"));
    }
    if database.is_empty() && at("dbname").is_none_or(str::is_empty) {
        return Some(format!(
            "it names no database: append it to the host, as in postgres://{shown}/acme"
        ));
    }
    let demands = parameters.iter().find(|(key, value)| {
        let known = DEMANDING.iter().find(|(demanding, _)| demanding == key);
        known.is_some_and(|(_, harmless)| !harmless.contains(value))
    });
    let (key, _) = demands?;
    Some(match *key {
        "schema" => {
            "the parameter `schema` has no effect; name the schema by `--schema`".to_owned()
        }
        "target_session_attrs" => format!(
            "the parameter `{key}` is not supported: remove it, and name an address that leads to the \
             primary; a session that is read-only is closed and opened anew"
        ),
        _ => format!(
            "the parameter `{key}` is not supported, and ignoring it could be unsafe: remove it"
        ),
    })
}

/// The parameters that have no effect, each once.
pub(crate) fn ignored_parameters(url: &str) -> Vec<String> {
    let Ok(Parts { parameters, .. }) = parts(url) else { return Vec::new() };
    let has_effect = |key: &str| EFFECTIVE.contains(&key) || key.starts_with("options[");
    let keys = parameters.into_iter().map(|(key, _)| key).filter(|key| !has_effect(key));
    let mut ignored: Vec<String> = keys.map(str::to_owned).collect();
    ignored.sort();
    ignored.dedup();
    ignored
}

/// A host as it is shown. What follows a colon may be a password.
fn shown(host: &str) -> &str {
    let is_address =
        host.starts_with('[') || host.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    if is_address { host } else { host.split(':').next().unwrap_or_default() }
}

fn parts(url: &str) -> Result<Parts<'_>, String> {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let (rest, fragment) = match rest.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (rest, None),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority),
    };
    let (host, port) = match address.rfind(':') {
        // The colons of an IPv6 address are in brackets.
        Some(at) if !address[at..].contains(']') => (&address[..at], Some(&address[at + 1..])),
        _ => (address, None),
    };
    if fragment.is_some() {
        let shown = shown(host);
        return Err(format!("it contains `#`, and its host is read as `{shown}`; {ENCODE}"));
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let parameters = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let port = port.filter(|port| !port.is_empty());
    Ok(Parts { user, host, port, database, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each with a part of what is said about it; empty: it is used.
    #[test]
    fn urls_as_operators_write_them() {
        for (url, said) in [
            ("postgres://ann:pw@db/acme", ""),
            ("postgresql://ann:pw@db:5432/acme", ""),
            ("postgres://db/acme", ""),
            ("postgres://ann@db/acme", ""),
            ("postgres://ann:pw@10.0.0.7:6432/acme", ""),
            ("postgres://ann:pw@[::1]/acme", ""),
            ("postgres://ann:pw@[::1]:5432/acme", ""),
            ("postgres://ann:pw@[fe80::1%25eth0]:5432/acme", ""),
            ("postgres://ann:pw@%2Fvar%2Frun%2Fpostgresql/acme", ""),
            ("postgres:///acme?host=/var/run/postgresql", ""),
            ("postgres:///acme?host=/var/run/postgresql&user=ann@corp", ""),
            ("postgres://ann:p%40s%2Fs%23w%3Fo%3Ard@db/acme", ""),
            ("postgres://ann:p@ss@db/acme", ""),
            ("postgres://ann%40corp:pw@db/acme", ""),
            ("postgres://ann:pw!$&'()*+,;=@db/acme", ""),
            ("postgres://db:/acme", ""),
            ("postgres://db/acme?sslmode=verify-full&sslrootcert=/ca.pem", ""),
            ("postgres://db/acme?sslcert=/c.pem&sslkey=/k.pem", ""),
            ("postgres://db/acme?options=-c%20search_path%3Dapp", ""),
            ("postgres://db/acme?application_name=jobs&connect_timeout=5", ""),
            ("postgres://db/acme?channel_binding=prefer", ""),
            ("postgres://db/acme?target_session_attrs=any", ""),
            ("postgres://db/acme?pgbouncer=true&connection_limit=1", ""),
            ("postgres://ann:pa/ss@db/acme", "its host is read as `ann`"),
            ("postgres://ann:5/ss@db/acme", "its host is read as `ann`"),
            ("postgres://ann:pa#ss@db/acme", "it contains `#`, and its host is read as `ann`"),
            ("postgres://ann:pw:pw/ss@db/acme", "its host is read as `ann`"),
            ("postgres://ann:pw@db/acme#x", "it contains `#`"),
            ("postgres://ann:pa?ss@db/acme", "its host is read as `ann`"),
            ("postgres://ann:pw@db:port/acme", "its port is no number"),
            ("postgres://ann:pw@db:0/acme", "its port is no number"),
            ("postgres://ann:pw@db:70000/acme", "its port is no number"),
            ("postgres://ann:pw@::1/acme", "write an IPv6 address as [::1]"),
            ("postgres://ann:pw@[::1/acme", "write an IPv6 address as [::1]"),
            ("postgres://ann:pw@d b/acme", "its host is read as `d b`"),
            ("postgres://ann:pw@h1,h2/acme", "several hosts"),
            ("postgres://ann:pw@h1:5432,h2:5433/acme", "several hosts"),
            ("postgres:///acme?host=h1,h2", "several hosts"),
            ("postgres://ann:pw@db", "it names no database"),
            ("postgres://ann:pw@db/?sslmode=require", "it names no database"),
            ("postgres://db?dbname=acme", ""),
            ("postgres://db/acme?target_session_attrs=read-write", "leads to the primary"),
            ("postgres://db/acme?channel_binding=require", "`channel_binding` is not supported"),
            ("postgres://db/acme?sslmode=verify-full&sslcrl=/crl.pem", "`sslcrl` is not supported"),
            ("postgres://db/acme?gssencmode=require", "`gssencmode` is not supported"),
            ("postgres://db/acme?require_auth=scram-sha-256", "`require_auth` is not supported"),
            ("postgres://db/acme?ssl_min_protocol_version=TLSv1.3", "not supported"),
            ("postgres://db/acme?service=prod", "`service` is not supported"),
            ("postgres://db/acme?schema=app", "by `--schema`"),
        ] {
            let problem = problem(url).unwrap_or_default();
            assert!(
                problem.contains(said) && problem.is_empty() == said.is_empty(),
                "{url}: {problem}"
            );
            assert!(!problem.contains("pw") && !problem.contains("ss@"), "{url}: {problem}");
        }
    }

    #[test]
    fn parameters_without_an_effect_are_named() {
        let url = "postgres://db/acme?pgbouncer=true&sslmode=require&connect_timeout=5&pgbouncer=true&options[a]=b";
        assert_eq!(ignored_parameters(url), ["connect_timeout", "pgbouncer"]);
        assert!(ignored_parameters("postgres://db/acme").is_empty());
    }
}
