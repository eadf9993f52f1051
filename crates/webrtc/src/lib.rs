//! Access units in, WebRTC peers out.
//!
//! A [`Source`] takes the access units of one picture and packetises each of them once. [`Peers`] answers offers
//! (the SDP half of WHEP) and gives every viewer a track of its own: its own SSRC, sequence numbers, payload type,
//! key-frame gate and a bounded queue. `Source::push` never waits for anybody.
//!
//! A viewer is `peer`: datagrams, frames and `now` in, datagrams out. It knows neither sockets nor clocks, and stands on
//! `ice` (paths), `dtls` (keys, goodbye), `srtp`, `track` (numbers, retransmission), `feedback` (RTCP), and `control`, which
//! sees to it that a viewer gets no more than its path carries: `transport_cc` and receiver reports say what arrived,
//! `congestion` judges that, `ladder` chooses, `selection` carries it out. `worker` runs peers: a few threads that share the one port of `sockets`, `demux` telling whose a datagram is.
//!
//! Not here: HTTP, encoders, cameras, configuration.

mod addresses;
mod backlog;
mod congestion;
mod control;
mod demux;
mod dtls;
mod error;
mod feedback;
mod gate;
mod ice;
mod ladder;
mod packetise;
mod path;
mod peer;
mod peers;
mod playout;
mod profile;
mod sdp;
mod selection;
mod session_id;
mod sockets;
mod source;
mod srtp;
mod stats;
mod track;
mod transport_cc;
mod worker;

pub use addresses::host_addresses;
pub use congestion::Limit;
pub use error::{OfferError, PatchError};
pub use peers::{Answer, BindError, Patched, Peers, PeersConfig};
pub use profile::ProfileLevelId;
pub use session_id::SessionId;
pub use source::{Rendition, Source, SourceFrame};
pub use stats::{FrameShare, IoStats, PeerState, PeerStats};
