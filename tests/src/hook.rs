//! A web server that receives notifications.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A notification as it was received.
#[derive(Clone, Debug)]
pub struct Call {
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

/// A server on loopback. It never answers the first `silent` calls, and answers the others with 204.
pub struct Hook {
    /// Its URL.
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Hook {
    /// Starts it.
    pub async fn start(silent: usize) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let hook = Hook { url, calls: Arc::default() };
        let calls = hook.calls.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, calls.clone(), n < silent));
            }
        });
        hook
    }

    /// The notifications so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, calls: Arc<Mutex<Vec<Call>>>, silent: bool) {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.unwrap_or_default();
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<String, String> =
            lines.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        if body.len() >= headers["content-length"].parse().unwrap() {
            let body = serde_json::from_str(body).unwrap();
            calls.lock().unwrap().push(Call { headers, body });
            break;
        }
    }
    match silent {
        true => std::future::pending().await,
        false => {
            let answer = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await; // the client may be gone
        }
    }
}
