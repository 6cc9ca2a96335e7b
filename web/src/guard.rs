//! The first check of every request: where it comes from, who makes it and what they may do; and the
//! security headers of every response.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::FutureExt as _;
use shared::config::Config;
use shared::http::{Connection, network};
use shared::metrics::Metrics;
use tokio::time::timeout;
use tracing::error;

use crate::AppState;
use crate::access::Visitor;
use crate::events::EVENTS;
use crate::html::in_url;
use crate::html_error::HtmlError;
use crate::in_flight::until_sent;
use crate::problem::Problem;

/// No content from other origins, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The most bytes of a request's body: a payload, escaped.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a body may take to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(15);
/// Paths that need no sign-in.
const OPEN: &[&str] = &["/login", "/style.css", "/live.js"];

/// Lets a request through, or says why not.
pub(crate) async fn guard(
    State(state): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = match admit(&state, &mut request) {
        Ok(()) => match answer(&state, request, next).await {
            Ok(response) => response,
            Err(problem) if is_api => problem.into_response(),
            Err(problem) => HtmlError(problem).into_response(),
        },
        Err(Denial::Unknown) if !is_api && request.method() == Method::GET => {
            let to = request.uri().path_and_query().map_or("/", |to| to.as_str());
            Redirect::to(&format!("/login?to={}", in_url(to))).into_response()
        }
        Err(denial) => {
            let problem = denial.problem();
            if is_api { problem.into_response() } else { HtmlError(problem).into_response() }
        }
    };
    if response.status() == StatusCode::UNAUTHORIZED {
        set(&mut response, header::WWW_AUTHENTICATE, "Bearer");
    }
    set(&mut response, header::CONTENT_SECURITY_POLICY, POLICY);
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::REFERRER_POLICY, "same-origin");
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        set(&mut response, header::CACHE_CONTROL, "no-store");
    }
    response
}

/// The response of what is behind the guard. A panic there ends this request only.
async fn answer(state: &Arc<AppState>, request: Request, next: Next) -> Result<Response, Problem> {
    let visitor = request.extensions().get::<Visitor>();
    // Event streams last long; they have a limit of their own.
    let place = match visitor.filter(|_| request.uri().path() != EVENTS) {
        Some(visitor) => Some(state.in_flight.enter(visitor.user()).await?),
        None => None,
    };
    let request = whole(request).await?;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = caught(&state.metrics, &method, &path, next.run(request)).await?;
    Ok(match place {
        Some(place) => until_sent(response, place),
        None => response,
    })
}

/// The response; a problem if making it panicked.
async fn caught(
    metrics: &Metrics,
    method: &Method,
    path: &str,
    response: impl Future<Output = Response>,
) -> Result<Response, Problem> {
    AssertUnwindSafe(response).catch_unwind().await.map_err(|_| {
        metrics.requests_panicked.inc();
        // The panic's own message, with its place, is on standard error.
        error!(%method, path, "a request panicked: this is a defect of Polychron");
        let detail = "internal error, a defect of Polychron; see the log";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
}

/// The request with its whole body, which must arrive in time.
async fn whole(request: Request) -> Result<Request, Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    match timeout(BODY_LIMIT, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(_)) => {
            let detail = format!("the body must come whole, with at most {BODY_BYTES_MAX} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        Err(_) => {
            let detail = format!("the body did not come within {} s", BODY_LIMIT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

enum Denial {
    /// Its `Host` is not ours.
    Misdirected,
    /// A page of another site made it.
    Foreign,
    /// Its path holds a NUL, which PostgreSQL cannot store.
    Unspeakable,
    /// It is not signed in.
    Unknown,
    /// A viewer wants to change something.
    ReadOnly,
}

impl Denial {
    fn problem(&self) -> Problem {
        let (status, detail) = match self {
            Denial::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "without POLYCHRON_USERS this is served to the machine itself only, as localhost",
            ),
            Denial::Foreign => (StatusCode::FORBIDDEN, "the request came from another site's page"),
            Denial::Unspeakable => (StatusCode::BAD_REQUEST, "the address holds a character NUL"),
            Denial::Unknown => (
                StatusCode::UNAUTHORIZED,
                "authenticate with `Authorization: Bearer TOKEN`, or sign in at /login",
            ),
            Denial::ReadOnly => {
                (StatusCode::FORBIDDEN, "your role is viewer, which changes nothing")
            }
        };
        Problem::new(status, detail)
    }
}

fn admit(state: &AppState, request: &mut Request) -> Result<(), Denial> {
    // By DNS rebinding, another site's page could reach loopback by a name of its own.
    if state.access.is_open() && !names_loopback(request.headers()) {
        return Err(Denial::Misdirected);
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && is_foreign(request.headers()) {
        return Err(Denial::Foreign);
    }
    if request.uri().path_and_query().is_some_and(|address| address.as_str().contains("%00")) {
        return Err(Denial::Unspeakable);
    }
    let path = request.uri().path();
    let is_open = OPEN.contains(&path);
    let visitor = state.access.visitor(request.headers());
    let connection = request.extensions().get::<Connection>().cloned();
    match (&visitor, connection) {
        // When places are short, the connections of signed-in users are closed last.
        (Some(visitor), Some(connection)) => connection.signed_in(visitor.user()),
        (None, Some(connection)) => {
            let address = client_address(&state.context.config, &connection, request.headers());
            state.access.refused(request.headers(), address);
        }
        (_, None) => {}
    }
    match visitor {
        Some(visitor) if changes && !visitor.may_change() && path != "/logout" && !is_open => {
            Err(Denial::ReadOnly)
        }
        Some(visitor) => {
            request.extensions_mut().insert(visitor);
            Ok(())
        }
        None if is_open => Ok(()),
        None => Err(Denial::Unknown),
    }
}

/// The client's address for counting: the peer's or, if the peer is a trusted proxy, the last entry of
/// `X-Forwarded-For` that is not a trusted proxy's. A trusted proxy has added that entry itself; a
/// client can forge only those before it.
pub(crate) fn client_address(
    config: &Config,
    connection: &Connection,
    headers: &HeaderMap,
) -> IpAddr {
    address_of(config, connection.address(), headers)
}

fn address_of(config: &Config, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let is_proxy = |address: IpAddr| config.proxies.iter().any(|proxy| proxy.contains(address));
    let mut address = peer;
    let lists: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let mut forwarded = lists.iter().rev().flat_map(|list| list.rsplit(','));
    while is_proxy(address)
        && let Some(Ok(next)) = forwarded.next().map(|text| text.trim().parse::<IpAddr>())
    {
        address = next.to_canonical();
    }
    network(address)
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Whether a browser says that another site's page made the request.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let origin = text(header::ORIGIN);
    origin.is_some_and(|origin| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_none() || host != text(header::HOST)
    })
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[tokio::test]
    async fn a_panic_ends_its_request_only() {
        let metrics = Metrics::new(shared::clock::Clock::System);
        let answer = |response| caught(&metrics, &Method::GET, "/", response);
        let panics = Box::pin(async { panic!("a defect") });
        assert_eq!(answer(panics).await.unwrap_err().status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(metrics.requests_panicked.get(), 1);
        let goes_on: Pin<Box<dyn Future<Output = Response>>> =
            Box::pin(async { "fine".into_response() });
        assert_eq!(caught(&metrics, &Method::GET, "/", goes_on).await.unwrap().status(), 200);
        assert_eq!(metrics.requests_panicked.get(), 1);
    }

    #[test]
    fn only_names_of_the_machine_itself_are_loopback() {
        for (host, expected) in [
            ("localhost:8484", true),
            ("127.0.0.1", true),
            ("[::1]:8484", true),
            ("[::1]", true),
            ("evil.example:8484", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            assert_eq!(names_loopback(&headers(&[("host", host)])), expected, "{host}");
        }
        assert!(!names_loopback(&HeaderMap::new()));
    }

    #[test]
    fn the_client_address_is_the_one_that_the_last_trusted_proxy_added() {
        let peer = |config: &str, peer: &str, forwarded: &'static [&'static str]| {
            let sources = shared::config::Sources {
                flags: [("POLYCHRON_PROXIES".to_owned(), config.to_owned())].into(),
                ..Default::default()
            };
            let config = Config::read(&sources, &[]).unwrap();
            let forwarded = forwarded.iter().map(|list| {
                let name = HeaderName::from_static("x-forwarded-for");
                (name, HeaderValue::from_static(list))
            });
            let mut headers = HeaderMap::new();
            headers.extend(forwarded.map(|(name, value)| (Some(name), value)));
            address_of(&config, peer.parse().unwrap(), &headers).to_string()
        };
        assert_eq!(peer("", "10.0.0.1", &["192.0.2.1"]), "10.0.0.1", "nobody is trusted");
        assert_eq!(peer("10.0.0.0/8", "10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(peer("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, 192.0.2.1, 10.0.0.2"]), "192.0.2.1");
        assert_eq!(peer("10.0.0.0/8", "10.0.0.1", &["6.6.6.6", "192.0.2.1"]), "192.0.2.1");
        assert_eq!(peer("10.0.0.0/8", "10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(peer("10.0.0.0/8", "192.0.2.9", &["192.0.2.1"]), "192.0.2.9");
        assert_eq!(peer("::1", "::1", &["2001:db8::7:8:9:a"]), "2001:db8::");
    }

    #[test]
    fn another_sites_request_is_recognised_by_its_headers() {
        let host = ("host", "localhost:8484");
        for (more, expected) in [
            (&[][..], false),
            (&[("origin", "http://localhost:8484")], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "null")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
        ] {
            assert_eq!(is_foreign(&headers(&[&[host], more].concat())), expected, "{more:?}");
        }
    }
}
