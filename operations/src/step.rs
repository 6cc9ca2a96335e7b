//! How far an operation over many tenants has come.

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being done, such as `checking`.
    pub doing: &'static str,
    /// How many are done.
    pub done: usize,
    /// Of how many.
    pub all: usize,
}

impl Step {
    /// Nothing is done yet.
    pub fn new(doing: &'static str, all: usize) -> Step {
        Step { doing, done: 0, all }
    }
}
