//! Pictures in, one H.264 stream out.
