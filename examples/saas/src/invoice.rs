//! Invoices, each of which must be sent once.

use polychron_consumer::{Context, HandlerError, sqlx};
use serde::{Deserialize, Serialize};

/// The payload of `send_invoice`.
#[derive(Deserialize)]
pub(crate) struct Invoice {
    customer: String,
    cents: i64,
}

/// The result of `send_invoice`.
#[derive(Serialize)]
pub(crate) struct Sent {
    customer: String,
    /// Whether an earlier attempt had sent it already.
    again: bool,
}

/// Sends an invoice. A handler may run twice for one occurrence if its worker dies after the work was
/// done but before that was recorded. The idempotency key makes the second run harmless.
pub(crate) async fn send(invoice: Invoice, context: Context) -> Result<Sent, HandlerError> {
    if invoice.cents <= 0 {
        // A retry would find the same amount.
        let error = format!("{} owes nothing: {} cents", invoice.customer, invoice.cents);
        return Err(HandlerError::new(error).final_());
    }
    let done = sqlx::query(
        "INSERT INTO invoice (key, customer, cents) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(context.idempotency_key())
    .bind(&invoice.customer)
    .bind(invoice.cents)
    .execute(&context.sqlite()?)
    .await?;
    let again = done.rows_affected() == 0;
    context.log(format!("{}: {} cents, again: {again}", invoice.customer, invoice.cents));
    Ok(Sent { customer: invoice.customer, again })
}

/// The payload of `import_orders`.
#[derive(Deserialize)]
pub(crate) struct Import {
    orders: u64,
}

/// Imports orders one by one, reports its progress, and stops when it is cancelled.
pub(crate) async fn import(import: Import, context: Context) -> Result<u64, HandlerError> {
    for done in 0..import.orders {
        if context.cancelled.is_cancelled() {
            return Err(HandlerError::new(format!("stopped after {done} orders")));
        }
        context.progress(done, import.orders, "orders");
        sqlx::query("INSERT INTO order_ (number) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(done as i64)
            .execute(&context.sqlite()?)
            .await?;
    }
    Ok(import.orders)
}
