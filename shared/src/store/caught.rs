//! Turns a panic while decoding a database's answer into an error. sqlx and chrono panic at some values
//! that a server can send, and one tenant's server must not end the loop that serves the others.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::error::{Result, StoreError};

/// Awaits the answer. A panic while it is received or decoded becomes [`StoreError::Failed`].
pub async fn caught<T, E: Into<StoreError>>(
    answer: impl Future<Output = std::result::Result<T, E>>,
) -> Result<T> {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => {
            let error = sqlx::Error::Decode("the answer cannot be read".into());
            Err(StoreError::Failed(error))
        }
    }
}
