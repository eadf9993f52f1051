//! The parts of the binary, as a library so that integration tests and benches can use them.

pub mod auth;
pub mod cli;
pub mod config;
pub mod http;
