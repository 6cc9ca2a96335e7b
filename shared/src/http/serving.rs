//! Serves HTTP connections. A client that sends or reads slowly, or opens connections and sends nothing, must
//! not lock others out. So each phase of a request has a time limit, and a full server closes the connection
//! that has made no progress for the longest time.

use std::pin::pin;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::connection_limit::{Admitted, Connection, ConnectionLimit};
use super::write_timeout::WriteTimeout;

/// How long to wait after a failure to accept a connection, for example without free file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// The limits on clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The maximum number of connections. A further one closes another.
    pub connections: usize,
    /// The maximum number of connections of one address (IPv6: of one /64). A further one closes another of
    /// the same address.
    pub per_peer: usize,
    /// How long the head of a request may take to arrive; also how long a connection may be idle.
    pub head: Duration,
    /// While a response is blocked, the client must receive some of it in each such period.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let (head, write) = (Duration::from_secs(10), Duration::from_secs(10));
        Limits { connections: 512, per_peer: 384, head, write }
    }
}

/// Serves until `stop` is cancelled, and then until the pending requests are answered.
pub async fn serve_until(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let limit = ConnectionLimit::new(limits.connections, limits.per_peer);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let admitted = limit.admit(peer.ip());
                connections.spawn(serve(stream, admitted, routes.clone(), limits, stop.clone()));
            }
            Err(error) => {
                warn!("cannot accept an HTTP connection: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve(
    stream: TcpStream,
    admitted: Admitted,
    routes: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let connection = &admitted.connection;
    let routes = routes.layer(Extension(Connection(connection.clone())));
    let stream = TokioIo::new(WriteTimeout::new(stream, connection.clone(), limits.write));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let mut serving = pin!(server.serve_connection(stream, TowerToHyperService::new(routes)));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = connection.close.cancelled() => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        debug!("an HTTP connection ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    /// More than the kernel buffers for a connection.
    const LARGE: usize = 16 << 20;
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn start(limits: Limits) -> (std::net::SocketAddr, CancellationToken, TaskTracker) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, serving) = (CancellationToken::new(), TaskTracker::new());
        let routes = Router::new()
            .route("/", get(async || "served"))
            .route("/large", get(async || vec![b'x'; LARGE]));
        serving.spawn(serve_until(listener, routes, limits, stop.clone()));
        serving.close();
        (address, stop, serving)
    }

    /// Everything received until the other side closes.
    async fn read(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        let _ = read.expect("the connection stays open");
        String::from_utf8(answer).unwrap()
    }

    const FEW: Limits = Limits {
        connections: 2,
        per_peer: 2,
        head: Duration::from_secs(600),
        write: Duration::from_secs(600),
    };

    #[tokio::test]
    async fn a_client_that_sends_nothing_or_half_a_request_is_disconnected() {
        let limits =
            Limits { connections: 3, per_peer: 3, head: Duration::from_millis(300), ..FEW };
        let (address, _stop, _) = start(limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(&REQUEST[..20]).await.unwrap();
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(REQUEST).await.unwrap();
        // It idles after its answer, and is let go in its turn.
        assert!(read(&mut third).await.ends_with("served"));
        assert!(!read(&mut silent).await.contains("served"));
        assert!(!read(&mut slow).await.contains("served"));
    }

    #[tokio::test]
    async fn a_stop_closes_idle_connections() {
        let (address, stop, serving) = start(FEW).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(REQUEST).await.unwrap();
        let mut answer = [0; 15];
        idle.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        stop.cancel();
        assert!(read(&mut idle).await.ends_with("served"));
        timeout(PATIENCE, serving.wait()).await.expect("it ends");
    }

    /// Pipelines requests for large answers, and reads none; returns once the first is on its way.
    async fn never_read(address: std::net::SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let many = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        stream.write_all(&many).await.unwrap();
        stream.readable().await.unwrap();
        stream
    }

    #[tokio::test]
    async fn clients_that_take_all_connections_and_read_nothing_lock_nobody_out() {
        let (address, _stop, _) = start(FEW).await;
        let (_first, _second) = (never_read(address).await, never_read(address).await);
        for _ in 0..5 {
            let mut probe = TcpStream::connect(address).await.unwrap();
            probe
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            assert!(read(&mut probe).await.ends_with("served"));
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected() {
        let limits = Limits { write: Duration::from_millis(200), ..FEW };
        let (address, stop, serving) = start(limits).await;
        let _held = never_read(address).await;
        stop.cancel();
        timeout(PATIENCE, serving.wait()).await.expect("it ends though nobody reads");
    }

    #[tokio::test]
    async fn a_slow_reader_of_a_large_answer_gets_all_of_it() {
        let limits = Limits { write: Duration::from_millis(500), ..FEW };
        let (address, _stop, _) = start(limits).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let (mut piece, mut total) = (vec![0; 256 * 1024], 0);
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match slow.read(&mut piece).await.unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert!(total > LARGE, "{total}");
    }
}
