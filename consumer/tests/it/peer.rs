//! An HTTP server with scripted answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The answer to a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Sends this and closes the connection.
    Text(String),
    /// Sends this, then `x` forever.
    Endless(String),
    /// Sends this one byte at a time, slowly, again and again.
    Dripping(String),
    /// Sends nothing.
    Silence,
}

/// A server on this machine.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Peer {
    /// Gives one answer after the other, and repeats the last.
    pub(crate) async fn start(host: &str, answers: &[Answer]) -> Peer {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Peer { address, requests: Arc::default(), open: Arc::default() };
        let (serving, answers) = (peer.clone(), answers.to_vec());
        tokio::spawn(async move {
            for n in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = answers[n.min(answers.len() - 1)].clone();
                tokio::spawn(serving.clone().serve(stream, answer));
            }
        });
        peer
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until the client has closed every connection.
    pub(crate) async fn closed(&self) {
        eventually("the connections are closed", || async {
            (self.open.load(Ordering::SeqCst) == 0).then_some(())
        })
        .await;
    }

    async fn serve(self, mut stream: TcpStream, answer: Answer) {
        self.open.fetch_add(1, Ordering::SeqCst);
        let request = read_request(&mut stream).await;
        self.requests.lock().unwrap().push(request);
        // Errors are expected: tests let the client close the connection early.
        let _ = match answer {
            Answer::Text(text) => stream.write_all(text.as_bytes()).await,
            Answer::Endless(text) => endless(&mut stream, &text).await,
            Answer::Dripping(text) => dripping(&mut stream, &text).await,
            Answer::Silence => stream.read_u8().await.map(|_| ()),
        };
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn endless(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    loop {
        stream.write_all(&[b'x'; 4096]).await?;
    }
}

async fn dripping(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    for byte in text.bytes().cycle() {
        stream.write_u8(byte).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return text;
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if body.len() >= length || count == 0 {
            return text;
        }
    }
}

/// An answer with this status line, additional header lines, and body.
pub(crate) fn text(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    Answer::Text(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
}
