//! Why an offer was not answered.

/// Why [`Peers::answer`](crate::Peers::answer) refused an offer. `found` and `expected` are parts of a sentence without
/// any error text of a library, and may be shown to whoever sent the offer; what is in `Internal` is for the log.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum OfferError {
    /// Not an SDP offer we can work with. HTTP 400.
    #[error("unreadable offer: found {found}, expected {expected}")]
    Unreadable {
        /// What came.
        found: String,
        /// What should have come.
        expected: String,
    },
    /// No video section that receives H.264 our stream fits into. HTTP 406.
    #[error("no fitting H.264 in the offer: found {found}, expected {expected}")]
    NoH264 {
        /// What the offer has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// As many viewers as the configuration allows. HTTP 503.
    #[error("full: {max_peers} viewers are connected, the maximum for everybody or for this client")]
    Full {
        /// The limit that was reached.
        max_peers: usize,
    },
    /// Our fault: no socket could be opened, or the WebRTC library refused what it should not. HTTP 500.
    #[error("the answer could not be made: {0}")]
    Internal(String),
}

/// Why [`Peers::patch`](crate::Peers::patch) did nothing.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum PatchError {
    /// No session of that name. HTTP 404.
    #[error("no such session")]
    Gone,
    /// Not a fragment with ICE credentials. HTTP 400.
    #[error("unreadable: expected an SDP fragment with a=ice-ufrag and a=ice-pwd")]
    Unreadable,
    /// The session is another than the caller thinks: it has been restarted since. HTTP 412.
    #[error("the session has been restarted since")]
    Stale,
    /// ICE was restarted less than a second ago. HTTP 429.
    #[error("restarted too often: expected a pause of a second")]
    TooOften,
    /// Our fault. HTTP 500.
    #[error("ICE could not be restarted: {0}")]
    Internal(String),
}
