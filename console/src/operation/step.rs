//! How far an operation over many tenants has come.

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What is being done, such as `checking`.
    pub(crate) doing: &'static str,
    pub(crate) done: usize,
    pub(crate) all: usize,
}

impl Step {
    /// Nothing is done yet.
    pub(crate) fn new(doing: &'static str, all: usize) -> Step {
        Step { doing, done: 0, all }
    }
}
