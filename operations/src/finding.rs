//! What was found when something was examined, and what to do about it.

use std::time::Duration;

use serde::Serialize;

/// A consumer that has not registered for this long is dead; it registers every 10 s.
pub const SEEN_WITHIN: Duration = Duration::from_secs(45);

/// The same for a producer, which registers every 3 s.
pub const PRODUCER_SEEN_WITHIN: Duration = Duration::from_secs(10);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; does no harm.
    Warning,
    /// Needs action.
    Problem,
}

impl Level {
    /// The level as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "problem",
        }
    }
}

/// One thing that was examined.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was examined, such as `tenant acme`.
    pub subject: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(subject: impl Into<String>, finding: impl Into<String>) -> Finding {
        let (subject, finding) = (subject.into(), finding.into());
        Finding { subject, level: Level::Ok, finding, remedy: None }
    }

    /// Something is wrong, with what to do about it.
    pub fn problem(
        subject: impl Into<String>,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        let remedy = Some(remedy.into());
        Finding { level: Level::Problem, remedy, ..Finding::ok(subject, finding) }
    }

    /// The same as a warning.
    pub fn warning(self) -> Finding {
        Finding { level: Level::Warning, ..self }
    }
}
