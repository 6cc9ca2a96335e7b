//! What producer, consumer and console share.

pub mod clock;
