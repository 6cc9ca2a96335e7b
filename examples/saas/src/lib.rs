//! A small product that sends invoices for its customers, the tenants. Its scheduled work is done by
//! three handlers. `main.rs` runs everything in one process; in production there would be several
//! processes of `bin/saas-consumer.rs`.

pub mod database;
mod invoice;
mod report;

use polychron_consumer::Registry;

/// The product's handlers by job type, also used by its tests.
pub fn handlers() -> Registry {
    let mut registry = Registry::default();
    registry.insert("send_invoice", invoice::send);
    registry.insert("import_orders", invoice::import);
    registry.insert_blocking("yearly_report", report::write);
    registry
}
