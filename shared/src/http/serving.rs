//! Connections of an HTTP server, and what each may take of it: whoever sends a request drop by
//! drop, or opens connections and says nothing, must not keep others out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// How long to wait when no connection can be taken, as when there are no file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait to be taken.
    pub connections: usize,
    /// How long the head of a request may take to come; also how long a connection may idle.
    pub head: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections: 512, head: Duration::from_secs(10) }
    }
}

/// Serves until asked to stop, and then until what was asked before is answered.
pub async fn serve_until(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let taken = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            taken = taken => taken,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving = connection(stream, routes.clone(), limits, stop.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!("no HTTP connection can be taken: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, routes: Router, limits: Limits, stop: CancellationToken) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let service = TowerToHyperService::new(routes);
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = serving.as_mut() => served,
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
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn start(limits: Limits) -> (std::net::SocketAddr, CancellationToken, TaskTracker) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, serving) = (CancellationToken::new(), TaskTracker::new());
        let routes = Router::new().route("/", get(async || "served"));
        serving.spawn(serve_until(listener, routes, limits, stop.clone()));
        serving.close();
        (address, stop, serving)
    }

    /// What comes until the other side closes.
    async fn read(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        let _ = read.expect("the connection stays open");
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn whoever_says_nothing_or_half_a_request_is_let_go_and_others_get_their_place() {
        let limits = Limits { connections: 2, head: Duration::from_millis(300) };
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
    async fn asked_to_stop_it_lets_idle_connections_go_and_ends() {
        let limits = Limits { connections: 2, head: PAUSE * 1000 };
        let (address, stop, serving) = start(limits).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(REQUEST).await.unwrap();
        let mut answer = [0; 15];
        idle.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        stop.cancel();
        assert!(read(&mut idle).await.ends_with("served"));
        timeout(PATIENCE, serving.wait()).await.expect("it ends");
    }
}
