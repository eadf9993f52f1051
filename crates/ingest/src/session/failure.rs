//! Why a session ended, in words for a user. Nothing here repeats what a camera or a library said, because that may
//! hold a secret; the texts are made of our own words, host names, addresses and numbers.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::camera::Transport;
use crate::decode::MAX_PIXELS;
use crate::gate::{Broken, MAX_BODY, TooLarge};

/// Why a session ended or could not begin.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no such host {host}")]
    NoSuchHost { host: String },
    #[error("the name server cannot be asked about {host}")]
    NameServerFailed { host: String },
    #[error("no answer from the name server about {host} within {} s", .after.as_secs_f64())]
    NameServerSilent { host: String, after: Duration },
    #[error("connection refused by {address}")]
    Refused { address: String },
    #[error("{address} is unreachable")]
    Unreachable { address: String },
    #[error("no answer from {address} within {} s", .after.as_secs_f64())]
    NoAnswer { address: String, after: Duration },
    #[error("cannot connect to {address}")]
    NotConnected { address: String },
    #[error("{address} does not speak TLS (rtsps)")]
    NotTls { address: String },
    #[error("{address} knows no TLS that is still used: version 1.2 or 1.3 with a modern cipher")]
    TlsTooOld { address: String },
    #[error("the TLS handshake with {address} failed")]
    TlsFailed { address: String },
    #[error("the camera's certificate is refused because {problem}; its SHA-256 fingerprint is {found}")]
    CertificateRefused { problem: &'static str, found: String },
    #[error("this machine has no certificate authorities to verify the camera with")]
    NoAuthorities,
    #[error("not an RTSP server")]
    NotRtsp,
    #[error("wrong user name or password (401)")]
    WrongLogin,
    #[error("wrong user name or password (401), as another camera of this host was told")]
    LoginPaused { until: Instant },
    #[error("user name and password needed (401)")]
    LoginNeeded,
    #[error("the camera asks for a login in a way that is not supported (401)")]
    LoginNotUnderstood,
    #[error("the camera asks for the login again and again (401)")]
    LoginEndless,
    #[error("the camera leads to {address}, which asks for a login; yours is sent to the camera itself only")]
    LoginWithheld { address: String },
    #[error("access denied by the camera (403)")]
    Denied,
    #[error("no such stream on the camera (404)")]
    NoSuchStream,
    #[error("the camera refused {step} ({status})")]
    Status { step: Step, status: u16 },
    #[error("the camera set up another transport than it was asked for, asking for {} next", .next.as_str())]
    AnotherTransport { next: Transport },
    #[error("unreadable answer to {step}")]
    BadAnswer { step: Step },
    #[error("the camera leads to another address more than {times} times")]
    RedirectedTooOften { times: u32 },
    #[error("the camera leads to an address that is none")]
    RedirectedNowhere,
    #[error("the camera asks to be connected to again")]
    SentAway,
    #[error("the camera sent a message that is too large ({})", oversize(.problem))]
    MessageTooLarge { problem: TooLarge },
    #[error("the camera sent a picture of more than 8 MiB")]
    PictureTooLarge,
    #[error("too many packets lost over UDP, going on over TCP")]
    LossyUdp,
    #[error("no packet arrived over UDP for {} s, going on over TCP", .after.as_secs_f64())]
    DeadUdp { after: Duration },
    #[error("no H.264, H.265 or JPEG video in the stream (found {found})")]
    NoVideo { found: String },
    #[error("picture of {width}x{height} is larger than {} megapixels", MAX_PIXELS >> 20)]
    TooLarge { width: u32, height: u32 },
    #[error("connection closed by the camera")]
    Closed,
    #[error("connection lost")]
    Lost,
    #[error("broken data from the camera")]
    Broken,
    #[error("connected, but the camera sent no video for {seconds} s")]
    NothingSent { seconds: f64 },
    #[error("video arrives, but no picture could be decoded within {seconds} s")]
    NotDecodable { seconds: f64 },
    #[error("no picture for {seconds} s")]
    Silent { seconds: f64 },
    #[error("internal error, see the log")]
    Internal,
}

/// A request of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Describe,
    Setup,
    Play,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
        })
    }
}

impl Failure {
    /// Cameras lock an account after a few wrong passwords: trying again soon would keep its owner out, too.
    pub(crate) fn is_refused_login(&self) -> bool {
        matches!(
            self,
            Self::WrongLogin
                | Self::LoginNeeded
                | Self::LoginNotUnderstood
                | Self::LoginEndless
                | Self::LoginWithheld { .. }
                | Self::Denied
        )
    }

    /// The camera was sent the login, and what it said of it goes for every camera with the same one.
    pub(crate) fn is_wrong_login(&self) -> bool {
        matches!(self, Self::WrongLogin | Self::LoginEndless)
    }

    /// The next session will be another one, so nothing is gained by waiting for it.
    pub(crate) fn is_changeover(&self) -> bool {
        matches!(self, Self::LossyUdp | Self::DeadUdp { .. })
    }

    /// What comes from the camera makes no sense, or there is too much of it.
    pub(crate) fn is_misbehaviour(&self) -> bool {
        self.is_over_limit() || matches!(self, Self::Broken | Self::NotRtsp)
    }

    /// More was sent than anything a camera needs.
    pub(crate) fn is_over_limit(&self) -> bool {
        matches!(self, Self::MessageTooLarge { .. } | Self::PictureTooLarge)
    }

    pub(crate) fn of_connect(problem: ErrorKind, address: &str) -> Self {
        let address = address.to_owned();
        match problem {
            ErrorKind::ConnectionRefused => Self::Refused { address },
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable { address },
            _ => Self::NotConnected { address },
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::NotRtsp => Self::NotRtsp,
            Broken::Junk => Self::Broken,
            Broken::TooLarge(problem) => Self::MessageTooLarge { problem },
        }
    }
}

fn oversize(problem: &TooLarge) -> String {
    match problem {
        TooLarge::Head => "more than 64 KiB without an end".into(),
        TooLarge::Headers => "more than 256 lines".into(),
        TooLarge::Line => "a line of more than 8 KiB".into(),
        TooLarge::Body { found } => format!("{found} bytes, at most {MAX_BODY} are read"),
    }
}
