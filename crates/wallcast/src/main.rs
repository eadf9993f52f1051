//! The Wallcast binary.

fn main() {}
