//! HTTP.
pub mod guard;
pub mod problem;
