//! The embedded engine's folder.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod folder;
