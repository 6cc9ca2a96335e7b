//! Limits how long one poll may evaluate schedules.
//!
//! All polls share one thread, and a tenant may write schedules that take milliseconds each, in any number.
//! So other polls go on before each evaluation, and a poll that has spent its budget leaves the rest to the
//! tenant's next one, which comes after those of other tenants that are due.

use std::time::Duration;

use shared::metrics::Metrics;

/// How long one step of a poll may evaluate schedules: those of 500 ordinary jobs take half of it.
const EVALUATE_FOR: Duration = Duration::from_millis(20);

/// What is left of the budget.
pub(crate) struct PlanBudget<'a> {
    metrics: &'a Metrics,
    left: Duration,
}

impl PlanBudget<'_> {
    pub(crate) fn new(metrics: &Metrics) -> PlanBudget<'_> {
        PlanBudget { metrics, left: EVALUATE_FOR }
    }

    /// Lets other polls go on, then evaluates. None if the budget is spent; it suffices for one evaluation,
    /// however long that takes.
    pub(crate) async fn evaluate<T>(&mut self, evaluate: impl FnOnce() -> T) -> Option<T> {
        if self.left.is_zero() {
            return None;
        }
        tokio::task::yield_now().await;
        let began = self.metrics.now();
        let value = evaluate();
        self.left = self.left.saturating_sub(self.metrics.now() - began);
        Some(value)
    }
}
