//! Access units in, peers out.
