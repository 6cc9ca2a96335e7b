//! The broker's URL, and a probe that tells whether a broker answers there.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use lapin::uri::{AMQPScheme, AMQPUri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Fault;
use crate::database_url::{is_loopback, without_secrets};

/// The time between two heartbeats, in seconds. A dead connection is detected after two.
const HEARTBEAT_SECONDS: u16 = 10;

/// An `amqp://` or `amqps://` URL. `Debug` and `Display` leave out user, password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl(String);

/// Says what is wrong with a broker's URL, without repeating it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "must look like amqp://user:password@host:5672/vhost, or amqps:// for TLS; within user, password and \
     vhost, percent-encode special characters: `@` as %40, `/` as %2F, `#` as %23, `?` as %3F, `:` as %3A"
)]
pub struct InvalidAmqpUrl;

impl FromStr for AmqpUrl {
    type Err = InvalidAmqpUrl;
    fn from_str(text: &str) -> Result<AmqpUrl, InvalidAmqpUrl> {
        let text = text.trim();
        // A `#` in a password would end the URL there, and the user's name be the host.
        match AMQPUri::from_str(text) {
            Ok(_) if !text.contains('#') => Ok(AmqpUrl(text.to_owned())),
            _ => Err(InvalidAmqpUrl),
        }
    }
}

impl AmqpUrl {
    pub(super) fn to_lapin(&self) -> AMQPUri {
        // It was parsed when it was constructed.
        let mut uri = AMQPUri::from_str(&self.0).unwrap_or_default();
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        // The parser takes an IPv6 address for no host, and puts `localhost` in its place.
        if let Some(address) = ipv6_host(&self.0) {
            uri.authority.host = address.to_string();
        }
        uri
    }
}

/// The IPv6 address in brackets that a URL has as its host.
fn ipv6_host(url: &str) -> Option<Ipv6Addr> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let address = authority.rsplit('@').next()?;
    address.strip_prefix('[')?.split_once(']')?.0.parse().ok()
}

impl AmqpUrl {
    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.to_lapin().scheme == AMQPScheme::AMQPS
    }

    /// Whether nothing leaves this machine.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.to_lapin().authority.host)
    }

    /// Whether it is the user that every RabbitMQ begins with, with its password.
    pub fn has_default_password(&self) -> bool {
        let user = self.to_lapin().authority.userinfo;
        user.username == "guest" && user.password == "guest"
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.0))
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Sends the protocol header, to which a broker answers with its version (AMQP 0-9-1, 2.2.4). Over TLS,
/// only connects to the port. The caller limits how long it may take.
pub(super) async fn probe(url: &AmqpUrl) -> Result<Option<String>, Fault> {
    let uri = url.to_lapin();
    let mut stream = TcpStream::connect((&*uri.authority.host, uri.authority.port)).await?;
    if uri.scheme == AMQPScheme::AMQPS {
        return Ok(None);
    }
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let mut header = [0; 7];
    stream.read_exact(&mut header).await?;
    // An AMQP 0-9-1 server answers with a method frame on channel 0.
    if header[..3] != [1, 0, 0] {
        return Err(Fault::NotAmqp);
    }
    let length = u32::from_be_bytes([header[3], header[4], header[5], header[6]]).min(65_536);
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await?;
    Ok(version(&answer))
}

/// Finds the server's version in its answer: a table entry `version` of type long string.
fn version(answer: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\x07versionS";
    let at = answer.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let length = u32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?) as usize;
    let text = answer.get(at + 4..at + 4 + length)?;
    String::from_utf8(text.to_vec()).ok().filter(|text| text.len() < 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_hides_its_password_and_gets_a_heartbeat() {
        let url: AmqpUrl = "amqp://ann:s3cret@rabbit:5673/jobs".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "amqp://rabbit:5673/jobs amqp://rabbit:5673/jobs");
        assert_eq!(url.to_lapin().query.heartbeat, Some(10));
        let url: AmqpUrl = "amqp://rabbit/%2f?heartbeat=30".parse().unwrap();
        assert_eq!(url.to_lapin().query.heartbeat, Some(30));
        for (url, host, is_local) in [
            ("amqp://[::1]:5672", "::1", true),
            ("amqp://ann:pw@[2001:db8::7]/jobs", "2001:db8::7", false),
        ] {
            let url: AmqpUrl = url.parse().unwrap();
            assert_eq!(url.to_lapin().authority.host, host);
            assert_eq!(url.is_local(), is_local, "{host}");
        }
        for refused in ["http://rabbit", "amqp://ann:pa#ss@rabbit/x", "amqp://ann:5#ss@rabbit/x"] {
            assert_eq!(refused.parse::<AmqpUrl>(), Err(InvalidAmqpUrl), "{refused}");
        }
    }

    #[test]
    fn the_version_is_found_or_not() {
        assert_eq!(version(b"..\x07versionS\x00\x00\x00\x063.10.8x"), Some("3.10.8".into()));
        assert_eq!(version(b"..\x07versionS\xff\xff\xff\xff3.10.8x"), None);
        assert_eq!(version(b"\x07versionS\x00"), None);
    }
}
