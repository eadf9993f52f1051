//! Why a session ended, in words for a user. Nothing here repeats what a camera or a library said, because that may
//! hold a secret; the texts are made of our own words, host names, addresses and numbers.

use std::io::ErrorKind;
use std::time::Duration;

use retina::Error;

use crate::decode::MAX_PIXELS;

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
    #[error("user name and password needed (401)")]
    LoginNeeded,
    #[error("the camera asks for a login in a way that is not supported (401)")]
    LoginNotUnderstood,
    #[error("access denied by the camera (403)")]
    Denied,
    #[error("no such stream on the camera (404)")]
    NoSuchStream,
    #[error("the camera refused {step} ({status})")]
    Status { step: Step, status: u16 },
    #[error("unreadable answer to {step}")]
    BadAnswer { step: Step },
    #[error("no H.264 or H.265 video in the stream (found {found})")]
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

/// What is known about the camera when a request fails.
#[derive(Debug, Clone)]
pub(crate) struct Context<'a> {
    /// Host and port, for showing.
    pub(crate) address: &'a str,
    /// We have a user name.
    pub(crate) has_login: bool,
    /// The camera delivered pictures with this login before.
    pub(crate) login_has_worked: bool,
}

impl Failure {
    /// Cameras lock an account after a few wrong passwords: trying again soon would keep its owner out, too.
    pub(crate) fn is_refused_login(&self) -> bool {
        matches!(self, Self::WrongLogin | Self::LoginNeeded | Self::LoginNotUnderstood | Self::Denied)
    }

    pub(crate) fn of_request(step: Step, error: &Error, context: &Context<'_>) -> Self {
        match (error.status_code(), step) {
            // 401 to a later request, from a camera that knows us: its nonce is stale, not our password.
            (Some(401), Step::Setup | Step::Play) if context.login_has_worked => {
                Self::Status { step, status: 401 }
            }
            (Some(401), _) if !context.has_login => Self::LoginNeeded,
            (Some(401), _) if says(error, "WWW-Authenticate header") => Self::LoginNotUnderstood,
            (Some(401), _) => Self::WrongLogin,
            (Some(403), _) => Self::Denied,
            (Some(404), _) => Self::NoSuchStream,
            (Some(200..300), _) => Self::BadAnswer { step },
            (Some(status), _) => Self::Status { step, status },
            (None, _) => match Kind::of(error) {
                Kind::Connect(problem) => Self::of_connect(problem, context.address),
                Kind::Framing if step == Step::Describe => Self::NotRtsp,
                Kind::Framing => Self::Broken,
                Kind::Closed => Self::Closed,
                Kind::Io => Self::Lost,
                Kind::Packet | Kind::Other => Self::BadAnswer { step },
            },
        }
    }

    pub(crate) fn of_stream(error: &Error) -> Self {
        match Kind::of(error) {
            Kind::Closed => Self::Closed,
            Kind::Connect(_) | Kind::Io => Self::Lost,
            Kind::Framing | Kind::Packet | Kind::Other => Self::Broken,
        }
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

/// What kind of error `retina` met. It offers the status code only; the rest can be told by the first words of its
/// text, which are fixed for each kind (retina 0.4.21, `src/error.rs`). So the workspace's Cargo.toml allows that version
/// only, and `tests/rtsp.rs` provokes each kind and checks what is said of it: changed words fail there. Not provoked are
/// errors of writing and of UDP sockets; if their words changed, "connection lost" would become "broken data".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect(ErrorKind),
    Framing,
    /// The peer ended the connection.
    Closed,
    Io,
    /// One RTP or RTCP packet; the connection itself is well.
    Packet,
    Other,
}

impl Kind {
    fn of(error: &Error) -> Self {
        let text = error.to_string();
        let starts = |words: &str| text.starts_with(words);
        if starts("Unable to connect to RTSP server:") {
            Self::Connect(connect_problem(&text))
        } else if starts("RTSP framing error:") && text.contains("Incomplete RTSP message at EOF") {
            Self::Closed
        } else if starts("RTSP framing error:") {
            Self::Framing
        } else if starts("Error reading from RTSP peer:") {
            let closed = text.contains("EOF while expecting") || text.contains("(os error 104)");
            if closed { Self::Closed } else { Self::Io }
        } else if starts("Error writing to RTSP peer:") || starts("Error receiving UDP packet:") {
            Self::Io
        } else if text.contains("\npkt: ") {
            Self::Packet
        } else {
            Self::Other
        }
    }
}

/// Whether the session can go on after this error: it concerned one packet, and the next one may be well.
pub(crate) fn concerns_one_packet(error: &Error) -> bool {
    Kind::of(error) == Kind::Packet
}

fn says(error: &Error, words: &str) -> bool {
    error.to_string().contains(words)
}

/// The I/O error is inside the text as `… (os error 111)`.
fn connect_problem(text: &str) -> ErrorKind {
    let number = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    number.map_or(ErrorKind::Other, |number: i32| std::io::Error::from_raw_os_error(number).kind())
}
