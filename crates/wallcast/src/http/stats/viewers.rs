//! Whoever watches, by any protocol.

use serde::Serialize;

use super::{rfc3339, round};
use crate::pipeline::{Running, WallOutput};

#[derive(Serialize)]
pub(super) struct Viewer {
    id: String,
    source: String,
    pub(super) protocol: &'static str,
    state: &'static str,
    since: String,
    rendition: String,
    frames: &'static str,
    limited_by: Option<&'static str>,
    estimate_bps: Option<u64>,
    frames_sent: u64,
    frames_dropped: u64,
    packets_lost: u64,
    retransmitted: u64,
    rtt_ms: Option<f64>,
    bitrate_bps: u64,
    first_frame_ms: Option<u64>,
}

/// One entry for each.
pub(super) fn of(running: &Running) -> Vec<Viewer> {
    running.peers.stats().into_iter().map(peer).chain(running.walls.iter().flat_map(readers)).collect()
}

fn peer(stats: wallcast_webrtc::PeerStats) -> Viewer {
    Viewer {
        id: stats.id,
        source: stats.source,
        protocol: "webrtc",
        state: stats.state.as_str(),
        since: rfc3339(stats.since),
        rendition: stats.rendition,
        frames: stats.frames.as_str(),
        limited_by: stats.limited_by.map(|limit| limit.as_str()),
        estimate_bps: stats.estimate_bps,
        frames_sent: stats.frames_sent,
        frames_dropped: stats.frames_dropped,
        packets_lost: stats.packets_lost,
        retransmitted: stats.retransmitted,
        rtt_ms: stats.rtt_ms.map(|rtt| round(rtt, 10.0)),
        bitrate_bps: stats.bitrate_bps,
        first_frame_ms: stats.first_frame_ms,
    }
}

/// Readers over RTSP get the wall's own rendition, all of it: what is too much for one waits and is dropped.
fn readers(wall: &WallOutput) -> Vec<Viewer> {
    let readers = wall.mount.readers().into_iter().map(|reader| Viewer {
        id: reader.id,
        source: wall.view.name().to_owned(),
        protocol: "rtsp",
        state: "connected",
        since: rfc3339(reader.since),
        rendition: wall.entry.own_rendition(),
        frames: "all",
        limited_by: None,
        estimate_bps: None,
        frames_sent: reader.frames_sent,
        frames_dropped: reader.frames_dropped,
        packets_lost: reader.packets_lost,
        retransmitted: 0,
        rtt_ms: reader.rtt_ms.map(|rtt| round(rtt, 10.0)),
        bitrate_bps: reader.bitrate_bps,
        first_frame_ms: reader.first_frame_ms,
    });
    readers.collect()
}
