//! The address of a collector of traces.

use std::str::FromStr;

/// A collector of traces. The connection is not encrypted, so the network must be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Host and port.
    pub authority: String,
    /// The path before `/v1/traces`; may be empty.
    pub path: String,
}

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Collector, String> {
        let remedy = "is not an http:// URL without a user, such as http://127.0.0.1:4318; for https, \
                      run a collector on this machine";
        let rest = text.strip_prefix("http://").ok_or(remedy)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if authority.contains('@') || path.contains(char::is_whitespace) || authority.is_empty() {
            return Err(remedy.to_owned());
        }
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:4318") };
        Ok(Collector { authority, path: path.trim_end_matches('/').to_owned() })
    }
}
