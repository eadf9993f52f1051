//! Signals: the first one asks, the second one insists.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long everything may take to end before the process exits regardless (5 s are promised; a second of it is
/// kept for the exit itself).
pub const DRAIN_DEADLINE: std::time::Duration = std::time::Duration::from_secs(4);

/// Watches SIGINT and SIGTERM; the token it returns is cancelled at the first, the process exits at the second.
///
/// # Errors
/// The signal handlers could not be installed.
pub fn watch_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = stop.clone();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        tracing::info!("stopping; once more to stop at once");
        token.cancel();
        either(&mut interrupt, &mut terminate).await;
        tracing::warn!("stopped at once");
        std::process::exit(130);
    });
    Ok(stop)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
