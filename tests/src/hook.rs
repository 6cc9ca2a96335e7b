//! A web server that receives notifications.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A notification as it was received.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

/// A server on loopback. It never answers the first `silent` calls, and answers the others with 204.
pub struct Hook {
    /// Its URL.
    pub url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Hook {
    /// Starts it.
    pub async fn start(silent: usize) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let hook = Hook { url, heard: Arc::default() };
        let heard = hook.heard.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, heard.clone(), n < silent));
            }
        });
        hook
    }

    /// The notifications so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Vec<Heard>>>, silent: bool) {
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
            heard.lock().unwrap().push(Heard { headers, body });
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
