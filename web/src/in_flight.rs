//! How many requests one user has in flight, each until the last byte of its answer is sent. A user
//! who asks for large answers and reads them slowly would otherwise exhaust the memory.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::Problem;

/// The most requests of one user at once.
const EACH_MAX: usize = 32;
/// How long one more waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// The places of each user who has signed in since the start. There are few users.
pub(crate) struct InFlight {
    users: Mutex<HashMap<String, Arc<Semaphore>>>,
    turn_limit: Duration,
}

impl Default for InFlight {
    fn default() -> InFlight {
        InFlight { users: Mutex::default(), turn_limit: TURN_LIMIT }
    }
}

impl InFlight {
    /// Takes a place for a user's request.
    pub(crate) async fn enter(&self, user: &str) -> Result<OwnedSemaphorePermit, Problem> {
        let places = {
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            match users.get(user) {
                Some(places) => places.clone(),
                None => {
                    let places = Arc::new(Semaphore::new(EACH_MAX));
                    users.insert(user.to_owned(), places.clone());
                    places
                }
            }
        };
        match timeout(self.turn_limit, places.acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => {
                let detail = format!(
                    "{EACH_MAX} requests of yours are unanswered or unread; read their answers first"
                );
                Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail))
            }
        }
    }
}

/// A response that keeps its place until it is sent.
pub(crate) fn until_sent(response: Response, place: OwnedSemaphorePermit) -> Response {
    response.map(|body| Body::new(Held { body, _place: place }))
}

struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn a_user_has_some_places_each_until_its_answer_is_sent() {
        let in_flight = InFlight { turn_limit: Duration::ZERO, ..InFlight::default() };
        let mut answers = Vec::new();
        for _ in 0..EACH_MAX {
            let place = in_flight.enter("ann").await.unwrap();
            answers.push(until_sent(Response::new(Body::from("answer")), place));
        }
        let refused = in_flight.enter("ann").await.unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        drop(in_flight.enter("sue").await.unwrap());
        let answer = answers.pop().unwrap();
        assert_eq!(answer.body().size_hint().exact(), Some(6), "its length is known");
        assert_eq!(to_bytes(answer.into_body(), 100).await.unwrap(), "answer");
        drop(in_flight.enter("ann").await.unwrap());
    }
}
