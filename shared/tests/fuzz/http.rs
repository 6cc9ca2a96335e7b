//! Requests to the HTTP server that every process has.

use std::time::Duration;

use polychron_shared::clock::Clock;
use polychron_shared::http::{Limits, health_routes, serve_until};
use polychron_shared::telemetry::Telemetry;
use testkit::fuzz;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const WORDS: [&str; 22] = [
    "GET ",
    "HEAD ",
    "POST ",
    "/health/live",
    "/metrics",
    " HTTP/1.1\r\n",
    " HTTP/2.0\r\n",
    "PRI * ",
    "Host: x\r\n",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\n",
    "Expect: 100-continue\r\n",
    "\r\n\r\n",
    "\n\n",
    "0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "\t",
    "%00",
    "//",
    "..",
];
const PATIENCE: Duration = Duration::from_secs(2);

/// The server answers the next client, whatever the last one sent.
#[test]
fn fuzz_http_requests() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = health_routes(Telemetry::new(Clock::System));
        tokio::spawn(serve_until(listener, routes, Limits::default(), CancellationToken::new()));
        address
    });
    let exchange = async |request: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close the connection at any time.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, (&mut stream).take(1 << 20).read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "no end of the answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    fuzz("http", &WORDS, |request| {
        runtime.block_on(async {
            let answer = exchange(request).await;
            let next = exchange(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
            assert!(next.starts_with("HTTP/1.1 200"), "{next}");
            // How many answers there are, and which.
            let codes = answer.lines().filter_map(|line| line.strip_prefix("HTTP/1."));
            codes.map(|line| line.get(2..5).unwrap_or_default()).collect::<Vec<_>>().join(" ")
        })
    });
}
