//! Functions of this program that a launcher can run in place of a foreign program.

/// A function of ours that a launcher runs in a child, instead of a foreign program.
#[derive(Clone, Copy)]
pub struct Role {
    /// Its name in requests.
    pub name: &'static str,
    /// Takes the argument of the request, and returns the exit status. Its input and output are the
    /// child's standard streams.
    pub run: fn(argument: &str) -> i32,
}
