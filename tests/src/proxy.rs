//! A TCP proxy that injects network faults: each direction can pass, delay or drop bytes, and
//! connections can be reset.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// They pass.
    Pass,
    /// They pass after this delay.
    Delay(Duration),
    /// They are dropped silently, as by a firewall, and arrive once the path passes again, as after
    /// TCP's retransmission.
    Blackhole,
}

/// The present state of the path.
#[derive(Clone, Copy, Debug)]
struct Faults {
    to_server: Path,
    to_client: Path,
    /// Increased to reset every connection.
    resets: u64,
    /// Whether new connections are reset at once.
    refuse: bool,
}

/// A proxy for one server. Dropping it resets its connections.
pub struct Proxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback and passes everything on to `server` (`host:port`).
    pub async fn start(server: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let whole =
            Faults { to_server: Path::Pass, to_client: Path::Pass, resets: 0, refuse: false };
        let (faults, observed) = watch::channel(whole);
        let accepting = tokio::spawn(accept(listener, server.to_owned(), observed));
        Proxy { address, faults, accepting }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of the server, changed to lead through this proxy. It must name the server's host and port.
    pub fn url(&self, url: &str) -> String {
        let (before, after) = split_address(url);
        format!("{before}{}{after}", self.address)
    }

    /// Sets what happens to bytes for the server and for the client.
    pub fn set(&self, to_server: Path, to_client: Path) {
        self.faults.send_modify(|faults| {
            (faults.to_server, faults.to_client) = (to_server, to_client);
            faults.refuse = false;
        });
    }

    /// Passes everything in both directions again.
    pub fn heal(&self) {
        self.set(Path::Pass, Path::Pass);
    }

    /// Drops everything in both directions.
    pub fn blackhole(&self) {
        self.set(Path::Blackhole, Path::Blackhole);
    }

    /// Resets every open connection; new ones are served.
    pub fn reset(&self) {
        self.faults.send_modify(|faults| faults.resets += 1);
    }

    /// Resets every open connection, and new ones until [`Proxy::heal`], as if the server were down.
    pub fn refuse(&self) {
        self.faults.send_modify(|faults| {
            faults.resets += 1;
            faults.refuse = true;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset();
    }
}

/// The server's `host:port` in a URL.
pub fn address_in(url: &str) -> &str {
    let (before, after) = split_address(url);
    &url[before.len()..url.len() - after.len()]
}

fn split_address(url: &str) -> (&str, &str) {
    let authority = url.find("://").unwrap() + 3;
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    let host = url[authority..end].rfind('@').map_or(authority, |at| authority + at + 1);
    (&url[..host], &url[end..])
}

async fn accept(listener: TcpListener, server: String, faults: watch::Receiver<Faults>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if faults.borrow().refuse {
            drop_with_reset(client);
            continue;
        }
        tokio::spawn(connect(client, server.clone(), faults.clone()));
    }
}

async fn connect(mut client: TcpStream, server: String, mut faults: watch::Receiver<Faults>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return drop_with_reset(client) };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    // Closing it sends a reset instead of a regular end.
    for stream in [&client, &server] {
        stream.set_zero_linger().unwrap();
    }
    let resets = faults.borrow().resets;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = pass(from_client, to_server, faults.clone(), |faults| faults.to_server);
    let down = pass(from_server, to_client, faults.clone(), |faults| faults.to_client);
    tokio::select! {
        // An end in one direction ends the connection: neither AMQP nor PostgreSQL half-closes.
        _ = up => {}
        _ = down => {}
        _ = faults.wait_for(|faults| faults.resets != resets) => {}
    }
}

/// Carries bytes in one direction.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: watch::Receiver<Faults>,
    path: impl Fn(&Faults) -> Path,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        let now = path(&faults.borrow());
        if let Path::Delay(delay) = now {
            tokio::time::sleep(delay).await;
        }
        // A path that drops everything also drops the end of the connection.
        if faults.wait_for(|faults| path(faults) != Path::Blackhole).await.is_err() || count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}

fn drop_with_reset(stream: TcpStream) {
    // If this fails, the client sees a regular end, which serves as well.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_in_a_url_is_exchanged() {
        for url in ["amqp://guest:g%40@127.0.0.1:5672/vhost", "postgres://u:p@127.0.0.1:5672?a=b"] {
            assert_eq!(address_in(url), "127.0.0.1:5672");
        }
        assert_eq!(split_address("amqp://h:1"), ("amqp://", ""));
    }

    /// An echo server.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_dropping_path_is_silent_and_a_reset_is_noticed() {
        let proxy = Proxy::start(&echo().await.to_string()).await;
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let mut byte = [0];
        client.write_all(b"a").await.unwrap();
        client.read_exact(&mut byte).await.unwrap();
        for (to_server, to_client) in [(Path::Blackhole, Path::Pass), (Path::Pass, Path::Blackhole)]
        {
            proxy.set(to_server, to_client);
            client.write_all(b"b").await.unwrap();
            let dark = tokio::time::timeout(Duration::from_millis(200), client.read(&mut byte));
            assert!(dark.await.is_err(), "nothing may arrive");
            proxy.heal();
            client.read_exact(&mut byte).await.unwrap();
            assert_eq!(&byte, b"b");
        }
        proxy.refuse();
        let error = client.read(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(matches!(client.read(&mut byte).await, Err(_) | Ok(0)), "refused as well");
    }
}
