//! Sends one request on a connection of its own and receives the answer.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use shared::secrets::Redactor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::task::AbortOnDropHandle;
use url::{Position, Url};

use super::request::Call;
use crate::HandlerError;

/// How long to wait for an address to accept the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The maximum size of an answer's status line and headers.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How much of an answer's body is kept. The rest is not received.
const BODY_BYTES_MAX: usize = 1024;

/// Speaks HTTP/1.1, over TLS for https.
#[derive(Default)]
pub(super) struct Exchange {
    /// With the machine's root certificates, which the first call over TLS loads.
    tls: OnceLock<TlsConnector>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The first [`BODY_BYTES_MAX`] bytes, as text without secrets.
    pub(super) body: String,
    /// Whether there was more.
    pub(super) body_cut: bool,
}

impl Exchange {
    /// Sends a request to the first address that accepts a connection.
    pub(super) async fn exchange(
        &self,
        call: &Call,
        addresses: &[SocketAddr],
    ) -> Result<Answer, HandlerError> {
        let host = call.url.host_str().unwrap_or_default();
        let stream = connect(host, addresses).await?;
        if call.url.scheme() == "https" {
            let name = server_name(&call.url)?;
            let stream = self.tls()?.connect(name, stream).await.map_err(|error| {
                HandlerError::new(format!("no TLS connection to {host}: {error}"))
            })?;
            speak(stream, call).await
        } else {
            speak(stream, call).await
        }
    }

    fn tls(&self) -> Result<&TlsConnector, HandlerError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let mut roots = RootCertStore::empty();
        // Unreadable certificates are skipped. Without any, every connection fails.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let connector = connector(roots)?;
        Ok(self.tls.get_or_init(|| connector))
    }
}

fn connector(roots: RootCertStore) -> Result<TlsConnector, HandlerError> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn server_name(url: &Url) -> Result<ServerName<'static>, HandlerError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    Ok(ServerName::try_from(host.to_owned())?)
}

async fn connect(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, HandlerError> {
    let mut error = "it has no address".to_owned();
    for address in addresses {
        match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(failed)) => error = failed.to_string(),
            Err(_) => error = format!("no answer within {} s", CONNECT_LIMIT.as_secs()),
        }
    }
    Err(HandlerError::new(format!("{host} cannot be reached: {error}")))
}

/// Sends the request and receives the answer. Dropping the future closes the connection.
async fn speak<S>(stream: S, call: &Call) -> Result<Answer, HandlerError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let mut request = hyper::Request::builder()
        .method(&call.method)
        .uri(&call.url[Position::BeforePath..Position::AfterQuery])
        .body(Full::new(Bytes::from(call.body.clone())))?;
    *request.headers_mut() = call.headers.clone();
    let response = sender.send_request(request).await?;
    receive(response, &call.redactor).await
}

/// Redacts before it cuts: part of a secret that the server echoes would not be recognised.
async fn receive(
    response: Response<Incoming>,
    redactor: &Redactor,
) -> Result<Answer, HandlerError> {
    let (head, mut body) = response.into_parts();
    let mut kept = Vec::new();
    let most = BODY_BYTES_MAX + redactor.longest();
    while kept.len() <= most {
        match body.frame().await {
            Some(frame) => kept.extend(frame?.into_data().unwrap_or_default()),
            None => break,
        }
    }
    let body_cut = kept.len() > BODY_BYTES_MAX;
    // A frame may be large; a character may be longer as U+FFFD.
    kept.truncate(most);
    let body = redactor.redact_beginning(&String::from_utf8_lossy(&kept), BODY_BYTES_MAX);
    Ok(Answer { status: head.status, headers: head.headers, body, body_cut })
}
