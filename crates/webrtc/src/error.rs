//! Why an offer was not answered.

/// Why [`Peers::answer`](crate::Peers::answer) refused an offer. The texts may be shown to whoever sent it.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum OfferError {
    /// Not an SDP offer we can work with; says what was found and what was expected. HTTP 400.
    #[error("unreadable offer: {0}")]
    Unreadable(String),
    /// No video section that receives H.264 our stream fits into; says what was offered. HTTP 406.
    #[error("no fitting H.264 in the offer: {0}")]
    NoH264(String),
    /// As many viewers as the configuration allows. HTTP 503.
    #[error("full: {max_peers} viewers are connected, the maximum")]
    Full {
        /// The limit that was reached.
        max_peers: usize,
    },
    /// Our fault: no socket could be opened, or the WebRTC library refused what it should not. HTTP 500.
    #[error("the answer could not be made: {0}")]
    Internal(String),
}
