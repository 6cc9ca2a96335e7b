//! What became of an import.

use std::fmt;

use serde::Serialize;
use shared::store::NewJob;

use super::matching::OtherJobs;
use crate::format::counted;

/// An import, entry by entry, and in sum.
#[derive(Serialize)]
pub struct Report {
    /// In the order of the file.
    pub entries: Vec<ImportedEntry>,
    /// How many entries have which kind of outcome.
    pub counts: Counts,
    /// Remarks about all entries.
    pub remarks: Vec<String>,
    /// Jobs of the tenant that no entry corresponds to; none without a tenant.
    pub other_jobs: OtherJobs,
}

/// Numbers of entries. Their sum is that of all entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Added or replaced, or would be.
    pub carried: usize,
    /// The tenant has them already.
    pub existing: usize,
    /// The tenant has them, but they differ.
    pub differing: usize,
    /// Refused, repeated or failed.
    pub left: usize,
}

/// One entry and what became of it.
#[derive(Serialize)]
pub struct ImportedEntry {
    /// Its place in the file.
    pub place: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was not carried over, or how it differs.
    pub reason: Option<String>,
    /// Its text.
    pub source: String,
    /// How it was translated, a sentence each.
    pub translation: Vec<String>,
    /// The tenant's job that it corresponds to.
    pub existing: Option<String>,
    /// The fields in which that job differs.
    pub differences: Vec<&'static str>,
    /// The job; none if it was refused.
    pub job: Option<NewJob>,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A dry run: the tenant has no such job.
    WouldAdd,
    /// A dry run: the tenant's job would be changed.
    WouldReplace,
    /// The job was added.
    Added,
    /// The tenant's job was changed.
    Replaced,
    /// The tenant has this job.
    Exists,
    /// The tenant has this job, but it differs. It was kept.
    Differs,
    /// An entry before it does the same at the same times.
    Repeated,
    /// The entry cannot be translated.
    Refused,
    /// The tenant's database failed.
    Failed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::WouldAdd => "would add",
            Outcome::WouldReplace => "would replace",
            Outcome::Added => "added",
            Outcome::Replaced => "replaced",
            Outcome::Exists => "exists",
            Outcome::Differs => "differs",
            Outcome::Repeated => "repeated",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        })
    }
}

impl Report {
    pub(super) fn new(
        entries: Vec<ImportedEntry>,
        remarks: Vec<String>,
        other_jobs: OtherJobs,
    ) -> Report {
        let mut counts = Counts::default();
        for entry in &entries {
            *match entry.outcome {
                Outcome::WouldAdd | Outcome::WouldReplace | Outcome::Added | Outcome::Replaced => {
                    &mut counts.carried
                }
                Outcome::Exists => &mut counts.existing,
                Outcome::Differs => &mut counts.differing,
                Outcome::Repeated | Outcome::Refused | Outcome::Failed => &mut counts.left,
            } += 1;
        }
        Report { entries, counts, remarks, other_jobs }
    }
}

impl ImportedEntry {
    /// Whether the tenant's job was added or changed.
    pub fn is_made(&self) -> bool {
        matches!(self.outcome, Outcome::Added | Outcome::Replaced)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { carried, existing, differing, left } = self;
        let all = counted(carried + existing + differing + left, "entry");
        write!(
            f,
            "{all}: {carried} carried over, {existing} existing, {differing} differing, {left} left"
        )
    }
}
