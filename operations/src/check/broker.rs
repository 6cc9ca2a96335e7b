//! RabbitMQ: whether it can be reached, whether we may declare what we need, and how long a handler
//! may run.

use std::time::Duration;

use shared::config::Config;
use shared::queue::inspect;

use super::Report;
use crate::finding::Finding;

/// How far the longest timeout should stay below the broker's, which is enforced once a minute.
const MARGIN: Duration = Duration::from_secs(60);

/// Connects, and declares the queues of the settings as producers and consumers do.
pub(super) async fn check(config: &Config, report: &mut Report) {
    let Some(url) = &config.amqp_url else {
        let remedy = "set AMQP_URL to the value that producers and consumers have";
        let finding = "not checked: AMQP_URL is not set";
        report.findings.push(Finding::problem("broker", finding, remedy));
        return;
    };
    report.findings.push(match inspect(url, &config.queues).await {
        Ok(found) => {
            let version =
                found.version.map(|version| format!(" version {version}")).unwrap_or_default();
            let queues = config.queues.join(", ");
            Finding::ok(
                "broker",
                format!("{url} answers{version}, queues may be declared: {queues}"),
            )
        }
        Err(reason) => {
            report.unreachable.push("the broker");
            let remedy = "start RabbitMQ, correct AMQP_URL, or give its user configure, write and \
                          read rights to `^polychron\\..*`";
            Finding::problem("broker", format!("{url}: {reason}"), remedy)
        }
    });
}

/// Compares timeouts with the broker's `consumer_timeout`, which AMQP doesn't reveal, so that the
/// operator states it. A warning: a handler that outlives its channel keeps its row, and the
/// redelivered message is ignored.
pub(super) fn acknowledgement_timeout(
    config: &Config,
    longest: Option<Duration>,
) -> Option<Finding> {
    let longest = longest.unwrap_or_default().max(config.job_timeout);
    config.amqp_url.as_ref()?;
    if longest + MARGIN <= config.ack_timeout {
        return None;
    }
    let show = humantime::format_duration;
    let finding = format!(
        "the longest job timeout, {}, reaches RabbitMQ's consumer_timeout, taken to be {}: the \
         broker would close the channel of a handler that runs so long",
        show(longest),
        show(config.ack_timeout)
    );
    let remedy = "raise consumer_timeout in RabbitMQ, and set POLYCHRON_ACK_TIMEOUT to its value";
    Some(Finding::problem("broker", finding, remedy).warning())
}
