//! The URL of a database. It may contain a password, so it is displayed without secrets.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::postgres_url;

/// A `postgres://` or `sqlite://` URL. `Debug` and `Display` leave out user, password and
/// parameters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DatabaseUrl(String);

/// Why a URL cannot be used. The error contains neither the URL nor a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidUrl {
    /// Its scheme is not supported.
    #[error("must begin with postgres://, postgresql:// or sqlite://")]
    UnknownScheme,
    /// It cannot be read as it is meant, or demands what is not supported. The text names the remedy.
    #[error("cannot be used: {0}")]
    Postgres(String),
}

impl DatabaseUrl {
    /// A value from the control database, without validation. If it is not a URL, connecting fails
    /// for this tenant only.
    pub fn stored(text: String) -> DatabaseUrl {
        DatabaseUrl(text)
    }

    /// The URL of an SQLite file.
    pub fn of_sqlite_file(path: &Path) -> DatabaseUrl {
        // Escape the characters that are special in a URL.
        let path = path.display().to_string();
        let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        DatabaseUrl(format!("sqlite://{path}"))
    }

    /// The whole URL, for connecting and storing. Never display it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The options for connecting to a PostgreSQL database.
    ///
    /// # Errors
    /// If the URL cannot be read, or demands what is not supported.
    pub(crate) fn postgres_options(&self) -> Result<PgConnectOptions, InvalidUrl> {
        if let Some(problem) = postgres_url::problem(&self.0) {
            return Err(InvalidUrl::Postgres(problem));
        }
        let options = PgConnectOptions::from_str(&self.0);
        let options = options.map_err(|error| InvalidUrl::Postgres(error.to_string()))?;
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        Ok(if options.get_socket().is_none() { options.host(&host) } else { options })
    }

    /// The parameters that have no effect.
    pub fn ignored_parameters(&self) -> Vec<String> {
        if self.is_sqlite() { Vec::new() } else { postgres_url::ignored_parameters(&self.0) }
    }

    /// Who connects to which server, and how. None: SQLite, or no URL.
    pub fn connection(&self) -> Option<ServerConnection> {
        if self.is_sqlite() {
            return None;
        }
        let options = self.postgres_options().ok()?;
        let (host, port) = (options.get_host().to_owned(), options.get_port());
        let is_verified =
            matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        let is_local = options.get_socket().is_some() || is_loopback(&host);
        let role = options.get_username().to_owned();
        Some(ServerConnection { role, host, port, is_verified, is_local })
    }

    /// Whether it is the URL of an SQLite file.
    pub fn is_sqlite(&self) -> bool {
        self.0.starts_with("sqlite:")
    }
}

/// A connection to a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConnection {
    /// The role that connects.
    pub role: String,
    /// The server's host, or the folder of its socket.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// Whether TLS is required and the server's certificate verified.
    pub is_verified: bool,
    /// Whether nothing leaves this machine.
    pub is_local: bool,
}

/// Whether a host is this machine: a loopback address, or the folder of a socket.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host.starts_with('/')
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;
    fn from_str(text: &str) -> Result<DatabaseUrl, InvalidUrl> {
        let text = text.trim();
        let known = ["postgres://", "postgresql://", "sqlite://"];
        if !known.iter().any(|scheme| text.starts_with(scheme)) {
            return Err(InvalidUrl::UnknownScheme);
        }
        let url = DatabaseUrl(text.to_owned());
        if !url.is_sqlite() {
            url.postgres_options()?;
        }
        Ok(url)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A URL without user, password and parameters. The host is taken to begin after the last `@`, which
/// hides passwords with an unescaped `@` or `/`.
pub fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_displayed_without_user_password_and_parameters() {
        for (url, shown) in [
            ("postgres://ann:s3cret@db:5432/acme?sslmode=require", "postgres://db:5432/acme"),
            ("postgresql://ann:p@ss/word@db/acme", "postgresql://db/acme"),
            ("postgres://db/acme?password=s3cret", "postgres://db/acme"),
            ("sqlite:///var/lib/acme.db", "sqlite:///var/lib/acme.db"),
        ] {
            let url: DatabaseUrl = url.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
        assert_eq!("mysql://x".parse::<DatabaseUrl>(), Err(InvalidUrl::UnknownScheme));
        let ipv6: DatabaseUrl = "postgres://[::1]:5433/acme".parse().unwrap();
        assert_eq!(ipv6.connection().unwrap().host, "::1");
    }
}
