//! A panic over what a database sent is that database's failure. sqlx and chrono panic at some of
//! what a server can send, and what one tenant's server says must not end the loop that serves the
//! others.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::error::{Result, StoreError};

/// The answer; [`StoreError::Failed`] when reading it, or what was made of it, panicked.
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
