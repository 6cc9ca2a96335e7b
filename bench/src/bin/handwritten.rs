//! A minimal hand-written scheduler as a baseline: due jobs are claimed by one statement, published as
//! persistent messages with confirms to a quorum queue, recorded as running before they "run", recorded
//! with their result, and acknowledged. It has no leases, retries, misfires, tenants or health, and
//! shows what those cost. It is not an example to follow.
//!
//! Started by the benchmark, with its settings in the environment. `MODE` is
//! - `produce`, which polls every few milliseconds, or `timed`, which sleeps until the next job is due;
//! - `simple`: two single-row updates per job, a connection per job in flight (at most ten, since more
//!   do not help on a small machine);
//! - `batched`: starts and ends that are waiting are written by one statement on one connection, and
//!   acknowledged together.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use shared::clock::Clock;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use testkit::setting;
use tokio::sync::mpsc;
use uuid::Uuid;

/// The queue's name.
const QUEUE: &str = "handwritten";
/// How often the producer polls when nothing is due.
const POLL_EVERY: Duration = Duration::from_millis(5);
/// How long the timed producer sleeps at most, since it is not notified of new jobs.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The maximum number of connections of one consumer.
const CONNECTIONS_MAX: usize = 10;
/// The maximum number of starts, or of ends, in one statement.
const GROUP_MAX: usize = 100;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let prefetch: usize = setting("PREFETCH").parse()?;
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&setting("AMQP_URL"), properties).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments).await?;
    match setting("MODE").as_str() {
        "produce" => produce(&pool(1).await?, &channel, false).await,
        "timed" => produce(&pool(1).await?, &channel, true).await,
        "simple" => {
            let pool = pool(prefetch.min(CONNECTIONS_MAX)).await?;
            simple(pool, consume(&channel, prefetch).await?).await
        }
        "batched" => batched(&pool(1).await?, &channel, consume(&channel, prefetch).await?).await,
        mode => anyhow::bail!("there is no mode {mode}"),
    }
}

/// Open connections. They use custom plans, since a plan made while the table is empty scans all of it.
async fn pool(size: usize) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = setting("DATABASE_URL").parse()?;
    let options = options.options([("plan_cache_mode", "force_custom_plan")]);
    let size = size as u32;
    Ok(PgPoolOptions::new()
        .min_connections(size)
        .max_connections(size)
        .test_before_acquire(false)
        .connect_with(options)
        .await?)
}

async fn consume(channel: &Channel, prefetch: usize) -> anyhow::Result<Consumer> {
    channel.basic_qos(u16::try_from(prefetch)?, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let consumer =
        channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default()).await?;
    say_ready();
    Ok(consumer)
}

#[expect(clippy::print_stdout, reason = "the benchmark waits for this line")]
fn say_ready() {
    println!("ready");
}

async fn produce(pool: &PgPool, channel: &Channel, timed: bool) -> anyhow::Result<()> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    say_ready();
    let claim = include_str!("../../sql/handwritten_claim.sql");
    loop {
        let dispatched: Vec<Uuid> = sqlx::query_scalar(claim).fetch_all(pool).await?;
        if dispatched.is_empty() {
            let rest = if timed { until_due(pool).await? } else { POLL_EVERY };
            Clock::System.sleep(rest).await;
            continue;
        }
        let mut confirms = Vec::with_capacity(dispatched.len());
        for id in dispatched {
            let properties = BasicProperties::default().with_delivery_mode(2); // persistent
            let options = BasicPublishOptions { mandatory: true, ..Default::default() };
            let body = id.as_bytes();
            let sent = channel.basic_publish("".into(), QUEUE.into(), options, body, properties);
            confirms.push(sent.await?);
        }
        // Claim the next jobs while the broker writes.
        tokio::spawn(try_join_all(confirms));
    }
}

async fn until_due(pool: &PgPool) -> anyhow::Result<Duration> {
    let next = sqlx::query_scalar(include_str!("../../sql/handwritten_next.sql"));
    let seconds: Option<f64> = next.fetch_one(pool).await?;
    Ok(seconds
        .map_or(SLEEP_MAX, |seconds| Duration::from_secs_f64(seconds.max(0.0)).min(SLEEP_MAX)))
}

async fn simple(pool: PgPool, mut deliveries: Consumer) -> anyhow::Result<()> {
    while let Some(delivery) = deliveries.next().await {
        let (delivery, pool) = (delivery?, pool.clone());
        tokio::spawn(async move {
            let id = Uuid::from_slice(&delivery.data)?;
            let start = include_str!("../../sql/handwritten_start.sql");
            if sqlx::query(start).bind(id).execute(&pool).await?.rows_affected() == 1 {
                let finish = include_str!("../../sql/handwritten_finish.sql");
                sqlx::query(finish).bind(id).bind(handle()).execute(&pool).await?;
            }
            delivery.ack(BasicAckOptions::default()).await?;
            anyhow::Ok(())
        });
    }
    Ok(())
}

/// The handler, which does nothing. Its result says when it was called.
fn handle() -> serde_json::Value {
    serde_json::json!(Clock::System.wall_time())
}

async fn batched(pool: &PgPool, channel: &Channel, mut deliveries: Consumer) -> anyhow::Result<()> {
    let (sender, mut started) = mpsc::unbounded_channel();
    let mut acks = Acks::default();
    let write = include_str!("../../sql/handwritten_write.sql");
    loop {
        let (mut starts, mut ends): (Vec<Delivery>, Vec<Ended>) = (Vec::new(), Vec::new());
        tokio::select! {
            delivery = deliveries.next() => starts.push(delivery.context("no more deliveries")??),
            end = started.recv() => ends.extend(end),
        }
        while starts.len() < GROUP_MAX
            && let Some(Some(delivery)) = futures_util::FutureExt::now_or_never(deliveries.next())
        {
            starts.push(delivery?);
        }
        while ends.len() < GROUP_MAX
            && let Ok(end) = started.try_recv()
        {
            ends.push(end);
        }
        let ids: Result<Vec<Uuid>, _> =
            starts.iter().map(|delivery| Uuid::from_slice(&delivery.data)).collect();
        let (ended, results): (Vec<Uuid>, Vec<_>) =
            ends.iter().map(|end| (end.id, end.result.clone())).unzip();
        let query = sqlx::query_scalar(write).bind(ids?).bind(ended).bind(results);
        let running: BTreeSet<Uuid> = query.fetch_all(pool).await?.into_iter().collect();
        for delivery in starts {
            let id = Uuid::from_slice(&delivery.data)?;
            match running.contains(&id) {
                true => {
                    let (sender, tag) = (sender.clone(), delivery.delivery_tag);
                    tokio::spawn(async move { sender.send(Ended { id, tag, result: handle() }) });
                }
                false => acks.done(delivery.delivery_tag),
            }
        }
        for end in ends {
            acks.done(end.tag);
        }
        acks.send(channel).await?;
    }
}

/// An execution whose handler has returned.
struct Ended {
    id: Uuid,
    tag: u64,
    result: serde_json::Value,
}

/// Which deliveries can be acknowledged.
#[derive(Default)]
struct Acks {
    /// All up to this one are acknowledged.
    acknowledged: u64,
    done: BTreeSet<u64>,
}

impl Acks {
    fn done(&mut self, tag: u64) {
        self.done.insert(tag);
    }

    /// Acknowledges everything before the first unfinished one, in one frame.
    async fn send(&mut self, channel: &Channel) -> anyhow::Result<()> {
        let before = self.acknowledged;
        while self.done.remove(&(self.acknowledged + 1)) {
            self.acknowledged += 1;
        }
        if self.acknowledged > before {
            channel.basic_ack(self.acknowledged, BasicAckOptions { multiple: true }).await?;
        }
        Ok(())
    }
}
