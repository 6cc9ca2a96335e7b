//! Laid out, not yet built.
fn main() {}
