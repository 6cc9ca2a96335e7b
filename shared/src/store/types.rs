//! How the domain's types are written to, and read from, either database.
//!
//! String enums are text in both databases. A UUID is a `uuid` in PostgreSQL. In SQLite it is hyphenated
//! text, because people read those files. The domain's own modules do not depend on this one.

use chrono::{DateTime, Utc};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Postgres, Sqlite, Type, ValueRef as _};
use uuid::Uuid;

use super::DbTime;
use crate::clock::{OutOfRange, Time};
use crate::database_url::DatabaseUrl;
use crate::execution::{ErrorKind, Status, Trigger};
use crate::id::{ExecutionId, JobId, TenantId};
use crate::job::{MisfirePolicy, OrphanPolicy, OverlapPolicy};
use crate::tenant::TenantStatus;

macro_rules! stored_as_text {
    ($($name:ty),+) => { $(
        impl<DB: Database> Type<DB> for $name where String: Type<DB> {
            fn type_info() -> DB::TypeInfo {
                <String as Type<DB>>::type_info()
            }
            fn compatible(ty: &DB::TypeInfo) -> bool {
                <String as Type<DB>>::compatible(ty)
            }
        }

        impl<'q, DB: Database> Encode<'q, DB> for $name where String: Encode<'q, DB> {
            fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
                self.as_str().to_owned().encode(buffer)
            }
        }

        impl<'r, DB: Database> Decode<'r, DB> for $name where &'r str: Decode<'r, DB> {
            fn decode(value: DB::ValueRef<'r>) -> Result<$name, BoxDynError> {
                Ok(<&str as Decode<'r, DB>>::decode(value)?.parse()?)
            }
        }
    )+ };
}

stored_as_text!(
    Status,
    Trigger,
    ErrorKind,
    MisfirePolicy,
    OverlapPolicy,
    OrphanPolicy,
    TenantStatus
);

macro_rules! stored_as_uuid {
    ($($id:ident),+) => { $(
        impl Type<Postgres> for $id {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <Uuid as Type<Postgres>>::type_info()
            }
        }

        impl sqlx::postgres::PgHasArrayType for $id {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                <Uuid as sqlx::postgres::PgHasArrayType>::array_type_info()
            }
        }

        impl Encode<'_, Postgres> for $id {
            fn encode_by_ref(
                &self,
                buffer: &mut sqlx::postgres::PgArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                <Uuid as Encode<'_, Postgres>>::encode_by_ref(&self.0, buffer)
            }
        }

        impl Decode<'_, Postgres> for $id {
            fn decode(value: sqlx::postgres::PgValueRef<'_>) -> Result<$id, BoxDynError> {
                <Uuid as Decode<'_, Postgres>>::decode(value).map($id)
            }
        }

        impl Type<Sqlite> for $id {
            fn type_info() -> sqlx::sqlite::SqliteTypeInfo {
                <String as Type<Sqlite>>::type_info()
            }
        }

        impl Encode<'_, Sqlite> for $id {
            fn encode_by_ref(
                &self,
                buffer: &mut sqlx::sqlite::SqliteArgumentsBuffer,
            ) -> Result<IsNull, BoxDynError> {
                <String as Encode<'_, Sqlite>>::encode(self.0.to_string(), buffer)
            }
        }

        impl Decode<'_, Sqlite> for $id {
            fn decode(value: sqlx::sqlite::SqliteValueRef<'_>) -> Result<$id, BoxDynError> {
                Ok($id(Uuid::parse_str(<&str as Decode<'_, Sqlite>>::decode(value)?)?))
            }
        }
    )+ };
}

stored_as_uuid!(TenantId, ExecutionId);

impl<DB: Database> Type<DB> for Time
where
    DateTime<Utc>: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <DateTime<Utc> as Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <DateTime<Utc> as Type<DB>>::compatible(ty)
    }
}

impl sqlx::postgres::PgHasArrayType for Time {
    fn array_type_info() -> sqlx::postgres::PgTypeInfo {
        <DateTime<Utc> as sqlx::postgres::PgHasArrayType>::array_type_info()
    }
}

impl<'q, DB: Database> Encode<'q, DB> for Time
where
    DateTime<Utc>: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        DateTime::from(*self).encode(buffer)
    }
}

/// PostgreSQL's epoch (the beginning of 2000), in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// Decodes PostgreSQL's number of microseconds itself, because sqlx panics if chrono cannot hold the
/// instant, such as `infinity`.
impl Decode<'_, Postgres> for Time {
    fn decode(value: sqlx::postgres::PgValueRef<'_>) -> Result<Time, BoxDynError> {
        if value.format() == sqlx::postgres::PgValueFormat::Text {
            return Ok(<DateTime<Utc> as Decode<'_, Postgres>>::decode(value)?.try_into()?);
        }
        let microseconds = <i64 as Decode<'_, Postgres>>::decode(value)?;
        let since_1970 = microseconds.checked_add(EPOCH).ok_or(OutOfRange)?;
        Ok(Time::from_timestamp_micros(since_1970).ok_or(OutOfRange)?)
    }
}

impl Decode<'_, Sqlite> for Time {
    fn decode(value: sqlx::sqlite::SqliteValueRef<'_>) -> Result<Time, BoxDynError> {
        Ok(<DateTime<Utc> as Decode<'_, Sqlite>>::decode(value)?.try_into()?)
    }
}

/// A text of a tenant's row, in which bytes that are no UTF-8 become U+FFFD. A database with the encoding
/// SQL_ASCII, and SQLite, store any bytes; one such row must not fail the whole statement.
#[derive(Debug)]
pub(super) struct Lossy(Option<String>);

impl From<Lossy> for String {
    fn from(lossy: Lossy) -> String {
        lossy.0.unwrap_or_default()
    }
}

impl From<Lossy> for Option<String> {
    fn from(lossy: Lossy) -> Option<String> {
        lossy.0
    }
}

impl<DB: Database> Type<DB> for Lossy
where
    String: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <String as Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <String as Type<DB>>::compatible(ty)
    }
}

impl Decode<'_, Postgres> for Lossy {
    fn decode(value: sqlx::postgres::PgValueRef<'_>) -> Result<Lossy, BoxDynError> {
        if value.is_null() {
            return Ok(Lossy(None));
        }
        Ok(Lossy(Some(String::from_utf8_lossy(value.as_bytes()?).into_owned())))
    }
}

impl Decode<'_, Sqlite> for Lossy {
    fn decode(value: sqlx::sqlite::SqliteValueRef<'_>) -> Result<Lossy, BoxDynError> {
        if value.is_null() {
            return Ok(Lossy(None));
        }
        let bytes = <&[u8] as Decode<'_, Sqlite>>::decode(value)?;
        Ok(Lossy(Some(String::from_utf8_lossy(bytes).into_owned())))
    }
}

/// A nullable time of a tenant's row that always decodes: a time out of range becomes [`Time::MIN`] or
/// [`Time::MAX`], and text in SQLite that is not a time becomes [`Time::MIN`]. For times that only order or
/// delay rows, so that one malformed row does not fail the whole statement.
pub(super) struct ClampedTime(pub(super) Option<Time>);

impl From<ClampedTime> for Option<Time> {
    fn from(clamped: ClampedTime) -> Option<Time> {
        clamped.0
    }
}

impl From<ClampedTime> for Time {
    fn from(clamped: ClampedTime) -> Time {
        clamped.0.unwrap_or(Time::MIN)
    }
}

impl<DB: Database> Type<DB> for ClampedTime
where
    Time: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <Time as Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <Time as Type<DB>>::compatible(ty)
    }
}

impl Decode<'_, Postgres> for ClampedTime {
    fn decode(value: sqlx::postgres::PgValueRef<'_>) -> Result<ClampedTime, BoxDynError> {
        if value.is_null() {
            return Ok(ClampedTime(None));
        }
        let since_1970 = <i64 as Decode<'_, Postgres>>::decode(value)?.saturating_add(EPOCH);
        let end = if since_1970 < 0 { Time::MIN } else { Time::MAX };
        Ok(ClampedTime(Some(Time::from_timestamp_micros(since_1970).unwrap_or(end))))
    }
}

impl Decode<'_, Sqlite> for ClampedTime {
    fn decode(value: sqlx::sqlite::SqliteValueRef<'_>) -> Result<ClampedTime, BoxDynError> {
        if value.is_null() {
            return Ok(ClampedTime(None));
        }
        // A year beyond 9999 is written with a sign, which SQLite sorts before all digits.
        Ok(ClampedTime(Some(<Time as Decode<'_, Sqlite>>::decode(value).unwrap_or(Time::MIN))))
    }
}

/// The orphan policy in a tenant's row. An unknown value becomes `fail`, which runs nothing twice.
pub(super) struct PolicyOrFail(OrphanPolicy);

impl From<PolicyOrFail> for OrphanPolicy {
    fn from(policy: PolicyOrFail) -> OrphanPolicy {
        policy.0
    }
}

impl<DB: Database> Type<DB> for PolicyOrFail
where
    String: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <String as Type<DB>>::type_info()
    }
    fn compatible(ty: &DB::TypeInfo) -> bool {
        <String as Type<DB>>::compatible(ty)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for PolicyOrFail
where
    &'r str: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<PolicyOrFail, BoxDynError> {
        let text = <&str as Decode<'r, DB>>::decode(value)?;
        Ok(PolicyOrFail(text.parse().unwrap_or(OrphanPolicy::Fail)))
    }
}

impl<DB: Database> Type<DB> for JobId
where
    i64: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <i64 as Type<DB>>::type_info()
    }
}

impl sqlx::postgres::PgHasArrayType for JobId {
    fn array_type_info() -> sqlx::postgres::PgTypeInfo {
        <i64 as sqlx::postgres::PgHasArrayType>::array_type_info()
    }
}

impl<'q, DB: Database> Encode<'q, DB> for JobId
where
    i64: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.encode_by_ref(buffer)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for JobId
where
    i64: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<JobId, BoxDynError> {
        <i64 as Decode<'r, DB>>::decode(value).map(JobId)
    }
}

impl<DB: Database> Type<DB> for DatabaseUrl
where
    String: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <String as Type<DB>>::type_info()
    }
}

impl<'q, DB: Database> Encode<'q, DB> for DatabaseUrl
where
    String: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.expose().to_owned().encode(buffer)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for DatabaseUrl
where
    String: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<DatabaseUrl, BoxDynError> {
        <String as Decode<'r, DB>>::decode(value).map(DatabaseUrl::stored)
    }
}

impl<DB: Database> Type<DB> for DbTime
where
    Time: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <Time as Type<DB>>::type_info()
    }
}

impl<'q, DB: Database> Encode<'q, DB> for DbTime
where
    Time: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.time().encode_by_ref(buffer)
    }
}
