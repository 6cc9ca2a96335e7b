//! `--all-tenants`: one verb at every tenant, a few at once, continuing past those that fail.
//!
//! A verb that changes something first asks each tenant whether it is concerned, then asks the user
//! to confirm, then makes the change at those tenants.

use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use shared::tenant::Tenant;

use crate::output::{Column, Of};
use crate::progress::Progress;
use crate::session::Session;
use operations::change::Change;
use operations::context::TenantContext;
use operations::failure::Failure;
use operations::step::Step;

/// How many tenants are asked at once.
const AT_ONCE: usize = 8;

/// One tenant, or all.
#[derive(Args)]
pub struct Tenants {
    /// The tenant
    #[arg(required_unless_present = "all_tenants", conflicts_with = "all_tenants")]
    tenant: Option<String>,
    /// At every tenant, continuing past those that fail (exit code 4 then)
    #[arg(long)]
    all_tenants: bool,
}

impl Tenants {
    /// The named tenant; none for all.
    pub(crate) fn one(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}

/// The id of the argument that is present only when one tenant is named.
pub(crate) const JOB_OF_ONE: &str = "second";

/// A job of one tenant, or of each tenant that has one of that name.
#[derive(Args)]
pub struct Jobs {
    /// The tenant; left out with --all-tenants
    #[arg(value_name = "TENANT")]
    first: String,
    /// The job
    #[arg(value_name = "JOB", required_unless_present = "all_tenants")]
    #[arg(conflicts_with = "all_tenants")]
    second: Option<String>,
    /// At every tenant that has a job of this name, continuing past those that fail (exit code 4 then)
    #[arg(long)]
    all_tenants: bool,
}

impl Jobs {
    /// The tenant, none for all, and the job.
    pub(crate) fn named(self) -> (Option<String>, String) {
        match self.second {
            Some(job) => (Some(self.first), job),
            None => (None, self.first),
        }
    }
}

/// Runs one verb at all tenants, in the order of their slugs.
pub(crate) struct FanOut<'a> {
    session: &'a Session,
    /// Those that still take part.
    tenants: Vec<Tenant>,
    all: usize,
    failed: usize,
}

impl<'a> FanOut<'a> {
    /// Begins with all tenants. Changes wake no producer until it ends.
    pub(crate) async fn begin(session: &'a Session) -> Result<FanOut<'a>, Failure> {
        let tenants = session.context.control.list_tenants().await.map_err(Failure::control)?;
        session.context.put_off_waking();
        let all = tenants.len();
        Ok(FanOut { session, tenants, all, failed: 0 })
    }

    /// Asks each tenant that still takes part. A failure is reported at once. A tenant that fails or
    /// answers none takes no further part.
    pub(crate) async fn ask<T>(
        &mut self,
        doing: &'static str,
        ask: impl AsyncFn(&TenantContext) -> Result<Option<T>, Failure>,
    ) -> Vec<Of<T>> {
        let Session { context, output, .. } = self.session;
        let progress = Progress::default();
        let mut step = Step::new(doing, self.tenants.len());
        progress.show(step);
        let ask_one = |tenant: Tenant| async {
            let answer = match context.enter_tenant(tenant.clone()).await {
                Ok(at) => ask(&at).await,
                Err(failure) => Err(failure),
            };
            (tenant, answer)
        };
        let tenants = std::mem::take(&mut self.tenants);
        let mut answers = stream::iter(tenants).map(ask_one).buffered(AT_ONCE);
        let mut found = Vec::new();
        while let Some((tenant, answer)) = answers.next().await {
            match answer {
                Ok(Some(item)) => {
                    found.push(Of { tenant: tenant.slug.clone(), item });
                    self.tenants.push(tenant);
                }
                Ok(None) => {}
                Err(failure) => {
                    progress.clear();
                    output.failure(Some(&tenant.slug), &failure);
                    self.failed += 1;
                }
            }
            step.done += 1;
            progress.show(step);
        }
        found
    }

    /// How many tenants take part.
    pub(crate) fn count(&self) -> usize {
        self.tenants.len()
    }

    /// Whether a tenant failed so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// Keeps only these tenants.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.tenants.retain(|tenant| is_kept(&tenant.slug));
    }

    /// Shows what was found, and ends.
    pub(crate) async fn show<T: Serialize>(
        self,
        items: &[Of<T>],
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        self.session.output.list_of_tenants(items, columns)?;
        self.end().await
    }

    /// Shows what was changed, or would be, and ends.
    pub(crate) async fn show_changes<T: Serialize>(
        self,
        changes: Vec<Of<Change<T>>>,
        columns: &[Column<T>],
    ) -> Result<(), Failure> {
        let (mut made, mut dry_runs) = (Vec::new(), Vec::new());
        for Of { tenant, item } in changes {
            match item {
                Change::Made(item) => made.push(Of { tenant, item }),
                Change::WouldMake(dry_run) => dry_runs.push(dry_run),
            }
        }
        if dry_runs.is_empty() {
            return self.show(&made, columns).await;
        }
        self.session.list_dry_runs(&dry_runs)?;
        self.end().await
    }

    /// Wakes the producers, and fails if a tenant failed.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        self.session.context.wake_now().await;
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::SomeTenants { failed, all: self.all }),
        }
    }
}

/// Flattens lists of several tenants.
pub(crate) fn each<T>(lists: Vec<Of<Vec<T>>>) -> Vec<Of<T>> {
    let of = |Of { tenant, item }: Of<Vec<T>>| {
        item.into_iter().map(move |item| Of { tenant: tenant.clone(), item })
    };
    lists.into_iter().flat_map(of).collect()
}
