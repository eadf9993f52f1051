//! Offer and answer (RFC 3264, RFC 9429, and what WHEP asks of them).
//!
//! [`Offer`] reads the viewer's offer and chooses the one video section and payload type we send; [`answer`] writes the
//! answer to the whole of it.

mod answer;
pub(crate) mod fragment;
mod offer;

pub(crate) use answer::{Ours, answer};
pub(crate) use offer::Offer;
