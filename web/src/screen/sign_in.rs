//! Signing in and out.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::Answer;
use crate::AppState;
use crate::access::{COOKIE, Refusal};
use crate::document::document;
use crate::form::Filled;
use crate::html::{Html, html};
use crate::html_error::HtmlError;

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
pub(super) struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    to: String,
}

pub(super) async fn enter(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    Form(Credentials { name, password, to }): Form<Credentials>,
) -> Response {
    match state.access.sign_in(&name, password).await {
        Ok(session) => {
            let cookie = cookie(&session, &headers);
            ([(header::SET_COOKIE, cookie)], Redirect::to(here_only(&to))).into_response()
        }
        Err(refusal) => {
            let (status, text) = match refusal {
                Refusal::Wrong => (StatusCode::FORBIDDEN, "Wrong name or password."),
                Refusal::TooOften => {
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

/// Whether the request came by TLS, as a proxy says. A false claim only loses the claimant's own
/// cookie.
fn cookie(session: &str, headers: &HeaderMap) -> String {
    let proto = headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
    let secure = if proto == Some("https") { "; Secure" } else { "" };
    format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict{secure}")
}

/// A path of ours, and never another site, however it is spelled.
fn here_only(to: &str) -> &str {
    let is_ours = to.starts_with('/')
        && !to.starts_with("//")
        && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_ours { to } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_signs_in_stays_here() {
        for (to, expected) in [
            ("/tenants?after=a", "/tenants?after=a"),
            ("//evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("/\t/evil.example", "/"),
            ("", "/"),
        ] {
            assert_eq!(here_only(to), expected);
        }
    }
}
