//! The HTML document around a page.

use crate::html::{Html, html};

/// A whole document, around `inside`.
pub(crate) fn document(title: &str, inside: &Html) -> axum::response::Html<String> {
    let whole = html!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{} – Polychron</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"><script src=\"/live.js\" defer></script>\
         </head><body>{}</body></html>",
        title,
        inside
    );
    axum::response::Html(whole.0)
}
