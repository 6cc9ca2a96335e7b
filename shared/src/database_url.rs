//! The URL of a database. It may hold a password, so it shows itself only in part.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A `postgres://` or `sqlite://` URL. `Debug` and `Display` leave out user, password and
/// parameters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DatabaseUrl(String);

/// What is wrong with a database URL; never repeats it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must begin with postgres://, postgresql:// or sqlite://")]
pub struct UnknownScheme;

impl DatabaseUrl {
    /// What stands in the control database, where anybody may have written it. If it is no URL,
    /// connecting will say so, for this tenant only.
    pub fn stored(text: String) -> DatabaseUrl {
        DatabaseUrl(text)
    }

    /// The URL of an SQLite file.
    pub fn of_sqlite_file(path: &Path) -> DatabaseUrl {
        // What means something in a URL must not mean it in a path.
        let path = path.display().to_string();
        let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        DatabaseUrl(format!("sqlite://{path}"))
    }

    /// The whole URL, for connecting and for storing; never for showing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it names an SQLite file.
    pub fn is_sqlite(&self) -> bool {
        self.0.starts_with("sqlite:")
    }
}

impl FromStr for DatabaseUrl {
    type Err = UnknownScheme;
    fn from_str(text: &str) -> Result<DatabaseUrl, UnknownScheme> {
        let text = text.trim();
        let known = ["postgres://", "postgresql://", "sqlite://"];
        if known.iter().any(|scheme| text.starts_with(scheme)) {
            Ok(DatabaseUrl(text.to_owned()))
        } else {
            Err(UnknownScheme)
        }
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

/// A URL without its user, password and parameters. What follows the last `@` is taken for the
/// host, so that a password with an unescaped `@` or `/` in it does not show.
pub fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_where_but_never_who() {
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
        assert_eq!("mysql://x".parse::<DatabaseUrl>(), Err(UnknownScheme));
    }
}
