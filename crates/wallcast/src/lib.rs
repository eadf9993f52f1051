//! The parts of the Wallcast binary, as a library so that integration tests and benches can reach them.
//!
//! This crate is the only one that knows the other three, HTTP, YAML, JSON and signals.

pub mod app;
pub mod arrangement;
pub mod auth;
mod brake;
pub mod cli;
mod client;
pub mod config;
pub mod convert;
pub mod demo;
pub mod director;
pub mod http;
mod ice_servers;
pub mod logging;
pub mod pipeline;
pub mod process;
mod public_addresses;
pub mod rtsp;
pub mod shutdown;
pub mod stage;
pub mod state;
