//! Logs: to stderr, by `tracing`, filtered by `WALLCAST_LOG` (the syntax of `RUST_LOG`).

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that holds the filter.
pub const FILTER_VARIABLE: &str = "WALLCAST_LOG";
const DEFAULT_FILTER: &str =
    "warn,wallcast=info,wallcast_ingest=info,wallcast_compositor=info,wallcast_webrtc=info";

/// What libraries may say at most. Their lower levels write whole messages, with a viewer's ICE password or the token of
/// a request in them. The WebRTC library also warns several times of every viewer that nothing is wrong with.
const LOUDEST: &[(&str, Level)] =
    &[("rtc", Level::ERROR), ("webrtc", Level::ERROR), ("hyper", Level::WARN), ("ureq", Level::WARN)];

/// Starts logging; called once, first.
pub fn init() {
    let wanted = std::env::var(FILTER_VARIABLE).ok();
    let (filter, unreadable) = match wanted.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
        None => (EnvFilter::new(DEFAULT_FILTER), None),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // Escape sequences are for people, not for files and journals.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A filter of its own: a directive of the user's that names a module would win over one of ours in his filter.
    tracing_subscriber::registry().with(filter_fn(may_be_shown)).with(filter).with(lines).init();
    log_panics();
    if let Some(error) = unreadable {
        tracing::warn!(%error, "{FILTER_VARIABLE} could not be read; using {DEFAULT_FILTER:?}");
    }
}

/// A panic is caught where it matters (a camera, a tile, an encoder, a peer) and may come back at every frame: it becomes
/// a line of the log, and one second must pass before the next.
fn log_panics() {
    let last = Mutex::new(None::<Instant>);
    std::panic::set_hook(Box::new(move |panic| {
        let mut last = last.lock();
        if last.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
            return;
        }
        *last = Some(Instant::now());
        let thread = std::thread::current();
        let place = panic.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message =
            text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), %place, "fault in the program: {message}");
    }));
}

/// Whether what a target writes at a level is free of secrets, whatever the user's filter asks for.
fn may_be_shown(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= loudest(metadata.target())
}

fn loudest(target: &str) -> LevelFilter {
    let is_of = |library: &str| {
        target.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '_']))
    };
    if wallcast_ingest::QUIET_LOG_TARGETS.iter().any(|library| is_of(library)) {
        return LevelFilter::OFF;
    }
    let capped = LOUDEST.iter().find(|(library, _)| is_of(library));
    capped.map_or(LevelFilter::TRACE, |&(_, level)| level.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_capped_with_all_their_crates_and_modules_and_nobody_else_is() {
        for (target, expected) in [
            ("retina::client", LevelFilter::OFF),
            ("rtc", LevelFilter::ERROR),
            ("rtc_ice::agent", LevelFilter::ERROR),
            ("rtc_dtls::config", LevelFilter::ERROR),
            ("webrtc::peer_connection::driver", LevelFilter::ERROR),
            ("hyper_util::client", LevelFilter::WARN),
            ("ureq::run", LevelFilter::WARN),
            ("wallcast_webrtc::peer", LevelFilter::TRACE),
            ("wallcast::rtsp", LevelFilter::TRACE),
            ("rtcp", LevelFilter::TRACE),
            ("tokio", LevelFilter::TRACE),
        ] {
            assert_eq!(loudest(target), expected, "{target}");
        }
    }
}
