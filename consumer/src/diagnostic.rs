//! Job types for demonstrations, tests and benchmarks, available if diagnostics are switched on.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Clock;

use crate::{Context, HandlerError, Registry};

/// How often `record` writes a `tick`.
const TICK_EVERY: Duration = Duration::from_millis(100);

/// Adds the diagnostic job types.
pub fn register(registry: &mut Registry, clock: &Clock) {
    registry.insert("noop", noop);
    registry.insert("fail", fail);
    registry.insert("panic", panic);
    registry.insert("block", block);
    let sleeper = clock.clone();
    registry.insert("sleep", move |payload, _: Context| sleep(payload, sleeper.clone()));
    let recorder = clock.clone();
    registry.insert("record", move |payload, context| record(payload, context, recorder.clone()));
}

async fn noop(_: Value, _: Context) -> Result<(), HandlerError> {
    Ok(())
}

#[derive(Deserialize)]
struct Seconds {
    seconds: f64,
}

impl Seconds {
    fn duration(&self) -> Result<Duration, HandlerError> {
        Duration::try_from_secs_f64(self.seconds)
            .map_err(|error| HandlerError::from(error).final_())
    }
}

async fn sleep(payload: Seconds, clock: Clock) -> Result<Value, HandlerError> {
    clock.sleep(payload.duration()?).await;
    Ok(json!({"slept_seconds": payload.seconds}))
}

#[derive(Deserialize)]
struct Fail {
    message: String,
    /// The first attempt that succeeds; `None`: none does.
    until_attempt: Option<i32>,
}

async fn fail(payload: Fail, context: Context) -> Result<Value, HandlerError> {
    match payload.until_attempt {
        Some(until) if context.attempt >= until => Ok(json!({"attempt": context.attempt})),
        _ => Err(HandlerError::new(payload.message)),
    }
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

#[expect(clippy::panic, reason = "that is what this job type is for")]
async fn panic(payload: Message, _: Context) -> Result<(), HandlerError> {
    panic!("{}", payload.message)
}

/// Blocks its thread and ignores every request to stop.
async fn block(payload: Seconds, _: Context) -> Result<(), HandlerError> {
    std::thread::sleep(payload.duration()?);
    Ok(())
}

#[derive(Deserialize)]
struct Record {
    file: PathBuf,
    #[serde(default)]
    seconds: f64,
}

/// Appends one line per event to a file, each by a single write, for tests that must know what really
/// ran, independently of the database.
async fn record(payload: Record, context: Context, clock: Clock) -> Result<(), HandlerError> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&payload.file)?;
    let mut write = |event: &str| {
        let line = json!({
            "event": event,
            "tenant": context.tenant,
            "job": context.job,
            "execution": context.execution,
            "occurrence": context.scheduled_for,
            "attempt": context.attempt,
            "pid": std::process::id(),
            "time": clock.wall_time(),
        });
        file.write_all(format!("{line}\n").as_bytes())
    };
    write("start")?;
    let end = clock.boot_time() + Seconds { seconds: payload.seconds }.duration()?;
    loop {
        let left = end - clock.boot_time();
        if left.is_zero() {
            break;
        }
        clock.sleep(left.min(TICK_EVERY)).await;
        write("tick")?;
    }
    write("end")?;
    Ok(())
}
