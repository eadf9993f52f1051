//! One run of the server: bind, build, announce, wait for the signal, drain from the outside in.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::demo::Demo;
use crate::http::guard::Guard;
use crate::http::{self, serve};
use crate::pipeline::{Pipeline, shown_address};
use crate::rtsp::{Mounts, RtspServer};
use crate::{process, shutdown};

/// What to run.
pub enum Plan {
    /// The user's own cameras.
    Run(Box<Config>),
    /// Four simulated cameras over real RTSP, read back like anybody's.
    Demo(Box<Demo>),
}

/// Runs until a signal.
///
/// # Errors
/// A port is taken, a part could not be started, or the RTSP server ended early; the text names it.
pub async fn run(plan: Plan) -> anyhow::Result<()> {
    process::raise_descriptor_limit();
    let stop = shutdown::watch_signals().context("could not listen for signals")?;
    let config = match &plan {
        Plan::Run(config) => config,
        Plan::Demo(demo) => demo.server(),
    };

    let listener = serve::bind(config.listen)
        .with_context(|| format!("cannot listen for HTTP on {}; another address: --listen", config.listen))?;
    let http_address = listener.local_addr().context("the HTTP listener has no address")?;
    let mounts = Mounts::new();
    // One for both listeners, so that guesses at one are counted at the other.
    let authenticator = Arc::new(Authenticator::new(config.auth.clone()));
    let rtsp = config
        .rtsp
        .listen
        .map(|address| RtspServer::bind(address, Arc::clone(&mounts), Arc::clone(&authenticator)))
        .transpose()
        .context("another address: --rtsp-listen")?;
    let rtsp_address = rtsp.as_ref().map(RtspServer::local_addr);

    let (config, simulated) = match plan {
        Plan::Run(config) => (*config, None),
        Plan::Demo(demo) => {
            let address = rtsp_address.context("the demo's cameras need the RTSP server: --rtsp-listen")?;
            let (config, cameras) =
                demo.start(address, &mounts).context("cannot start the simulated cameras")?;
            (config, Some(cameras))
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }

    let pipeline = Pipeline::start(&config, &mounts, &tokio::runtime::Handle::current())?;
    let guard = Guard::new(http_address, &config.hosts, authenticator);
    let router = guard.protect(http::router(pipeline.running()));
    let stop_http = CancellationToken::new();
    let server = tokio::spawn(serve::serve(listener, router, stop_http.clone()));

    announce(http_address, rtsp_address);
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        () = ended(rtsp.as_ref()) => Err(anyhow::anyhow!("the RTSP server accepts no connections any more")),
    };

    let drain = async {
        stop_http.cancel();
        if server.await.is_err() {
            tracing::error!("the HTTP server panicked");
        }
        pipeline.stop().await;
        // After the pipeline: the demo's cameras are read over this server, and are told TEARDOWN like any other.
        drop(simulated);
        if let Some(rtsp) = rtsp {
            rtsp.stop().await;
        }
    };
    let started = Instant::now();
    match tokio::time::timeout(shutdown::DRAIN_DEADLINE, drain).await {
        Ok(()) => tracing::info!(seconds = started.elapsed().as_secs_f32(), "stopped"),
        Err(_) => {
            tracing::warn!("stopped, although not everything had ended within {:?}", shutdown::DRAIN_DEADLINE)
        }
    }
    outcome
}

/// Without a server there is no end to wait for.
async fn ended(rtsp: Option<&RtspServer>) {
    match rtsp {
        Some(rtsp) => rtsp.ended().await,
        None => std::future::pending().await,
    }
}

/// The one line that people and programs wait for.
fn announce(http: SocketAddr, rtsp: Option<SocketAddr>) {
    let shown = |address: SocketAddr| SocketAddr::new(shown_address(address.ip()), address.port());
    let mut line = format!("wallcast is ready: http://{}/", shown(http));
    if let Some(rtsp) = rtsp {
        line.push_str(&format!("  rtsp://{}/", shown(rtsp)));
    }
    let mut stdout = std::io::stdout();
    let _closed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
