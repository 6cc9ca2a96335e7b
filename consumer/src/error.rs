//! Why a handler failed, and whether another attempt may help.

use std::time::Duration;

use shared::outcome::{Failure, Outcome};

/// Why a handler failed.
///
/// The operator `?` turns any error into one. The attempt is then retried with the job's backoff,
/// as often as its `max_attempts` allows.
///
/// ```
/// use polychron_consumer::{Context, HandlerError};
///
/// async fn import(path: String, _: Context) -> Result<usize, HandlerError> {
///     if path.is_empty() {
///         return Err(HandlerError::new("payload must be a path").final_());
///     }
///     Ok(std::fs::read_to_string(path)?.lines().count())
/// }
/// ```
#[derive(Debug)]
pub struct HandlerError {
    message: String,
    detail: Option<String>,
    retry: bool,
    retry_after: Option<Duration>,
}

impl HandlerError {
    /// From a text or an error, whose causes become the detail.
    ///
    /// ```
    /// use polychron_consumer::HandlerError;
    ///
    /// let from_text = HandlerError::new("the invoice has no lines");
    /// let from_error = HandlerError::new(std::io::Error::other("the disk is full"));
    /// ```
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HandlerError {
        HandlerError::of(error.into().as_ref())
    }

    /// Marks the error as permanent: the attempt is not retried.
    ///
    /// ```
    /// use polychron_consumer::HandlerError;
    ///
    /// let error = HandlerError::new("no such customer").final_();
    /// ```
    pub fn final_(self) -> HandlerError {
        HandlerError { retry: false, ..self }
    }

    /// Retries after this delay instead of the job's backoff; an hour at most.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use polychron_consumer::HandlerError;
    ///
    /// let error = HandlerError::new("rate limited").retry_after(Duration::from_secs(120));
    /// ```
    pub fn retry_after(self, delay: Duration) -> HandlerError {
        HandlerError { retry_after: Some(delay), ..self }
    }

    /// Adds details that are too long for the message, such as a server's answer. Replaces the
    /// causes.
    ///
    /// ```
    /// use polychron_consumer::HandlerError;
    ///
    /// let error = HandlerError::new("the server answered 500").with_detail("<h1>Oops</h1>");
    /// ```
    pub fn with_detail(self, detail: impl Into<String>) -> HandlerError {
        HandlerError { detail: Some(detail.into()), ..self }
    }

    fn of(error: &(dyn std::error::Error + 'static)) -> HandlerError {
        let causes: Vec<String> = std::iter::successors(error.source(), |cause| cause.source())
            .map(|cause| cause.to_string())
            .collect();
        let detail =
            (!causes.is_empty()).then(|| format!("caused by: {}", causes.join("\ncaused by: ")));
        HandlerError { message: error.to_string(), detail, retry: true, retry_after: None }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        HandlerError::of(&error)
    }
}

impl From<HandlerError> for Outcome {
    fn from(error: HandlerError) -> Outcome {
        let HandlerError { message, detail, retry, retry_after } = error;
        Outcome::Failure(Failure { message, detail, retry, retry_after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the invoice was not sent")]
        struct NotSent(#[source] std::io::Error);
        let error: HandlerError = NotSent(std::io::Error::other("the line is dead")).into();
        assert_eq!(error.message, "the invoice was not sent");
        assert_eq!(error.detail.as_deref(), Some("caused by: the line is dead"));
        assert!(error.retry && !HandlerError::new("no").final_().retry);
    }
}
