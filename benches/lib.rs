//! Helpers that the benchmarks share.

#[allow(unsafe_code, reason = "getrusage")]
pub mod cpu;
pub mod pictures;

/// Servers of a pre-encoded stream, and viewers that are many: what `fan_out` and `latency` are made of.
pub mod fan_out {
    pub mod chart;
    pub mod film;
    pub mod servers;
    #[allow(unsafe_code, reason = "recvmmsg and sendmsg, which std does not have")]
    mod sockets;
    pub mod viewers;
}
