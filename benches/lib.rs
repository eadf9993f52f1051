//! Helpers that the benchmarks share.

#[allow(unsafe_code, reason = "getrusage")]
pub mod cpu;
pub mod pictures;
