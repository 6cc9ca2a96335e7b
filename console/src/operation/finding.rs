//! What was found when something was looked at, and what to do about it.

use std::time::Duration;

use serde::Serialize;

/// A consumer that has been silent for longer does not count as alive; it registers every 10 s.
pub(crate) const SEEN_WITHIN: Duration = Duration::from_secs(45);

/// The same of a producer, which does so every 3 s.
pub(crate) const PRODUCER_SEEN_WITHIN: Duration = Duration::from_secs(10);

/// How bad it is: a warning is worth knowing and does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    Warning,
    Problem,
}

impl Level {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) subject: String,
    pub(crate) level: Level,
    pub(crate) finding: String,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    pub(crate) fn ok(subject: impl Into<String>, finding: impl Into<String>) -> Finding {
        let (subject, finding) = (subject.into(), finding.into());
        Finding { subject, level: Level::Ok, finding, remedy: None }
    }

    pub(crate) fn problem(
        subject: impl Into<String>,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        let remedy = Some(remedy.into());
        Finding { level: Level::Problem, remedy, ..Finding::ok(subject, finding) }
    }

    pub(crate) fn warning(self) -> Finding {
        Finding { level: Level::Warning, ..self }
    }
}
