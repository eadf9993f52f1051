//! One run of the server: bind, build, announce, wait for the signal, drain from the outside in.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::{Config, WallEntry};
use crate::demo::Demo;
use crate::http::guard::Guard;
use crate::http::{self, serve};
use crate::pipeline::{BuildError, Pipeline, shown_address};
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
        .map_err(|error| choose_another(error, "--listen ADDRESS:PORT, or `listen:` in the configuration"))?;
    let http_address = listener.local_addr().context("the HTTP listener has no address")?;
    let mounts = Mounts::new();
    // One for both listeners, so that guesses at one are counted at the other.
    let authenticator = Arc::new(Authenticator::new(config.auth.clone()));
    let rtsp = config
        .rtsp
        .listen
        .map(|address| RtspServer::bind(address, Arc::clone(&mounts), Arc::clone(&authenticator)))
        .transpose()
        .map_err(|error| choose_another(error, "--rtsp-listen ADDRESS:PORT, or `listen:` under `rtsp:`"))?;
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

    let pipeline = Pipeline::start(&config, &mounts, &tokio::runtime::Handle::current()).map_err(
        |error| match error {
            BuildError::WebRtc(error) => {
                choose_another(error, "--webrtc-listen ADDRESS:PORT, or `listen:` under `webrtc:`")
            }
            error => error.into(),
        },
    )?;
    let guard = Guard::new(http_address, &config.hosts, &config.origins, authenticator);
    let router = guard.protect(http::router(pipeline.running()));
    let stop_http = CancellationToken::new();
    let mut server = tokio::spawn(serve::serve(listener, router, stop_http.clone()));

    announce(http_address, rtsp_address, &config.walls);
    // A process that nobody can reach is better started again by whoever watches over it.
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        _ = &mut server => Err(anyhow::anyhow!("the HTTP server accepts no connections any more")),
        () = ended(rtsp.as_ref()) => Err(anyhow::anyhow!("the RTSP server accepts no connections any more")),
    };

    let drain = async {
        stop_http.cancel();
        let http = async {
            if !server.is_finished() && server.await.is_err() {
                tracing::error!("the HTTP server panicked");
            }
        };
        tokio::join!(http, pipeline.stop());
        // After the pipeline: the demo's cameras are read over this server, and are told TEARDOWN like any other.
        drop(simulated);
        if let Some(rtsp) = rtsp {
            rtsp.stop().await;
        }
    };
    let started = Instant::now();
    match tokio::time::timeout(shutdown::DRAIN_DEADLINE, drain).await {
        Ok(()) => tracing::info!("stopped within {:.1} s", started.elapsed().as_secs_f32()),
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

/// The cause first, then what to do about it.
fn choose_another(error: impl std::error::Error + Send + Sync + 'static, how: &str) -> anyhow::Error {
    anyhow::anyhow!("{:#}; choose another with {how}", anyhow::Error::new(error))
}

/// The line that programs wait for, and below it what people open: a line a wall.
fn announce(http: SocketAddr, rtsp: Option<SocketAddr>, walls: &[WallEntry]) {
    let shown = |address: SocketAddr| SocketAddr::new(shown_address(address.ip()), address.port());
    let mut text = format!("wallcast is ready: http://{}/", shown(http));
    if let Some(rtsp) = rtsp {
        text.push_str(&format!("  rtsp://{}/", shown(rtsp)));
    }
    for wall in walls {
        let name = wall.name.replace(' ', "%20");
        text.push_str(&format!("\n  {}: http://{}/wall/{name}", wall.name, shown(http)));
        if let Some(rtsp) = rtsp {
            text.push_str(&format!("  rtsp://{}/{name}", shown(rtsp)));
        }
    }
    if http.ip().is_unspecified() {
        let elsewhere = wallcast_webrtc::host_addresses(&[http.ip()]);
        for address in elsewhere.into_iter().filter(|address| !address.is_loopback()) {
            text.push_str(&format!(
                "\n  from other machines: http://{}/",
                SocketAddr::new(address, http.port())
            ));
        }
    }
    let mut stdout = std::io::stdout();
    let _closed = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
