//! What pages share: the frame, and how times, durations and statuses are shown.

use std::io::{self, Write};

use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use serde_json::Value;
use shared::clock::Time;

use crate::access::Visitor;
use crate::document::document;
use crate::form::form;
use crate::html::{Fill, Html, html, in_url};

/// The most bytes of a JSON value that is shown indented.
const INDENTED_BYTES_MAX: usize = 128 * 1024;

/// A page without its frame.
pub(crate) struct Page<'a> {
    pub(crate) visitor: &'a Visitor,
    pub(crate) title: &'a str,
    /// The breadcrumbs: titles and addresses.
    pub(crate) trail: Vec<(String, String)>,
    /// The address of the events on which the page refreshes itself.
    pub(crate) live: Option<String>,
    pub(crate) body: Html,
}

/// The main navigation.
const PLACES: &[(&str, &str)] = &[("/", "Now"), ("/tenants", "Tenants")];
/// The same, for users who may see all tenants.
const PLACES_OF_ALL: &[(&str, &str)] = &[("/consumers", "Consumers"), ("/audit", "Audit")];

impl IntoResponse for Page<'_> {
    fn into_response(self) -> Response {
        let Page { visitor, title, trail, live, body } = self;
        let here = trail.first().map_or(title, |(title, _)| title.as_str());
        let all = if visitor.sees_all() { PLACES_OF_ALL } else { &[] };
        let places = PLACES.iter().chain(all).map(|(address, name)| match *name == here {
            true => html!("<a href=\"{}\" aria-current=\"page\">{}</a>", address, name),
            false => html!("<a href=\"{}\">{}</a>", address, name),
        });
        let links = trail
            .iter()
            .map(|(name, address)| html!("<li><a href=\"{}\">{}</a></li>", address, name));
        let trail = match trail.is_empty() {
            true => Html::default(),
            false => html!(
                "<nav aria-label=\"Where this is\"><ol class=\"trail\">{}</ol></nav>",
                links.collect::<Html>()
            ),
        };
        let who = visitor.name.as_ref().map(|name| {
            let button =
                form("/logout", visitor, html!("<button class=\"quiet\">Sign out</button>"));
            html!("<span class=\"who\">{} ({})</span>{}", name, visitor.role.as_str(), button)
        });
        let live = live.map(|address| html!("<p class=\"live\" id=\"live\" data-events=\"{}\" hidden><button type=\"button\" class=\"quiet\">Stop updating</button></p>", address));
        let inside = html!(
            "<a class=\"skip\" href=\"#main\">Skip to the content</a>\
             <header><a class=\"brand\" href=\"/\">Polychron</a><nav aria-label=\"Main\">{}</nav>{}</header>\
             {}{}<main id=\"main\"><h1>{}</h1>{}</main>",
            places.collect::<Html>(),
            who,
            trail,
            live,
            title,
            body
        );
        document(title, &inside).into_response()
    }
}

/// The address of a tenant's page, or of one below it.
pub(crate) fn of_tenant(slug: &str, below: &str) -> String {
    format!("/tenants/{}{below}", in_url(slug))
}

/// The address of a job's page, or of one below it. Names may be anything, so they are not part of
/// the path: a browser would resolve `..`.
pub(crate) fn of_job(slug: &str, name: &str, below: &str) -> String {
    of_tenant(slug, &format!("/job{below}?name={}", in_url(name)))
}

/// A relative time, with the exact one as a tooltip.
pub(crate) fn when(time: Time, now: Time) -> Html {
    let exact = time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let machine = time.to_rfc3339();
    let shown = match time - now {
        near if near.abs() < TimeDelta::seconds(1) => "now".to_owned(),
        ahead if ahead > TimeDelta::zero() => format!("in {}", short(ahead)),
        behind => format!("{} ago", short(-behind)),
    };
    html!("<time datetime=\"{}\" title=\"{}\">{}</time>", machine, exact, shown)
}

/// A time that may be missing.
pub(crate) fn maybe_when(time: Option<Time>, now: Time) -> Html {
    time.map_or_else(|| html!("–"), |time| when(time, now))
}

/// A time, exactly.
pub(crate) fn exact(time: Time) -> Html {
    let (shown, machine) = (time.format("%Y-%m-%d %H:%M:%S%.3f").to_string(), time.to_rfc3339());
    html!("<time datetime=\"{}\">{} UTC</time>", machine, shown)
}

/// A duration, to about two figures.
pub(crate) fn short(duration: TimeDelta) -> String {
    let seconds = duration.as_seconds_f64();
    let whole = duration.num_seconds();
    match whole {
        _ if seconds < 0.0995 => format!("{} ms", (seconds * 1000.0).round()),
        0..=9 => format!("{seconds:.1} s"),
        10..=119 => format!("{whole} s"),
        120..=7199 => format!("{} min", whole / 60),
        7200..=172_799 => format!("{} h", whole / 3600),
        _ => format!("{} d", whole / 86_400),
    }
}

/// A status word, with its colour.
pub(crate) fn badge(word: &str) -> Html {
    html!("<span class=\"badge {}\">{}</span>", word, word)
}

/// A column's title, and what it shows of an item.
pub(crate) type TableColumn<'a, T> = (&'a str, &'a dyn Fn(&T) -> Html);

/// A table that stays readable on a phone, where the style turns rows into blocks: each cell has its
/// column's title, and roles keep it a table for screen readers.
pub(crate) fn table<T>(caption: &str, items: &[T], columns: &[TableColumn<'_, T>]) -> Html {
    let titles = columns
        .iter()
        .map(|(title, _)| html!("<th scope=\"col\" role=\"columnheader\">{}</th>", title));
    let row = |item: &T| {
        let cells = columns.iter().map(|(title, cell)| {
            html!("<td role=\"cell\" data-title=\"{}\"><div>{}</div></td>", title, cell(item))
        });
        html!("<tr role=\"row\">{}</tr>", cells.collect::<Html>())
    };
    html!(
        "<table role=\"table\"><caption>{}</caption><thead role=\"rowgroup\"><tr role=\"row\">{}</tr></thead>\
         <tbody role=\"rowgroup\">{}</tbody></table>",
        caption,
        titles.collect::<Html>(),
        items.iter().map(row).collect::<Html>()
    )
}

/// Facts about one thing, without empty ones.
pub(crate) fn facts(facts: &[(&str, Html)]) -> Html {
    let facts = facts.iter().filter(|(_, fact)| !fact.0.is_empty());
    let fact = |(name, fact): &(&str, Html)| html!("<div><dt>{}</dt><dd>{}</dd></div>", name, fact);
    html!("<dl class=\"facts\">{}</dl>", facts.map(fact).collect::<Html>())
}

/// Text as a fact.
pub(crate) fn text(text: impl Fill) -> Html {
    html!("{}", text)
}

/// A JSON value, indented unless that makes it long: each of thousands of values in nested lists would take
/// a line of its own, with hundreds of spaces.
pub(crate) fn json(value: &Value) -> String {
    struct Limited(Vec<u8>);
    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() + bytes.len() > INDENTED_BYTES_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut indented = Limited(Vec::new());
    match serde_json::to_writer_pretty(&mut indented, value) {
        Ok(()) => String::from_utf8_lossy(&indented.0).into_owned(),
        Err(_) => value.to_string(),
    }
}

/// Text with the commands in backticks as code.
pub(crate) fn prose(text: &str) -> Html {
    let piece = |(at, piece): (usize, &str)| match at % 2 {
        0 => html!("{}", piece),
        _ => html!("<code>{}</code>", piece),
    };
    text.split('`').enumerate().map(piece).collect()
}

/// A link to the next page.
pub(crate) fn older(address: Option<String>, name: &str) -> Html {
    let link = address.map(|address| {
        html!("<p><a class=\"next\" href=\"{}\" rel=\"next\">{}</a></p>", address, name)
    });
    link.unwrap_or_default()
}
