//! What the chaos tests stand on: the hostile camera ([`hostile`], [`film`]) and the harness that looks at it as a
//! wall does and knows the bars B1 to B6 ([`harness`]).
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod annexb;
pub(crate) mod film;
pub(crate) mod harness;
pub(crate) mod hostile;
pub(crate) mod jpeg;
pub(crate) mod login;
pub(crate) mod server;
pub(crate) mod sockets;
pub(crate) mod sps;
