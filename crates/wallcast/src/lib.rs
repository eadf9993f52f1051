//! The parts of the binary, as a library so that integration tests and benches can use them.

pub mod demo;
pub mod rtsp;
