//! A problem as a page.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::document::document;
use crate::html::html;
use crate::problem::Problem;
use operations::failure::Failure;

/// A problem, as a page.
#[derive(Debug)]
pub(crate) struct HtmlError(pub(crate) Problem);

impl HtmlError {
    /// A failure that should be impossible.
    pub(crate) fn unexpected() -> HtmlError {
        HtmlError(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; see the log"))
    }
}

impl From<Problem> for HtmlError {
    fn from(problem: Problem) -> HtmlError {
        HtmlError(problem)
    }
}

impl From<Failure> for HtmlError {
    fn from(failure: Failure) -> HtmlError {
        HtmlError(failure.into())
    }
}

impl IntoResponse for HtmlError {
    fn into_response(self) -> Response {
        let HtmlError(problem) = self;
        let sign_in = (problem.status == StatusCode::UNAUTHORIZED)
            .then(|| html!("<p><a href=\"/login\">Sign in</a></p>"));
        let inside = html!(
            "<header><a class=\"brand\" href=\"/\">Polychron</a></header>\
             <main id=\"main\"><h1>{}</h1><pre class=\"error\">{}</pre>{}</main>",
            problem.title(),
            problem.detail,
            sign_in
        );
        (problem.status, document(problem.title(), &inside)).into_response()
    }
}
