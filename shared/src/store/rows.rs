//! How a row becomes a domain type, which itself knows nothing of databases.

use serde_json::Value;
use sqlx::{FromRow, Row};

use crate::execution::Execution;
use crate::job::Job;
use crate::store::Audit;
use crate::tenant::Tenant;

/// Reads each field from the column of its name; JSON comes as text.
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

read_rows! { Tenant:
    id slug name status database_url schema max_running created_at updated_at; json ; maybe_json
}

read_rows! { Job:
    id name job_type is_enabled next_run_at queue timeout_seconds max_attempts retry_base_seconds
    misfire_policy misfire_grace_seconds overlap_policy orphan_policy version schedule_since
    quarantined_reason pruned_until failing_since late_since created_at updated_at;
    json payload schedule; maybe_json notify
}

read_rows! { Execution:
    id job_id job_name scheduled_for trigger attempt status available_at dispatched_at published_at
    publish_count started_at finished_at lease_until deadline_at worker cancel_requested job_version
    error_kind error_message error_detail output stands_for;
    json ; maybe_json payload result progress
}

read_rows! { Audit: id at actor action tenant target reason; json ; maybe_json before after }

/// JSON that the database holds. What is nested too deeply to be read is shown as text: one odd
/// row must not hide the others.
fn read_json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
