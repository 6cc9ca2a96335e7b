//! A malicious PostgreSQL server: a proxy that passes everything on to a real server until a test makes
//! it lie. From then on it answers every statement with the lie.

use std::net::SocketAddr;
use std::time::Duration;

use shared::database_url::DatabaseUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often the slow lies send something.
const DRIP: Duration = Duration::from_millis(100);

/// A hostile response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Notices without end.
    Notices,
    /// Rows without end, of one null each.
    Rows,
    /// A row of 500 MB, which it begins to send.
    HugeRow,
    /// An error of 500 MB, which it begins to send.
    HugeError,
    /// A notice of 500 MB, which it begins to send.
    HugeNotice,
    /// A message whose bytes come one by one.
    Drip,
    /// Notices that come one by one.
    SlowNotices,
    /// Settings that it reports without end, each under another name.
    Settings,
    /// Bytes that are not a message.
    Noise,
    /// Messages whose bodies are shorter than what they should hold.
    Cut,
    /// Nothing.
    Silence,
}

impl Lie {
    /// All there are.
    pub const ALL: [Lie; 11] = [
        Lie::Notices,
        Lie::Rows,
        Lie::HugeRow,
        Lie::HugeError,
        Lie::HugeNotice,
        Lie::Drip,
        Lie::SlowNotices,
        Lie::Settings,
        Lie::Noise,
        Lie::Cut,
        Lie::Silence,
    ];
}

/// The server. Dropping it closes its connections.
pub struct LyingServer {
    /// The real server's database, reached through this server.
    pub url: DatabaseUrl,
    lie: watch::Sender<Option<Lie>>,
    delay: watch::Sender<Duration>,
    accepting: JoinHandle<()>,
}

impl LyingServer {
    /// Starts one in front of the server of `url`.
    pub async fn before(url: &DatabaseUrl) -> LyingServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (behind, url) = by_way_of(url, address);
        let (lie, current) = watch::channel(None);
        let (delay, current_delay) = watch::channel(Duration::ZERO);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (lie, delay) = (current.clone(), current_delay.clone());
                tokio::spawn(serve(client, behind.clone(), lie, delay));
            }
        });
        LyingServer { url, lie, delay, accepting }
    }

    /// Lies from the next statement on, or no more.
    pub fn tell(&self, lie: Option<Lie>) {
        self.lie.send_replace(lie);
    }

    /// Accepts connections as before, but passes on what belongs to a statement only after a delay.
    pub fn delay_statements(&self, by: Duration) {
        self.delay.send_replace(by);
    }
}

impl Drop for LyingServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The real server's address, and the URL with this one's in its place.
fn by_way_of(url: &DatabaseUrl, address: SocketAddr) -> (String, DatabaseUrl) {
    let (scheme, rest) = url.expose().split_once("://").unwrap();
    let (credentials, rest) = rest.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let lying = format!("{scheme}://{credentials}@{address}/{database}?sslmode=disable");
    (server.to_owned(), lying.parse().unwrap())
}

async fn serve(
    mut client: TcpStream,
    behind: String,
    lie: watch::Receiver<Option<Lie>>,
    delay: watch::Receiver<Duration>,
) {
    let Ok(mut server) = TcpStream::connect(behind).await else { return };
    let (mut request, mut response) = (vec![0; 8192], vec![0; 8192]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    let lie = *lie.borrow();
                    if let Some(lie) = lie {
                        // Ends when the client hangs up.
                        let _ = send(lie, &mut client).await;
                        return;
                    }
                    // A query, or the first message of a statement's preparation or execution.
                    if matches!(request[0], b'Q' | b'P' | b'B') {
                        let delay = *delay.borrow();
                        tokio::time::sleep(delay).await;
                    }
                    if server.write_all(&request[..n]).await.is_err() {
                        return;
                    }
                }
            },
            read = server.read(&mut response) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => if client.write_all(&response[..n]).await.is_err() {
                    return;
                },
            },
        }
    }
}

async fn send(lie: Lie, client: &mut TcpStream) -> std::io::Result<()> {
    const NOTICE: &[u8] = b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0";
    match lie {
        Lie::Notices => again(client, &message(b'N', NOTICE).repeat(200)).await,
        Lie::Rows => again(client, &message(b'D', &[0, 1, 255, 255, 255, 255]).repeat(500)).await,
        Lie::HugeRow => begin(client, b'D').await,
        Lie::HugeError => begin(client, b'E').await,
        Lie::HugeNotice => begin(client, b'N').await,
        Lie::Drip => {
            client.write_all(&[b'N', 0, 0, 64, 0]).await?;
            slowly(client, b"x").await
        }
        Lie::SlowNotices => slowly(client, &message(b'N', NOTICE)).await,
        Lie::Settings => {
            for n in 0_u64.. {
                let setting = [n.to_string().as_bytes(), b"\0", &[b'x'; 8000], b"\0"].concat();
                client.write_all(&message(b'S', &setting)).await?;
            }
            Ok(())
        }
        Lie::Noise => again(client, &[0; 4096]).await,
        Lie::Cut => {
            for kind in b"ZKT1SDR" {
                client.write_all(&message(*kind, &[])).await?;
            }
            silence(client).await
        }
        Lie::Silence => silence(client).await,
    }
}

/// One message of the server.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind], length.as_slice(), body].concat()
}

/// A message of 500 MB.
async fn begin(client: &mut TcpStream, kind: u8) -> std::io::Result<()> {
    client.write_all(&[&[kind], 500_000_000_u32.to_be_bytes().as_slice()].concat()).await?;
    again(client, &[b'x'; 4096]).await
}

async fn again(client: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        client.write_all(bytes).await?;
    }
}

async fn slowly(client: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        client.write_all(bytes).await?;
        tokio::time::sleep(DRIP).await;
    }
}

/// Waits until the client hangs up.
async fn silence(client: &mut TcpStream) -> std::io::Result<()> {
    while client.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}
