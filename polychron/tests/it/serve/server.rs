//! The server in a process of its own, and a client that sends exactly what a test wants.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::console::Console;

/// `polychron serve`, killed when it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
    headers: Vec<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Server {
    /// Over a console's databases, at a port that is free.
    pub(super) fn start(console: &Console) -> Server {
        Server::of(console.command(&["serve", "--listen", "127.0.0.1:0"]))
    }

    /// The same, of a command whose log goes to a file as well.
    pub(super) fn logging_to(command: Command, log: &Path) -> Server {
        Server::spawn(command, Box::new(File::create(log).unwrap()))
    }

    /// The same for a command that also serves, such as `up`.
    pub(super) fn of(command: Command) -> Server {
        Server::spawn(command, Box::new(std::io::sink()))
    }

    fn spawn(mut command: Command, mut log: Box<dyn Write + Send>) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended: {said}");
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.trim().trim_end_matches('/').to_owned();
            }
            said += &line;
        };
        // Its log must never block because nothing reads it.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut log));
        Server { child, address, headers: Vec::new() }
    }

    /// The most memory that it has used, in KiB.
    pub(super) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends a header with every later request.
    pub(super) fn always(&mut self, header: String) {
        self.headers = vec![header];
    }

    pub(super) fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], "")
    }

    /// From another address of the same process.
    pub(super) fn get_from(&self, address: &str, path: &str) -> Response {
        Server::read(Server::open_at(address, "GET", path, &[], "", &[]))
    }

    /// Sends JSON.
    pub(super) fn json(&self, method: &str, path: &str, body: &Value) -> Response {
        self.send(method, path, &["Content-Type: application/json"], &body.to_string())
    }

    /// Sends a form with the key that a page of ours holds, as its button does.
    pub(super) fn submit(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Response {
        let page = self.get(page).ended(200);
        let (_, rest) = page.body.split_once("name=\"form_key\" value=\"").expect("a form");
        let (key, _) = rest.split_once('"').unwrap();
        let fields = [&[("form_key", key)], fields].concat();
        self.post(action, &fields)
    }

    /// Sends a form.
    pub(super) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let encode =
            |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let kind = "Content-Type: application/x-www-form-urlencoded";
        self.send("POST", path, &[kind], &fields.join("&"))
    }

    pub(super) fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Response {
        Server::read(self.open(method, path, headers, body))
    }

    fn read(mut stream: TcpStream) -> Response {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Response { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Sends a request whose answer the test reads by itself.
    pub(super) fn open(&self, method: &str, path: &str, headers: &[&str], body: &str) -> TcpStream {
        Server::open_at(&self.address, method, path, headers, body, &self.headers)
    }

    fn open_at(
        address: &str,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
        always: &[String],
    ) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut request = format!("{method} {path} HTTP/1.0\r\n");
        let is_given = headers.iter().any(|header| header.starts_with("Host:"));
        if !is_given {
            request += &format!("Host: {address}\r\n");
        }
        for header in headers.iter().copied().chain(always.iter().map(String::as_str)) {
            request += &format!("{header}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }
}

impl Response {
    #[track_caller]
    pub(super) fn ended(self, status: u16) -> Response {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Its body contains all of `texts`.
    #[track_caller]
    pub(super) fn shows(self, texts: &[&str]) -> Response {
        for text in texts {
            assert!(self.body.contains(text), "`{text}` is missing: {self:#?}");
        }
        self
    }

    /// Its body as JSON.
    #[track_caller]
    pub(super) fn value(&self) -> Value {
        match serde_json::from_str(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {self:#?}"),
        }
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// It is a problem (RFC 9457) whose detail contains `detail`.
    #[track_caller]
    pub(super) fn shows_problem(self, status: u16, detail: &str) {
        let problem = self.ended(status);
        assert_eq!(problem.header("content-type"), Some("application/problem+json"));
        let value = problem.value();
        assert_eq!(value["status"], status);
        assert!(value["title"].is_string());
        let found = value["detail"].as_str().unwrap();
        assert!(found.contains(detail), "`{detail}` is missing: {found}");
    }
}
