//! The processes of all tenants.

use shared::store::{Control, ProducerRow};

use crate::failure::Failure;
use crate::finding::PRODUCER_SEEN_WITHIN;

/// The live producers.
pub async fn producers(control: &Control) -> Result<Vec<ProducerRow>, Failure> {
    let listed = async {
        let seen_since = control.now().await? - PRODUCER_SEEN_WITHIN;
        control.list_producers(seen_since).await
    };
    listed.await.map_err(Failure::control)
}
