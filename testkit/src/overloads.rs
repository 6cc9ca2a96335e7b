//! What a tenant can plant in a schema of its own: functions and operators that match the arguments of
//! our statements better than those of `pg_catalog`, and types of PostgreSQL's names.

use std::collections::BTreeSet;

use shared::database_url::DatabaseUrl;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Types of arguments: those of our columns and parameters, and those that PostgreSQL converts to and
/// from them.
const TYPES: &[&str] = &[
    "int2",
    "int4",
    "int8",
    "numeric",
    "float4",
    "float8",
    "text",
    "varchar",
    "bpchar",
    "name",
    "bool",
    "timestamptz",
    "timestamp",
    "date",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "oid",
    "regclass",
    "regnamespace",
    "text[]",
    "uuid[]",
    "int4[]",
    "int8[]",
    "timestamptz[]",
    "anyelement",
    "anyarray",
];
/// Functions with three arguments, of which the first is text.
const TERNARY: &[&str] = &["replace", "substr", "format"];
/// Operators that a statement calls without writing them: `IN`, `BETWEEN`, `USING`, `LIKE`.
const IMPLICIT: &[&str] = &["=", "<", "<=", ">", ">=", "~~"];

/// Plants overloads of every function and operator of PostgreSQL whose name occurs in these texts, for
/// all combinations of `TYPES`. They cannot be planned: a statement that resolves to one of them
/// fails, even if no row would reach it, with an error that contains `planted` or, where it is used as
/// an aggregate or a value of another type, an error of the parser.
pub async fn plant_overloads(url: &DatabaseUrl, schema: &str, texts: &[&str]) {
    let mut session = PgConnection::connect(url.expose()).await.unwrap();
    let code: String = texts.iter().map(|text| code(text)).collect::<Vec<_>>().join("\n");
    let functions = "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace";
    let functions: Vec<String> =
        sqlx::query_scalar(functions).fetch_all(&mut session).await.unwrap();
    let called = called(&code);
    let functions: Vec<_> = functions.into_iter().filter(|name| called.contains(name)).collect();
    let operators = "SELECT DISTINCT oprname::text FROM pg_operator";
    let operators: Vec<String> =
        sqlx::query_scalar(operators).fetch_all(&mut session).await.unwrap();
    let written: BTreeSet<_> = code.split(|c: char| !"+-*/<>=~!@#%^&|?".contains(c)).collect();
    let is_used = |name: &String| written.contains(&**name) || IMPLICIT.contains(&&**name);
    let operators: Vec<_> = operators.into_iter().filter(is_used).collect();
    assert!(functions.len() > 10 && operators.len() > 8, "{functions:?} {operators:?}");
    let plant = format!(
        "SET check_function_bodies = off;
         CREATE SCHEMA IF NOT EXISTS {schema};
         SET search_path = pg_catalog;
         DO $plant$
         DECLARE
             types text[] := {types};
             name text; a text; b text; c text;
         BEGIN
             FOREACH a IN ARRAY types LOOP FOREACH b IN ARRAY types LOOP
                 EXECUTE format('CREATE FUNCTION {schema}.planted(%s, %s) RETURNS bool LANGUAGE sql AS %L',
                                a, b, format('planted operator (%s, %s)', a, b));
                 FOREACH name IN ARRAY {operators} LOOP
                     EXECUTE format('CREATE OPERATOR {schema}.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = {schema}.planted)',
                                    name, a, b);
                 END LOOP;
             END LOOP; END LOOP;
             FOREACH name IN ARRAY {functions} LOOP
                 EXECUTE format('CREATE FUNCTION {schema}.%I() RETURNS int8 LANGUAGE sql AS %L',
                                name, format('planted %s()', name));
                 FOREACH a IN ARRAY types LOOP
                     -- The name is for `make_interval(secs => …)`.
                     EXECUTE format('CREATE FUNCTION {schema}.%I(secs %s) RETURNS int8 LANGUAGE sql AS %L',
                                    name, a, format('planted %s(%s)', name, a));
                     FOREACH b IN ARRAY types LOOP
                         EXECUTE format('CREATE FUNCTION {schema}.%I(%s, %s) RETURNS int8 LANGUAGE sql AS %L',
                                        name, a, b, format('planted %s(%s, %s)', name, a, b));
                         IF name = ANY({ternary}) AND a IN ('text', 'varchar', 'name') THEN
                             FOREACH c IN ARRAY types LOOP
                                 EXECUTE format('CREATE FUNCTION {schema}.%I(%s, %s, %s) RETURNS int8
                                                 LANGUAGE sql AS %L',
                                                name, a, b, c, format('planted %s(%s, %s, %s)', name, a, b, c));
                             END LOOP;
                         END IF;
                     END LOOP;
                 END LOOP;
             END LOOP;
             FOREACH name IN ARRAY types LOOP
                 IF name !~ '^any|\\[' THEN
                     EXECUTE format('CREATE DOMAIN {schema}.%I AS pg_catalog.money', name);
                 END IF;
             END LOOP;
         END $plant$",
        types = array(TYPES),
        operators = array(&operators),
        functions = array(&functions),
        ternary = array(TERNARY),
    );
    session.execute(sqlx::raw_sql(AssertSqlSafe(plant))).await.unwrap();
    session.close().await.unwrap();
}

/// An SQL text without comments and literals.
fn code(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.split("--").next());
    let code = lines.collect::<Vec<_>>().join("\n");
    code.split('\'').step_by(2).collect::<Vec<_>>().join("''")
}

/// The names before an opening parenthesis.
fn called(code: &str) -> BTreeSet<String> {
    let before = code.match_indices('(').map(|(at, _)| code[..at].trim_end());
    let name = |text: &str| -> String {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.rsplit(|c: char| !is_name(c)).next().unwrap_or_default().to_owned()
    };
    before.map(name).collect()
}

fn array<T: AsRef<str>>(values: &[T]) -> String {
    let quoted: Vec<_> = values.iter().map(|value| format!("'{}'", value.as_ref())).collect();
    format!("ARRAY[{}]", quoted.join(", "))
}
