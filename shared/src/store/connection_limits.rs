//! What a PostgreSQL server says of its connections.

/// How many connections a server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ConnectionLimits {
    /// To ordinary roles together.
    pub server: i32,
    /// To the role that asks; negative: no limit.
    pub role: i32,
    /// To the database; negative: no limit.
    pub database: i32,
    /// How many are open, of all programs.
    pub sessions: i64,
}
