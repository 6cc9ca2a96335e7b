//! `polychron serve`, over HTTP, as browsers and programs use it.

mod access;
mod api;
mod audit;
mod changes;
mod live;
mod matrix;
mod memory;
mod pages;
mod server;
mod why;
