//! `polychron serve`, asked over HTTP as browsers and programs do.

mod access;
mod api;
mod audit;
mod changes;
mod live;
mod matrix;
mod pages;
mod server;
mod why;
