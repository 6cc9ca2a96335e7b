//! Findings as a list.

use crate::output::{Column, column, maybe, whole_column};
use operations::finding::Finding;

pub(crate) const COLUMNS: &[Column<Finding>] = &[
    column("SUBJECT", |finding| finding.subject.clone()),
    column("LEVEL", |finding| finding.level.as_str().to_owned()),
    whole_column("FINDING", |finding| finding.finding.clone()),
    whole_column("REMEDY", |finding| maybe(finding.remedy.as_ref())),
];
