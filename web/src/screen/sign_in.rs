//! Signing in and out.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use shared::http::Connection;

use super::Answer;
use crate::AppState;
use crate::access::{COOKIE, Credentials, DEVICE_COOKIE, Refusal, SignedIn};
use crate::document::document;
use crate::form::Filled;
use crate::guard::client_address;
use crate::html::{Html, html};
use crate::html_error::HtmlError;

/// Where and for how long the browser sends the cookie: only signing in needs it.
const DEVICE_PATH: &str = "/login; Max-Age=31536000";

#[derive(Deserialize)]
pub(super) struct SignInQuery {
    /// Where to go afterwards.
    #[serde(default)]
    to: String,
}

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Query(SignInQuery { to }): Query<SignInQuery>,
) -> Response {
    if state.access.is_open() {
        return Redirect::to("/").into_response();
    }
    document("Sign in", &sign_in(&to, None)).into_response()
}

fn sign_in(to: &str, complaint: Option<&str>) -> Html {
    let complaint = complaint.map(|text| html!("<p class=\"error\" role=\"alert\">{}</p>", text));
    html!(
        "<main id=\"main\" class=\"sign-in\"><h1>Polychron</h1>{}\
         <form method=\"post\" action=\"/login\" class=\"form\"><input type=\"hidden\" name=\"to\" value=\"{}\">\
         <label>Name <input name=\"name\" autocomplete=\"username\" required autofocus></label>\
         <label>Password <input type=\"password\" name=\"password\" autocomplete=\"current-password\" required></label>\
         <button>Sign in</button></form></main>",
        complaint,
        to
    )
}

#[derive(Deserialize)]
pub(super) struct SignInForm {
    name: String,
    password: String,
    #[serde(default)]
    to: String,
}

pub(super) async fn enter(
    State(state): State<Arc<AppState>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    Form(SignInForm { name, password, to }): Form<SignInForm>,
) -> Response {
    let address = client_address(&state.context.config, &connection, &headers);
    let credentials = Credentials { name: &name, password, address, headers: &headers };
    match state.access.sign_in(credentials).await {
        Ok(SignedIn { session, device }) => {
            let cookies = AppendHeaders([
                (header::SET_COOKIE, cookie(COOKIE, &session, "/", &headers)),
                (header::SET_COOKIE, cookie(DEVICE_COOKIE, &device, DEVICE_PATH, &headers)),
            ]);
            (cookies, Redirect::to(local_path(&to))).into_response()
        }
        Err(refusal) => {
            let (status, text) = match refusal {
                Refusal::Wrong => (StatusCode::FORBIDDEN, "Wrong name or password."),
                Refusal::RateLimited => {
                    (StatusCode::TOO_MANY_REQUESTS, "Too many attempts; wait a minute.")
                }
            };
            (status, document("Sign in", &sign_in(&to, Some(text)))).into_response()
        }
    }
}

pub(super) async fn leave(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    _form: Filled,
) -> Answer {
    state.access.sign_out(&headers);
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    let cookie = HeaderValue::from_str(&gone).map_err(|_| HtmlError::unexpected())?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

/// The value of `Set-Cookie`, with `Secure` if a proxy says that the request came by TLS. A client that
/// claims this falsely only loses its own cookie.
fn cookie(name: &str, value: &str, path: &str, headers: &HeaderMap) -> String {
    let proto = headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
    let secure = if proto == Some("https") { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}")
}

/// A path of ours, and never another site, however it is spelled.
fn local_path(to: &str) -> &str {
    let is_ours = to.starts_with('/')
        && !to.starts_with("//")
        && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_ours { to } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_redirects_only_within_this_site() {
        for (to, expected) in [
            ("/tenants?after=a", "/tenants?after=a"),
            ("//evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("/\t/evil.example", "/"),
            ("", "/"),
        ] {
            assert_eq!(local_path(to), expected);
        }
    }
}
