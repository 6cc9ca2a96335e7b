//! A small product that sends invoices for its customers, the tenants. What it does on a schedule
//! stands in three handlers; `main.rs` runs them all in one process, `bin/saas-consumer.rs` is the
//! process of which there would be several in production.

pub mod database;
mod invoice;
mod report;

use polychron_consumer::Registry;

/// What this product can do, by job type. Tests use it as well.
pub fn handlers() -> Registry {
    let mut registry = Registry::default();
    registry.insert("send_invoice", invoice::send);
    registry.insert("import_orders", invoice::import);
    registry.insert_blocking("yearly_report", report::write);
    registry
}
