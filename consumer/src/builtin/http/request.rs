//! Turns a payload into a request, signed according to Standard Webhooks.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use shared::clock::Time;
use shared::secrets::Redactor;
use url::{Origin, Url};

use crate::{Context, HandlerError};

/// How many redirects a job may allow at most.
const REDIRECTS_MAX: u8 = 5;
/// The longest `timeout_seconds`.
const TIMEOUT_MAX: u64 = 3600;
/// Headers that a payload cannot set: they frame the request, or Polychron sets them.
const OURS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "idempotency-key",
];

/// The payload of an `http` job.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Request {
    url: String,
    /// Default: GET without a body, POST with one.
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A string is sent as it is, anything else as JSON.
    body: Option<Value>,
    /// Default: any 2xx.
    #[serde(default)]
    expected_status: Vec<u16>,
    #[serde(default = "default_timeout")]
    timeout_seconds: u64,
    /// The key that signs the request: `whsec_` and base64, or any text.
    signing_secret: Option<String>,
    #[serde(default)]
    redirects: u8,
}

fn default_timeout() -> u64 {
    30
}

impl Request {
    /// A POST with a JSON body and default settings.
    pub(in super::super) fn post(
        url: String,
        headers: BTreeMap<String, String>,
        body: Value,
        signing_secret: Option<String>,
    ) -> Request {
        Request {
            url,
            method: None,
            headers,
            body: Some(body),
            expected_status: Vec::new(),
            timeout_seconds: default_timeout(),
            signing_secret,
            redirects: 0,
        }
    }

    /// How long the call may take, including redirects.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.clamp(1, TIMEOUT_MAX))
    }

    /// How many redirects to follow.
    pub(super) fn redirects(&self) -> u8 {
        self.redirects.min(REDIRECTS_MAX)
    }

    /// Whether this status is a success.
    pub(super) fn expects(&self, status: StatusCode) -> bool {
        match self.expected_status.as_slice() {
            [] => status.is_success(),
            expected => expected.contains(&status.as_u16()),
        }
    }
}

/// One request, ready to be sent.
pub(super) struct Call {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Redacts the payload's secrets in the answer.
    pub(super) redactor: Redactor,
}

impl Call {
    pub(super) fn new(
        request: &Request,
        context: &Context,
        now: Time,
    ) -> Result<Call, HandlerError> {
        let url = Url::parse(&request.url)
            .map_err(|error| wrong("url", &format!("is not a URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("url", "must not contain a user or a password; use a header"));
        }
        let (body, content_type) = match &request.body {
            None => (Vec::new(), None),
            Some(Value::String(text)) => (text.clone().into_bytes(), None),
            Some(json) => (json.to_string().into_bytes(), Some("application/json")),
        };
        let method = match request.method.as_deref() {
            None if request.body.is_none() => Method::GET,
            None => Method::POST,
            Some(method @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS")) => {
                Method::from_bytes(method.as_bytes())?
            }
            Some(_) => {
                let known = "must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS";
                return Err(wrong("method", known));
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("polychron"));
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in &request.headers {
            let (name, value) = header(name, value)?;
            headers.insert(name, value);
        }
        identify(&mut headers, context, now)?;
        if let Some(secret) = &request.signing_secret {
            let (id, timestamp) = (context.idempotency_key(), now.timestamp());
            let signature = sign(secret, &id, timestamp, &body)?;
            headers.insert("webhook-signature", HeaderValue::from_str(&signature)?);
        }
        let redactor = context.redactor.clone();
        let mut call = Call { url, method, headers, body, redactor };
        call.name_host()?;
        Ok(call)
    }

    /// Follows a redirect. Headers and body are not sent to another origin.
    pub(super) fn redirect(&mut self, to: Url, status: StatusCode) -> Result<(), HandlerError> {
        if self.url.scheme() == "https" && to.scheme() != "https" {
            return Err(HandlerError::new("a redirect leads from https to http").final_());
        }
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body.clear();
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove("webhook-signature");
        }
        if is_another(&self.url.origin(), &to.origin()) {
            if !self.body.is_empty() {
                let why = "a redirect would send the body to another host";
                return Err(HandlerError::new(why).final_());
            }
            self.headers.clear();
            self.headers.insert(USER_AGENT, HeaderValue::from_static("polychron"));
        }
        self.url = to;
        self.name_host()
    }

    fn name_host(&mut self) -> Result<(), HandlerError> {
        let host = self.url.host_str().unwrap_or_default();
        let host = match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        self.headers.insert(HOST, HeaderValue::from_str(&host)?);
        Ok(())
    }
}

fn is_another(from: &Origin, to: &Origin) -> bool {
    from != to
}

/// Adds the headers that identify the execution. The id is the same for every attempt.
fn identify(headers: &mut HeaderMap, context: &Context, now: Time) -> Result<(), HandlerError> {
    let key = context.idempotency_key();
    for (name, value) in [
        ("webhook-id", key.clone()),
        ("webhook-timestamp", now.timestamp().to_string()),
        ("idempotency-key", key),
        ("polychron-tenant", context.tenant_slug.clone()),
        ("polychron-execution", context.execution.to_string()),
        ("polychron-attempt", context.attempt.to_string()),
        ("polychron-scheduled-for", context.scheduled_for.to_rfc3339()),
    ] {
        headers.insert(name, HeaderValue::from_str(&value)?);
    }
    Ok(())
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HandlerError> {
    let field = format!("headers.{name}");
    let parsed: HeaderName =
        name.parse().map_err(|_| wrong(&field, "is not a valid header name"))?;
    let lower = parsed.as_str();
    if OURS.contains(&lower) || lower.starts_with("webhook-") || lower.starts_with("polychron-") {
        return Err(wrong(&field, "is a header that only Polychron sets"));
    }
    let mut value =
        HeaderValue::from_str(value).map_err(|_| wrong(&field, "is not a valid header value"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn wrong(field: &str, why: &str) -> HandlerError {
    HandlerError::new(format!("payload.{field} {why}")).final_()
}

/// The symmetric signature of Standard Webhooks 1.0.0.
fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Result<String, HandlerError> {
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| {
            wrong("signing_secret", "starts with whsec_, but the rest is not base64")
        })?,
        None => secret.as_bytes().to_vec(),
    };
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    Ok(format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, &signed))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeContext;
    use serde_json::json;

    fn call(payload: Value) -> Result<Call, String> {
        let request: Request = serde_json::from_value(payload).map_err(|e| e.to_string())?;
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        Call::new(&request, &FakeContext::new().context(), now)
            .map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // The example of the Standard Webhooks specification's reference libraries.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(sign("whsec_***", "id", 0, b"").is_err());
    }

    #[test]
    fn a_payload_cannot_set_our_headers_or_break_the_framing() {
        let url = "https://example.com/";
        for (payload, problem) in [
            (json!({"url": url, "headers": {"Host": "x"}}), "only Polychron sets"),
            (json!({"url": url, "headers": {"Webhook-Id": "x"}}), "only Polychron sets"),
            (json!({"url": url, "headers": {"Transfer-Encoding": "chunked"}}), "only Polychron"),
            (json!({"url": url, "headers": {"a\r\nb": "x"}}), "not a valid header name"),
            (json!({"url": url, "headers": {"a": "x\r\nhost: y"}}), "not a valid header value"),
            (json!({"url": url, "method": "CONNECT"}), "payload.method"),
            (json!({"url": url, "method": "GET / HTTP/1.1\r\n"}), "payload.method"),
            (json!({"url": "https://ann:s3cret@example.com/"}), "must not contain a user"),
            (json!({"url": "nonsense"}), "payload.url is not a URL"),
            (json!({"url": url, "metod": "GET"}), "unknown field `metod`"),
        ] {
            let error = call(payload.clone()).err().unwrap();
            assert!(error.contains(problem) && !error.contains("s3cret"), "{payload}: {error}");
        }
    }

    #[test]
    fn a_redirect_sends_no_secret_to_another_origin() {
        let payload = json!({"url": "https://a.example/x", "headers": {"authorization": "t"},
                             "signing_secret": "a text", "method": "GET"});
        let mut here = call(payload.clone()).unwrap();
        here.redirect("https://a.example/y".parse().unwrap(), StatusCode::FOUND).unwrap();
        assert!(here.headers.contains_key("authorization"));
        let mut there = call(payload).unwrap();
        there.redirect("https://b.example/".parse().unwrap(), StatusCode::FOUND).unwrap();
        let names: Vec<&str> = there.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["user-agent", "host"]);
        assert!(there.redirect("http://b.example/".parse().unwrap(), StatusCode::FOUND).is_err());

        let post = json!({"url": "https://a.example/x", "body": {"a": 1}});
        let mut moved = call(post.clone()).unwrap();
        let away = || "https://b.example/".parse().unwrap();
        assert!(moved.redirect(away(), StatusCode::PERMANENT_REDIRECT).is_err());
        moved.redirect(away(), StatusCode::SEE_OTHER).unwrap();
        assert_eq!((moved.method, moved.body.len()), (Method::GET, 0));
    }
}
