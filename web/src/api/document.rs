//! The OpenAPI document, made from the table of operations.

use std::sync::LazyLock;

use axum::Json;
use serde_json::{Map, Value, json};

use super::{OPERATIONS, Operation, schema};

/// A job's version as an ETag, or `*`.
const IF_MATCH: &str = r#"^(\*|"[0-9]{1,9}")$"#;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

pub(super) async fn show() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = describe(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Polychron",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Scheduled jobs of many tenants. Errors are problem details (RFC 9457). \
                            To get a list's next page, send its `next`, which is null on the last one.",
        },
        "paths": paths,
        "components": {
            "schemas": schema::schemas(),
            "responses": {"Problem": {
                "description": "The request failed; `detail` says why",
                "content": {"application/problem+json": {"schema": schema::reference("Problem")}},
            }},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        // Neither is needed while only loopback is served.
        "security": [{"token": []}, {}],
    })
}

fn describe(operation: &Operation) -> Value {
    let created = matches!(operation.id, "addJob" | "runJob" | "retryExecution");
    let success = if created { "201" } else { "200" };
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters(operation),
        "responses": {
            success: {
                "description": "Done",
                "content": {"application/json": {"schema": schema::reference(operation.answer)}},
            },
            "default": {"$ref": "#/components/responses/Problem"},
        },
    });
    if let Some(body) = operation.body {
        let required = matches!(operation.id, "addJob" | "editJob" | "editTenant");
        described["requestBody"] = json!({
            "required": required,
            "content": {"application/json": {"schema": schema::reference(body)}},
        });
    }
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let names =
        operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(|name| {
        let schema = if name == "execution" { schema::uuid() } else { schema::name() };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    let in_query = operation.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.name == "expression",
            "description": parameter.meaning,
            "schema": (parameter.schema)(),
        })
    });
    let mut parameters: Vec<Value> = in_path.chain(in_query).collect();
    if operation.id == "editJob" {
        parameters.push(json!({
            "name": "If-Match",
            "in": "header",
            "required": true,
            "description": "The ETag of the job that the change is meant for, or `*`",
            "schema": {"type": "string", "pattern": IF_MATCH},
        }));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_is_documented_once_and_every_named_schema_exists() {
        let document = document();
        let mut ids = BTreeSet::new();
        for operation in OPERATIONS {
            let documented = &document["paths"][operation.path][operation.method];
            assert_eq!(documented["operationId"], operation.id);
            assert!(ids.insert(operation.id), "{} stands there twice", operation.id);
        }
        let documented: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|path| path.as_object().unwrap().len())
            .sum();
        assert_eq!(documented, OPERATIONS.len());
        for name in references(&document) {
            assert!(
                document.pointer(name.strip_prefix('#').unwrap()).is_some(),
                "{name} is nowhere"
            );
        }
    }

    fn references(value: &Value) -> Vec<String> {
        match value {
            Value::Object(fields) => {
                let own = fields.get("$ref").and_then(Value::as_str).map(str::to_owned);
                own.into_iter().chain(fields.values().flat_map(references)).collect()
            }
            Value::Array(items) => items.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }
}
