//! Decodes rows into the domain's types, which do not depend on a database.
//!
//! A tenant's rows are decoded leniently, because a tenant may write anything into its tables and one
//! malformed row must not hide the others: a column that cannot be read gets a default value, and the row
//! says which column that is.

use serde_json::Value;
use sqlx::{Decode, FromRow, Row, Type};

use super::readable::{TOO_LONG, is_null};
use super::types::ClampedTime;
use crate::execution::{Execution, Status, Trigger};
use crate::id::{ExecutionId, JobId};
use crate::job::{Job, MisfirePolicy, OrphanPolicy, OverlapPolicy};
use crate::store::Audit;
use crate::tenant::Tenant;

/// Decodes each field from the column with its name. JSON columns are selected as text.
macro_rules! read_rows {
    ($type:ident: $($field:ident)+; json $($json:ident)*; maybe_json $($maybe:ident)*) => {
        read_rows!(@ sqlx::postgres::PgRow, $type: $($field)+; $($json)*; $($maybe)*);
        read_rows!(@ sqlx::sqlite::SqliteRow, $type: $($field)+; $($json)*; $($maybe)*);
    };
    (@ $row:ty, $type:ident: $($field:ident)+; $($json:ident)*; $($maybe:ident)*) => {
        impl FromRow<'_, $row> for $type {
            fn from_row(row: &$row) -> sqlx::Result<$type> {
                Ok($type {
                    $( $field: row.try_get(stringify!($field))?, )+
                    $( $json: read_json(row.try_get(stringify!($json))?), )*
                    $( $maybe: row.try_get::<Option<_>, _>(stringify!($maybe))?.map(read_json), )*
                })
            }
        }
    };
}

/// The same, but leniently: the field after `note` names the first column that cannot be read.
macro_rules! read_tenants_rows {
    ($type:ident, note $note:ident: $($field:ident)+; times $($time:ident)+;
     json $($json:ident)*; maybe_json $($maybe:ident)*) => {
        read_tenants_rows!(@ sqlx::postgres::PgRow, $type, $note: $($field)+; $($time)+; $($json)*; $($maybe)*);
        read_tenants_rows!(@ sqlx::sqlite::SqliteRow, $type, $note: $($field)+; $($time)+; $($json)*; $($maybe)*);
    };
    (@ $row:ty, $type:ident, $note:ident: $($field:ident)+; $($time:ident)+; $($json:ident)*; $($maybe:ident)*) => {
        impl FromRow<'_, $row> for $type {
            fn from_row(row: &$row) -> sqlx::Result<$type> {
                let mut unreadable = None;
                let mut read = $type {
                    $( $field: read(row, stringify!($field), &mut unreadable), )+
                    $( $time: read::<_, ClampedTime>(row, stringify!($time), &mut unreadable).into(), )+
                    $( $json: read_json(read(row, stringify!($json), &mut unreadable)), )*
                    $( $maybe: read::<_, Option<String>>(row, stringify!($maybe), &mut unreadable).map(read_json), )*
                };
                if unreadable.is_some() {
                    read.$note = unreadable;
                }
                Ok(read)
            }
        }
    };
}

read_rows! { Tenant:
    id slug name status database_url schema max_running created_at updated_at; json ; maybe_json
}

read_tenants_rows! { Job, note quarantined_reason:
    id name job_type is_enabled queue timeout_seconds max_attempts retry_base_seconds
    misfire_policy misfire_grace_seconds overlap_policy orphan_policy version
    quarantined_reason;
    times next_run_at schedule_since pruned_until failing_since late_since created_at updated_at;
    json payload schedule; maybe_json notify
}

read_tenants_rows! { Execution, note error_message:
    id job_id job_name trigger attempt status publish_count worker cancel_requested job_version
    error_kind error_message error_detail output stands_for;
    times scheduled_for available_at dispatched_at published_at started_at finished_at lease_until
    deadline_at;
    json ; maybe_json payload result progress
}

read_rows! { Audit: id at actor action tenant target reason; json ; maybe_json before after }

/// A column's value, or the type's default if it cannot be read. `unreadable` gets the first reason.
fn read<'r, R: Row, T>(row: &'r R, column: &'static str, unreadable: &mut Option<String>) -> T
where
    T: Decode<'r, R::Database> + Type<R::Database> + Unreadable,
    &'static str: sqlx::ColumnIndex<R>,
{
    if !T::MAY_BE_NULL && is_null(row, column) {
        unreadable.get_or_insert_with(|| format!("this row's {column} cannot be read: {TOO_LONG}"));
        return T::unreadable();
    }
    row.try_get(column).unwrap_or_else(|error| {
        unreadable.get_or_insert_with(|| {
            let cause = match &error {
                sqlx::Error::ColumnDecode { source, .. } => source.to_string(),
                error => error.to_string(),
            };
            format!("this row's {column} cannot be read: {cause}")
        });
        T::unreadable()
    })
}

/// The value of a column that cannot be read.
trait Unreadable {
    /// Whether null is a valid value.
    const MAY_BE_NULL: bool = false;

    fn unreadable() -> Self;
}

macro_rules! unreadable {
    ($($type:ty = $value:expr),+ $(,)?) => { $(
        impl Unreadable for $type {
            fn unreadable() -> $type {
                $value
            }
        }
    )+ };
}

unreadable! {
    i32 = 0,
    bool = false,
    String = String::new(),
    JobId = JobId(0),
    ExecutionId = ExecutionId(uuid::Uuid::nil()),
    Status = Status::Failed,
    Trigger = Trigger::Schedule,
    MisfirePolicy = MisfirePolicy::Skip,
    OverlapPolicy = OverlapPolicy::Skip,
    OrphanPolicy = OrphanPolicy::Fail,
}

/// Some times are nullable, and no statement replaces a long time by null.
impl Unreadable for ClampedTime {
    const MAY_BE_NULL: bool = true;

    fn unreadable() -> ClampedTime {
        ClampedTime(None)
    }
}

impl<T> Unreadable for Option<T> {
    const MAY_BE_NULL: bool = true;

    fn unreadable() -> Option<T> {
        None
    }
}

/// Parses JSON from the database. If it is nested too deeply for the parser, it is shown as text.
fn read_json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
