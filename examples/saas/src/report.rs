//! Reports: work that blocks, and therefore gets a thread of its own.

use polychron_consumer::{Context, HandlerError};
use serde::{Deserialize, Serialize};

/// The payload of `yearly_report`.
#[derive(Deserialize)]
pub(crate) struct Year {
    year: u32,
}

/// The result of `yearly_report`.
#[derive(Serialize)]
pub(crate) struct Report {
    year: u32,
    checksum: u64,
}

/// Computes a report.
pub(crate) fn write(Year { year }: Year, context: Context) -> Result<Report, HandlerError> {
    let mut checksum = u64::from(year);
    for month in 1..=12 {
        // A thread cannot be aborted, so it checks from time to time.
        if context.cancelled.is_cancelled() {
            return Err(HandlerError::new("stopped"));
        }
        context.progress(month, 12, "months");
        for step in 0..10_000 {
            checksum = checksum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
        }
    }
    context.log(format!("the report of {} for {year} is written", context.tenant_slug));
    Ok(Report { year, checksum })
}
