//! Forms: their HTML, and what they send.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;

use crate::AppState;
use crate::access::Visitor;
use crate::html::{Html, html};
use crate::html_error::HtmlError;
use crate::problem::Problem;
use operations::failure::Failure;

/// The field that proves that a form came from our page.
pub(crate) const KEY: &str = "form_key";

/// A form that changes something. It holds the visitor's form key.
pub(crate) fn form(action: &str, visitor: &Visitor, inside: Html) -> Html {
    let key = visitor.form_key.as_deref().unwrap_or_default();
    html!(
        "<form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"{}\" value=\"{}\">{}</form>",
        action,
        KEY,
        key,
        inside
    )
}

/// The same for a change that must not happen by accident: it has to be opened first, and takes a
/// reason.
pub(crate) fn careful_form(action: &str, visitor: &Visitor, name: &str, meaning: &str) -> Html {
    let inside = html!(
        "<p>{}</p><label>Reason, for the audit <input name=\"reason\" maxlength=\"500\" autocomplete=\"off\"></label>\
         <button>{}</button>",
        meaning,
        name
    );
    html!(
        "<details class=\"action\"><summary>{}…</summary>{}</details>",
        name,
        form(action, visitor, inside)
    )
}

/// The fields of a form that came from our page, and the visitor who sent it.
pub(crate) struct Filled {
    pub(crate) visitor: Visitor,
    fields: BTreeMap<String, String>,
}

impl Filled {
    /// A field; none if it is missing or blank.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The version that the page showed. The change is refused if there is a later one by now.
    pub(crate) fn version(&self) -> Result<i32, Failure> {
        let version = self.get("version").and_then(|text| text.parse().ok());
        version.ok_or_else(|| Failure::Usage("the form lacks the version".to_owned()))
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
