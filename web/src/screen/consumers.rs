//! *Consumers and queues*: the live consumers and producers, and the depth of the queues.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use shared::handler_status::HandlerStatus;
use shared::store::{ProducerRow, Worker};

use super::Answer;
use crate::access::Visitor;
use crate::html::{Html, html};
use crate::page::{Page, table, text, when};
use crate::{AppState, QueueDepth};
use operations::fleet;
use operations::format::maybe;

pub(super) async fn show(
    State(state): State<Arc<AppState>>,
    Extension(visitor): Extension<Visitor>,
) -> Answer {
    visitor.must_see_all()?;
    let now = state.now().await?;
    let workers = state.workers(now).await?;
    let queues = state.queues(&workers).await;
    let processes = match workers.is_empty() {
        true => html!(
            "<p class=\"verdict bad\">None is alive. Start <code>polychron-consumer</code>.</p>"
        ),
        false => processes(&workers, now.time()),
    };
    let management = state.context.config.management.as_ref().map(|address| {
        html!("<p><a href=\"{}\" rel=\"noreferrer\">RabbitMQ's management UI</a></p>", address)
    });
    let producers = dispatching(&fleet::producers(&state.context.control).await?, now.time());
    let body = html!(
        "<h2>Processes</h2>{}{}<h2>Queues</h2>{}{}{}<h2>Producers</h2>{}",
        processes,
        handlers(&workers),
        waiting(&queues),
        unreadable(state.dead_messages().await),
        management,
        producers
    );
    let live = Some("/events".to_owned());
    Ok(Page { visitor: &visitor, title: "Consumers", trail: Vec::new(), live, body }
        .into_response())
}

/// How many messages no consumer could parse.
fn unreadable(count: Option<u32>) -> Html {
    let count = count.map_or("unknown".to_owned(), |count| count.to_string());
    html!("<p><a href=\"/dead\">Unreadable messages</a>: {}</p>", count)
}

fn processes(workers: &[Worker], now: shared::clock::Time) -> Html {
    table(
        "Alive within the last 45 seconds",
        workers,
        &[
            ("Process", &|worker| html!("<code>{}</code>", worker.name)),
            ("Running", &|worker| {
                let shown = format!("{} of {}", worker.running, worker.slots);
                html!(
                    "<meter min=\"0\" max=\"{}\" value=\"{}\">{}</meter> {}",
                    worker.slots,
                    worker.running,
                    shown,
                    shown
                )
            }),
            ("Heartbeat", &|worker| when(worker.seen_at, now)),
            ("Started", &|worker| when(worker.started_at, now)),
            ("Queues", &|worker| text(worker.queues.join(", "))),
            ("Job types", &|worker| text(worker.job_types.join(", "))),
            ("Version", &|worker| text(&worker.version)),
            ("Host", &|worker| text(format!("{}, pid {}", worker.host, worker.pid))),
        ],
    )
}

/// The commands that start handler processes; none if no consumer has one.
fn handlers(workers: &[Worker]) -> Option<Html> {
    let all: Vec<(&Worker, &HandlerStatus)> = workers
        .iter()
        .flat_map(|worker| worker.handlers.iter().map(move |status| (worker, status)))
        .collect();
    let table = table(
        "As the consumers registered them within the last 45 seconds",
        &all,
        &[
            ("Command", &|(_, status)| html!("<code>{}</code>", status.command)),
            ("State", &|(_, status)| {
                let reason = status.reason.iter().map(|reason| html!(": {}", reason));
                html!("{}{}", status.status.as_str(), reason.collect::<Html>())
            }),
            ("Processes", &|(_, status)| text(status.processes)),
            ("Running", &|(_, status)| text(status.running)),
            ("Waiting", &|(_, status)| text(status.waiting)),
            ("Silent", &|(_, status)| text(status.silent)),
            ("Job types", &|(_, status)| {
                let more =
                    (status.more_types > 0).then(|| format!(" and {} more", status.more_types));
                text(status.types.join(", ") + &more.unwrap_or_default())
            }),
            ("Last output of a process that failed", &|(_, status)| match status
                .last_output
                .is_empty()
            {
                true => Html::default(),
                false => html!("<pre>{}</pre>", status.last_output),
            }),
            ("Consumer", &|(worker, _)| html!("<code>{}</code>", worker.name)),
        ],
    );
    (!all.is_empty()).then(|| html!("<h2>Handler processes</h2>{}", table))
}

fn dispatching(producers: &[ProducerRow], now: shared::clock::Time) -> Html {
    if producers.is_empty() {
        return html!(
            "<p>None is alive. <code>polychron up</code> needs none; otherwise start <code>polychron-producer</code>.</p>"
        );
    }
    table(
        "They share the tenants",
        producers,
        &[
            ("Process", &|producer| html!("<code>{}</code>", producer.name)),
            ("Tenants watched", &|producer| text(producer.watched)),
            ("Sees changes within", &|producer| text(format!("{} s", producer.poll_seconds))),
            ("Heartbeat", &|producer| when(producer.seen_at, now)),
            ("Started", &|producer| when(producer.started_at, now)),
            ("Version", &|producer| text(&producer.version)),
            ("Host", &|producer| text(format!("{}, pid {}", producer.host, producer.pid))),
        ],
    )
}

fn waiting(queues: &[QueueDepth]) -> Html {
    let unknown = |value: Option<u32>| match value {
        Some(_) => text(maybe(value)),
        None => html!("<span title=\"The broker does not answer\">?</span>"),
    };
    table(
        "As the broker reports them now",
        queues,
        &[
            ("Queue", &|queue| text(&queue.queue)),
            ("Waiting messages", &|queue| unknown(queue.ready)),
            ("Consumers", &|queue| unknown(queue.consumers)),
            ("Slots of live consumers", &|queue| text(queue.slots)),
        ],
    )
}
