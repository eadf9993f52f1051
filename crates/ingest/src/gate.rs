//! Between the RTSP library and the camera.

#[allow(dead_code, unused_imports, reason = "used as soon as the gate stands")]
mod connect;
#[allow(dead_code, unused_imports, reason = "used as soon as the gate stands")]
mod reorder;
#[allow(dead_code, unused_imports, reason = "used as soon as the gate stands")]
mod resolve;
#[allow(dead_code, unused_imports, reason = "used as soon as the gate stands")]
mod rtp;
#[allow(dead_code, unused_imports, reason = "used as soon as the gate stands")]
mod tls;
#[allow(dead_code, unused_imports, reason = "used as soon as the gate stands")]
mod udp;

pub use tls::{Certificate, UnknownCertificate};
