//! The schemas of bodies and responses, for the OpenAPI document. Tests compare them with real
//! responses.

use serde_json::{Map, Value, json};
use shared::execution::{ErrorKind, Status, Trigger};
use shared::handler_status::HandlerState;
use shared::job::{MisfirePolicy, OrphanPolicy, OverlapPolicy};
use shared::tenant::TenantStatus;

/// Every character but NUL, which PostgreSQL cannot store.
const NO_NUL: &str = "^[^\\u0000]*$";

/// A reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// All of them.
pub(super) fn schemas() -> Value {
    let mut schemas = Map::new();
    for (name, schema) in of_tenants()
        .into_iter()
        .chain(of_jobs())
        .chain(of_executions())
        .chain(of_the_rest())
        .chain(of_processes())
    {
        schemas.insert(name.to_owned(), schema);
    }
    Value::Object(schemas)
}

type NamedSchema = (&'static str, Value);

fn of_tenants() -> Vec<NamedSchema> {
    let tenant = [
        ("id", uuid()),
        ("slug", text()),
        ("name", text()),
        ("status", words(TenantStatus::ALL.iter().map(|word| word.as_str()))),
        ("database_url", text()),
        ("schema", maybe(text())),
        ("max_running", maybe(integer())),
        ("created_at", time()),
        ("updated_at", time()),
    ];
    let inspected = [
        ("problem", maybe(text())),
        ("dispatched", maybe(integer())),
        ("running", maybe(integer())),
        ("waiting", maybe(integer())),
        ("next_due_at", maybe(time())),
    ];
    let inspected: Vec<NamedSchema> = tenant.iter().chain(&inspected).cloned().collect();
    let edit = [
        ("name", text()),
        ("status", words(TenantStatus::ALL.iter().map(|word| word.as_str()))),
        ("max_running", maybe(between(1, i32::MAX.into()))),
        ("reason", reason()),
    ];
    // At least one change is required.
    let mut edit = given(&edit, &[]);
    edit["anyOf"] =
        ["name", "status", "max_running"].map(|name| json!({"required": [name]})).into();
    vec![
        ("Tenant", whole(&tenant)),
        ("TenantPage", page("Tenant")),
        ("InspectedTenant", whole(&inspected)),
        ("TenantEdit", edit),
    ]
}

/// One of the forms, with its options; the engine checks the rest.
fn schedule() -> Value {
    json!({
        "type": "object",
        "description": "One of `cron`, `every`, `at`, `rrule` and `any` (several schedules), with its options: docs/schedules.md",
    })
}

fn of_jobs() -> Vec<NamedSchema> {
    let definition = [
        ("job_type", characters(1, 100)),
        ("schedule", schedule()),
        ("payload", any()),
        ("is_enabled", boolean()),
        ("queue", json!({"type": "string", "pattern": "^[a-z0-9_-]{1,64}$"})),
        ("timeout_seconds", maybe(between(1, 2_592_000))),
        ("max_attempts", between(1, 100)),
        ("retry_base_seconds", between(0, 3600)),
        ("misfire_policy", words(MisfirePolicy::ALL.iter().map(|word| word.as_str()))),
        ("misfire_grace_seconds", between(1, 31_536_000)),
        ("overlap_policy", words(OverlapPolicy::ALL.iter().map(|word| word.as_str()))),
        ("orphan_policy", words(OrphanPolicy::ALL.iter().map(|word| word.as_str()))),
        ("notify", any()),
    ];
    let engines = [
        ("id", integer()),
        ("name", name()),
        ("next_run_at", maybe(time())),
        ("version", integer()),
        ("schedule_since", maybe(time())),
        ("quarantined_reason", maybe(text())),
        ("pruned_until", maybe(time())),
        ("failing_since", maybe(time())),
        ("late_since", maybe(time())),
        ("created_at", time()),
        ("updated_at", time()),
    ];
    let job: Vec<NamedSchema> = definition.iter().chain(&engines).cloned().collect();
    let meaning = || whole(&[("words", text()), ("next", maybe(time()))]);
    let schedule_change = whole(&[
        ("before", maybe(meaning())),
        ("after", meaning()),
        ("kept", list(text())),
        ("dropped", list(text())),
    ]);
    let changed = [("schedule_change", maybe(schedule_change))];
    let edited_job: Vec<NamedSchema> = job.iter().chain(&changed).cloned().collect();
    let edit: Vec<NamedSchema> = definition.iter().cloned().chain([("reason", reason())]).collect();
    let new: Vec<NamedSchema> = edit.iter().cloned().chain([("name", name())]).collect();
    // At least one change is required.
    let mut edited = given(&edit, &[]);
    edited["anyOf"] = definition.iter().map(|(name, _)| json!({"required": [name]})).collect();
    vec![
        ("Job", whole(&job)),
        ("EditedJob", whole(&edited_job)),
        ("JobPage", page("Job")),
        ("JobEdit", edited),
        ("NewJob", given(&new, &["name", "job_type", "schedule"])),
        ("Run", given(&[("payload", any()), ("reason", reason())], &[])),
        ("Reason", given(&[("reason", reason())], &[])),
        ("Deleted", whole(&[("deleted", text())])),
    ]
}

fn of_executions() -> Vec<NamedSchema> {
    let execution = [
        ("id", uuid()),
        ("job_id", integer()),
        ("job_name", maybe(text())),
        ("scheduled_for", time()),
        ("trigger", words(Trigger::ALL.iter().map(|word| word.as_str()))),
        ("attempt", integer()),
        ("status", statuses()),
        ("available_at", maybe(time())),
        ("dispatched_at", maybe(time())),
        ("published_at", maybe(time())),
        ("publish_count", integer()),
        ("started_at", maybe(time())),
        ("finished_at", maybe(time())),
        ("lease_until", maybe(time())),
        ("deadline_at", maybe(time())),
        ("worker", maybe(text())),
        ("cancel_requested", boolean()),
        ("job_version", maybe(integer())),
        ("payload", any()),
        ("error_kind", maybe(words(ErrorKind::ALL.iter().map(|word| word.as_str())))),
        ("error_message", maybe(text())),
        ("error_detail", maybe(text())),
        ("result", any()),
        ("output", maybe(text())),
        ("progress", any()),
        ("stands_for", integer()),
    ];
    vec![("Execution", whole(&execution)), ("ExecutionPage", page("Execution"))]
}

fn of_processes() -> Vec<NamedSchema> {
    let states = [HandlerState::Ready, HandlerState::Starting, HandlerState::NotReady];
    let handlers = [
        ("command", text()),
        ("types", list(text())),
        ("more_types", integer()),
        ("status", words(states.iter().map(|state| state.as_str()))),
        ("reason", maybe(text())),
        ("processes", integer()),
        ("running", integer()),
        ("waiting", integer()),
        ("silent", integer()),
        ("last_output", text()),
    ];
    let consumer = [
        ("name", text()),
        ("host", text()),
        ("pid", integer()),
        ("version", text()),
        ("queues", list(text())),
        ("job_types", list(text())),
        ("slots", integer()),
        ("running", integer()),
        ("started_at", time()),
        ("seen_at", time()),
        ("handlers", list(whole(&handlers))),
    ];
    let producer = [
        ("name", text()),
        ("host", text()),
        ("pid", integer()),
        ("version", text()),
        ("watched", integer()),
        ("poll_seconds", integer()),
        ("unreachable", list(uuid())),
        ("started_at", time()),
        ("seen_at", time()),
    ];
    vec![("Consumers", list(whole(&consumer))), ("Producers", list(whole(&producer)))]
}

fn of_the_rest() -> Vec<NamedSchema> {
    let ended = [("success", integer()), ("failed", integer()), ("other", integer())];
    let hour: Vec<NamedSchema> = [("begins", time())].iter().chain(&ended).cloned().collect();
    let finding = [
        ("subject", text()),
        ("level", words(["ok", "warning", "problem"].into_iter())),
        ("finding", text()),
        ("remedy", maybe(text())),
    ];
    let overview = [
        ("behind_seconds", number()),
        ("worst_start_seconds", maybe(number())),
        ("due", integer()),
        ("waiting", integer()),
        ("dispatched", integer()),
        ("running", integer()),
        ("slots", integer()),
        ("failed", integer()),
        ("tenants", integer()),
        ("unvisited", integer()),
        ("oldest_seconds", integer()),
        ("hours", list(whole(&hour))),
        ("findings", list(reference("Finding"))),
        ("more_findings", integer()),
        ("problems", integer()),
    ];
    let audit = [
        ("id", integer()),
        ("at", time()),
        ("actor", text()),
        ("action", text()),
        ("tenant", maybe(text())),
        ("target", maybe(text())),
        ("before", any()),
        ("after", any()),
        ("reason", maybe(text())),
    ];
    let queue = [
        ("queue", text()),
        ("ready", maybe(integer())),
        ("consumers", maybe(integer())),
        ("slots", integer()),
    ];
    let dead = [("reason", maybe(text())), ("bytes", integer()), ("body", text())];
    let due = [("at", time()), ("local", time()), ("timezone", text()), ("clocks", maybe(text()))];
    let problem = [("title", text()), ("status", integer()), ("detail", text())];
    vec![
        ("Any", any()),
        ("Problem", whole(&problem)),
        ("Finding", whole(&finding)),
        ("Findings", list(reference("Finding"))),
        ("Overview", whole(&overview)),
        ("Audit", whole(&audit)),
        ("AuditPage", page("Audit")),
        ("Queues", list(whole(&queue))),
        ("DeadMessages", list(whole(&dead))),
        ("Emptied", whole(&[("removed", integer())])),
        ("Preview", whole(&[("words", text()), ("times", list(whole(&due)))])),
    ]
}

/// A response: every field is present.
fn whole(fields: &[NamedSchema]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    given(fields, &names)
}

/// A body: other fields than the required ones may be missing, and no others may be present.
fn given(fields: &[NamedSchema], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn page(of: &str) -> Value {
    whole(&[("items", list(reference(of))), ("next", maybe(text()))])
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn maybe(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    json!({"type": "string", "enum": words.collect::<Vec<_>>()})
}

/// The name of a tenant or a job.
pub(super) fn name() -> Value {
    characters(1, 200)
}

fn reason() -> Value {
    characters(0, 500)
}

fn characters(min: i64, max: i64) -> Value {
    json!({"type": "string", "minLength": min, "maxLength": max, "pattern": NO_NUL})
}

pub(super) fn statuses() -> Value {
    words(Status::ALL.iter().map(|word| word.as_str()))
}

/// A text in a query.
pub(super) fn query_text() -> Value {
    json!({"type": "string", "pattern": NO_NUL})
}

fn text() -> Value {
    json!({"type": "string"})
}

pub(super) fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

pub(super) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// An integer of the database's width.
pub(super) fn integer() -> Value {
    between(i64::MIN, i64::MAX)
}

pub(super) fn between(min: i64, max: i64) -> Value {
    json!({"type": "integer", "minimum": min, "maximum": max})
}

fn number() -> Value {
    json!({"type": "number"})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn any() -> Value {
    json!({})
}
