//! Logs: to stderr, by `tracing`, filtered by `WALLCAST_LOG` (the syntax of `RUST_LOG`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

/// The variable that holds the filter.
pub const FILTER_VARIABLE: &str = "WALLCAST_LOG";
const DEFAULT_FILTER: &str =
    "warn,wallcast=info,wallcast_ingest=info,wallcast_compositor=info,wallcast_webrtc=info";

/// Libraries that never log, whatever the filter says: at their lower levels they write whole messages, and in those
/// stand a camera's credentials, the query of its URL, or a viewer's ICE password.
const SILENCED: &[&str] =
    &["retina=off", "rtc_ice=warn", "rtc_stun=warn", "rtc_sdp=warn", "rtc=warn", "webrtc=warn"];

/// Starts logging; called once, first.
pub fn init() {
    let wanted = std::env::var(FILTER_VARIABLE).ok();
    let (mut filter, unreadable) = match wanted.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
        None => (EnvFilter::new(DEFAULT_FILTER), None),
    };
    for directive in SILENCED {
        if let Ok(directive) = directive.parse::<Directive>() {
            filter = filter.add_directive(directive);
        }
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Escape sequences are for people, not for files and journals.
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    if let Some(error) = unreadable {
        tracing::warn!(%error, "{FILTER_VARIABLE} could not be read; using {DEFAULT_FILTER:?}");
    }
}
