//! What a page's form sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;

use crate::AppState;
use crate::access::Visitor;
use crate::page::HtmlError;
use crate::problem::Problem;

/// The field that shows that a form came from a page of ours.
pub(crate) const KEY: &str = "form_key";

/// The fields of a form that came from a page of ours, by the visitor whose page it was.
pub(crate) struct Filled {
    pub(crate) visitor: Visitor,
    fields: BTreeMap<String, String>,
}

impl Filled {
    /// A field; none if it is missing or blank.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

impl FromRequest<Arc<AppState>> for Filled {
    type Rejection = HtmlError;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Filled, HtmlError> {
        let refused = |text: &str| HtmlError(Problem::new(StatusCode::FORBIDDEN, text));
        let visitor = request.extensions().get::<Visitor>().cloned();
        let visitor = visitor.ok_or_else(|| refused("sign in first"))?;
        let form = Form::<BTreeMap<String, String>>::from_request(request, state).await;
        let Form(fields) = form.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        if visitor.form_key.is_none() || fields.get(KEY) != visitor.form_key.as_ref() {
            return Err(refused(
                "the form is out of date; go back, load the page again, and repeat",
            ));
        }
        Ok(Filled { visitor, fields })
    }
}
