//! Simulated cameras.
