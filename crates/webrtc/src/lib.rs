//! Access units in, WebRTC peers out.
//!
//! A [`Source`] takes the access units of one picture and packetises each of them once. [`Peers`] answers offers
//! (the SDP half of WHEP) and gives every viewer a track of its own: its own SSRC, sequence numbers, payload type,
//! key-frame gate and a bounded queue. `Source::push` never waits for anybody.
//!
//! What is about media and negotiation ([`Source`], `packetise`, `queue`, `track`, `feedback`, `sdp`) knows neither
//! sockets nor tasks; what moves packets is behind `connection`, today the crate `webrtc` as it comes.
//!
//! Not here: HTTP, encoders, cameras, configuration.

mod addresses;
mod connection;
mod error;
mod feedback;
mod packetise;
mod peer;
mod peers;
mod profile;
mod queue;
mod sdp;
mod session_id;
mod source;
mod stats;
mod track;

pub use addresses::host_addresses;
pub use error::OfferError;
pub use peers::{Answer, BindError, Peers, PeersConfig};
pub use profile::ProfileLevelId;
pub use session_id::SessionId;
pub use source::{Source, SourceFrame};
pub use stats::{PeerState, PeerStats};
