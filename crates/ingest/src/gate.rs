//! Between the RTSP library and the camera.

#[allow(dead_code, unused_imports, reason = "used as soon as the gate stands")]
mod reorder;
#[allow(dead_code, unused_imports, reason = "used as soon as the gate stands")]
mod rtp;
