//! Offer and answer (RFC 3264, RFC 9429, and what WHEP asks of them).
//!
//! We choose; the WebRTC core only negotiates what is left: [`Offer`] reads the viewer's offer and reduces it to the
//! one video section and the one payload type we send, and [`answer`] dresses the core's answer to that for the whole
//! offer. So every rule of ours is here in one place, whatever moves the packets.

mod answer;
mod offer;

pub(crate) use answer::answer;
pub(crate) use offer::{Format, Offer};
