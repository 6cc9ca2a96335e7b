//! Prevents server-side request forgery: everyone who can write a tenant's jobs can define `http`
//! jobs, and this machine may reach addresses that they must not reach.
//!
//! A name is resolved once, all its addresses are checked, and the connection is made to a checked
//! address, so DNS rebinding has no effect. Unusual notations of an address (decimal, octal,
//! hexadecimal, IPv4 within IPv6) are checked as the address that they mean.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use shared::config::Network;
use url::{Host, Url};

use crate::HandlerError;

/// Decides which addresses a call may connect to.
pub(super) struct Guard {
    /// Networks that are not public but that the operator allows.
    allowed: Vec<Network>,
    resolver: Resolver,
}

/// How names become addresses.
enum Resolver {
    /// By the system's resolver.
    System,
    /// One answer after the other, to test DNS rebinding.
    #[cfg(test)]
    Scripted(std::sync::Mutex<Vec<Vec<IpAddr>>>),
}

impl Guard {
    pub(super) fn new(allowed: Vec<Network>) -> Guard {
        Guard { allowed, resolver: Resolver::System }
    }

    /// All addresses of the URL's host, if all of them are allowed.
    pub(super) async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, HandlerError> {
        let refuse = |why: &str| Err(HandlerError::new(format!("payload.url {why}")).final_());
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return refuse("has no host");
        };
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("is neither http nor https");
        }
        let addresses = match host {
            Host::Ipv4(address) => vec![IpAddr::V4(address)],
            Host::Ipv6(address) => vec![IpAddr::V6(address)],
            Host::Domain(name) => {
                let resolved = self.resolver.resolve(name, port).await;
                resolved.map_err(|error| {
                    HandlerError::new(format!("{name} cannot be resolved: {error}"))
                })?
            }
        };
        if addresses.is_empty() {
            return Err(HandlerError::new(format!("{host} has no address")));
        }
        if !addresses.iter().all(|address| self.allows(*address)) {
            return refuse(&format!(
                "leads to an address of {host} that is not public and not listed in \
                 POLYCHRON_HTTP_ALLOW"
            ));
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    fn allows(&self, address: IpAddr) -> bool {
        let meant = address.to_canonical(); // ::ffff:127.0.0.1 is 127.0.0.1
        let listed = self.allowed.iter().any(|network| network.contains(meant));
        listed
            || match meant {
                IpAddr::V4(address) => is_public_v4(address),
                IpAddr::V6(address) => is_public_v6(address),
            }
    }
}

impl Resolver {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<IpAddr>> {
        match self {
            Resolver::System => {
                let found = tokio::net::lookup_host((name, port)).await?;
                Ok(found.map(|address| address.ip()).collect())
            }
            #[cfg(test)]
            Resolver::Scripted(answers) => Ok(answers.lock().unwrap().remove(0)),
        }
    }
}

/// Whether an address is in none of IANA's special-purpose ranges, and is not an address at which clouds
/// serve their machines.
fn is_public_v4(address: Ipv4Addr) -> bool {
    const SPECIAL: [([u8; 4], u32); 17] = [
        ([0, 0, 0, 0], 8),        // this network
        ([10, 0, 0, 0], 8),       // private
        ([100, 64, 0, 0], 10),    // carrier-grade NAT; Alibaba's metadata (100.100.100.200)
        ([127, 0, 0, 0], 8),      // loopback
        ([168, 63, 129, 16], 32), // Azure's wire server: a public address that only machines there reach
        ([169, 254, 0, 0], 16), // link-local; metadata of AWS, Google, Azure, DigitalOcean and others
        ([172, 16, 0, 0], 12),  // private
        ([192, 0, 0, 0], 24),   // protocol assignments; Oracle's metadata (192.0.0.192)
        ([192, 0, 2, 0], 24),   // documentation
        ([192, 31, 196, 0], 24), // AS112
        ([192, 52, 193, 0], 24), // AMT
        ([192, 88, 99, 0], 24), // 6to4 relays
        ([192, 168, 0, 0], 16), // private
        ([192, 175, 48, 0], 24), // AS112
        ([198, 18, 0, 0], 15),  // benchmarks
        ([198, 51, 100, 0], 24), // documentation
        ([203, 0, 113, 0], 24), // documentation
    ];
    let is_in = |(network, prefix): ([u8; 4], u32)| {
        (Ipv4Addr::from(network).to_bits() ^ address.to_bits()).leading_zeros() >= prefix
    };
    // From 224.0.0.0 on: multicast, reserved, broadcast.
    address.octets()[0] < 224 && !SPECIAL.into_iter().any(is_in)
}

/// Only 2000::/3 is in public use, apart from special ranges within it. What is outside includes the
/// metadata of AWS (fd00:ec2::254) and Google (fd20:ce::254), and NAT64 (64:ff9b::/96 and
/// 64:ff9b:1::/48), which leads to any IPv4 address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match parts {
        // Protocol assignments, among them Teredo and ORCHID; documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [0x2620, 0x004f, 0x8000, ..] => false, // AS112
        // 6to4 leads to the IPv4 address that it contains.
        [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        // ISATAP, within any prefix.
        [0x2000..=0x3fff, _, _, _, 0x0000 | 0x0200, 0x5efe, high, low] => {
            is_public_v4(v4(high, low))
        }
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(guard: &Guard, url: &str) -> Result<Vec<SocketAddr>, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        guard.addresses(&url).await.map_err(|error| format!("{error:?}"))
    }

    const REFUSED: [&str; 68] = [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "169.254.169.254",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fc00::1]",
        "[fd12::1]",
        "[ff02::1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::808:808]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:db8::1]",
        "[2001::1]",
        "127.0.0.1.",
        "①②⑦.0.0.1",
        // What clouds serve their machines.
        "168.63.129.16",
        "0xa83f8110",
        "[::ffff:168.63.129.16]",
        "[2002:a83f:8110::1]",
        "100.100.100.200",
        "100.127.255.254",
        "192.0.0.192",
        "169.254.170.2",
        "169.254.42.42",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[fd20:ce::254]",
        "[fd00:42::42]",
        // Other addresses within an address.
        "[::ffff:0:127.0.0.1]",
        "[2001:0:4136:e378:8000:63bf:f5ff:fffe]",
        "[2606:4700::5efe:7f00:1]",
        "[2606:4700::200:5efe:a00:1]",
        "[2620:4f:8000::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[100::1]",
        "[fec0::1]",
        "198.19.255.255",
        "192.88.99.1",
        "192.175.48.6",
        "198.51.100.7",
    ];

    #[tokio::test]
    async fn private_addresses_are_refused_in_every_notation() {
        let guard = Guard::new(Vec::new());
        for host in REFUSED {
            let refusal = check(&guard, &format!("http://{host}/")).await.unwrap_err();
            assert!(
                refusal.contains("not public") && refusal.contains("retry: false"),
                "{host}: {refusal}"
            );
        }
        for url in ["ftp://1.1.1.1/", "file:///etc/passwd", "gopher://1.1.1.1/", "unix:/run/x"] {
            assert!(check(&guard, url).await.is_err(), "{url}");
        }
        for host in [
            "1.1.1.1",
            "172.32.0.1",
            "[2606:4700::1111]",
            "[2002:101:101::]",
            "223.255.255.255",
            "168.63.129.17",
            "100.63.255.255",
            "100.128.0.1",
            "192.0.1.1",
            "[2606:4700::5efe:101:101]",
        ] {
            assert!(check(&guard, &format!("https://{host}/")).await.is_ok(), "{host}");
        }
    }

    #[tokio::test]
    async fn the_operator_may_allow_networks() {
        let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap(), "::1".parse().unwrap()]);
        for host in ["10.1.2.3", "[::ffff:10.1.2.3]", "[::1]"] {
            assert!(check(&guard, &format!("http://{host}:8080/")).await.is_ok(), "{host}");
        }
        assert!(check(&guard, "http://10.2.0.1/").await.is_err());
        assert!(check(&guard, "http://127.0.0.1/").await.is_err());
    }

    #[tokio::test]
    async fn a_single_private_address_is_refused_and_names_are_resolved_once() {
        let (public, private) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([127, 0, 0, 1]));
        let scripted = |answers: &[Vec<IpAddr>]| Guard {
            allowed: Vec::new(),
            resolver: Resolver::Scripted(answers.to_vec().into()),
        };
        let mixed = scripted(&[vec![public, private]]);
        assert!(check(&mixed, "http://example.com/").await.unwrap_err().contains("not public"));
        // The second answer would lead to this machine, but the name is not resolved again.
        let rebinding = scripted(&[vec![public], vec![private]]);
        let addresses = check(&rebinding, "http://example.com/").await.unwrap();
        assert_eq!(addresses, [SocketAddr::new(public, 80)]);
        let Resolver::Scripted(left) = &rebinding.resolver else { unreachable!() };
        assert_eq!(left.lock().unwrap().len(), 1);
        assert!(check(&scripted(&[vec![]]), "http://example.com/").await.is_err());
    }
}
