//! `wallcast-webrtc` and nothing else of Wallcast.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::runtime::Runtime;
use wallcast_webrtc::{Peers, PeersConfig, ProfileLevelId, Rendition, Source, SourceFrame};

use super::whep::{self, Answering};
use crate::fan_out::film::Film;

/// More than one have both cores, and are no figure to compare.
const THREADS: &str = "FAN_OUT_THREADS";

pub(super) fn threads() -> usize {
    std::env::var(THREADS).ok().and_then(|threads| threads.parse().ok()).unwrap_or(1)
}

struct Ours {
    peers: Peers,
    source: Arc<Source>,
}

pub(super) fn serve(film: Film, hold: Duration) -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let wanted = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&wanted);
    let on_key_frame_needed = Box::new(move || asked.store(true, Ordering::Relaxed));
    let rendition = Rendition {
        name: "1080p".to_owned(),
        profile: ProfileLevelId::constrained_baseline(40),
        bitrate_bps: 4_000_000,
        on_key_frame_needed,
    };
    let source = Source::new("film", vec![rendition]);
    let fed = Arc::clone(&source);
    std::thread::Builder::new().name("film".to_owned()).spawn(move || {
        film.play(hold, &wanted, |frame| {
            let (data, captured) = (frame.annex_b, Instant::now());
            fed.push(0, &SourceFrame { data, key: frame.key, rtp_time: frame.rtp_time, captured });
        });
    })?;
    runtime.block_on(async {
        let config = PeersConfig {
            bind: vec![Ipv4Addr::LOCALHOST.into()],
            max_peers: usize::MAX,
            threads: threads(),
            ..PeersConfig::default()
        };
        let peers = Peers::new(config)?;
        whep::serve(Arc::new(Ours { peers, source })).await
    })
}

#[async_trait]
impl Answering for Ours {
    async fn answer(&self, offer: String) -> anyhow::Result<String> {
        Ok(self.peers.answer(&self.source, &offer, Ipv4Addr::LOCALHOST.into()).await?.sdp)
    }
}
