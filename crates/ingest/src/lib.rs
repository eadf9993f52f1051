//! Cameras in, pictures out.
