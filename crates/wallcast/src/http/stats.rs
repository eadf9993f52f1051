//! `GET /stats`, described in `docs/stats.md`: the first level keeps the keys that users of the original Python server
//! poll, the rest is ours. Never a password, never a query string of a source's URL.

mod viewers;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use self::viewers::Viewer;
use crate::http::Shared;
use crate::pipeline::{Running, WallOutput};
use crate::process::ProcessStats;
use crate::stage::ShownTile;

/// The whole answer.
#[derive(Serialize)]
pub(super) struct Stats {
    clients: usize,
    video_tracks: usize,
    running: bool,
    total_frames: u64,
    avg_fps: f64,
    uptime_seconds: f64,
    image_source_stats: ImageSource,
    cameras: BTreeMap<String, CameraStats>,
    walls: BTreeMap<String, WallStats>,
    viewers: Vec<Viewer>,
    io: Io,
    process: ProcessStats,
}

#[derive(Serialize)]
struct ImageSource {
    running: bool,
    total_frames: u64,
    avg_fps: f64,
    resolution: String,
    thread_alive: bool,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

#[derive(Serialize)]
struct CameraStats {
    state: &'static str,
    reason: Option<String>,
    since: String,
    url: String,
    codec: Option<&'static str>,
    transport: Option<&'static str>,
    resolution: Option<String>,
    clock: Option<&'static str>,
    hwaccel: Option<&'static str>,
    stream: Option<&'static str>,
    streams: BTreeMap<&'static str, Stream>,
    fps: f64,
    bitrate_bps: u64,
    frame_age_ms: Option<u64>,
    frames_decoded: u64,
    frames_passed_over: u64,
    frames_duplicate: u64,
    frames_overwritten: u64,
    decode_errors: u64,
    access_units_dropped: u64,
    dropped: BTreeMap<&'static str, u64>,
    impairments: Impairments,
    reconnects: u64,
    panics: u64,
    decode_ms: Percentiles,
}

#[derive(Serialize)]
struct Impairments {
    junk_bytes: u64,
    stray_packets: u64,
    bad_packets: u64,
    duplicate_packets: u64,
    lost_packets: u64,
    reordered_packets: u64,
    restarts: u64,
    over_limit: u64,
}

#[derive(Serialize)]
struct Stream {
    url: String,
    state: &'static str,
    reason: Option<String>,
    codec: Option<&'static str>,
    resolution: Option<String>,
}

#[derive(Serialize)]
struct WallStats {
    resolution: String,
    fps: f64,
    target_fps: u32,
    encoder: &'static str,
    bitrate_bps: u64,
    ticks: u64,
    ticks_missed: u64,
    frames_encoded: u64,
    canvases_unchanged: u64,
    encode_errors: u64,
    encoder_stalls: u64,
    panics: u64,
    keyframes: u64,
    keyframe_requests: u64,
    tick_wait_ms: Percentiles,
    compose_ms: Percentiles,
    encode_ms: Percentiles,
    renditions: Vec<Rendition>,
    align_ms: Option<f64>,
    skew_ms: Option<Percentiles>,
    tiles: Vec<Tile>,
}

#[derive(Serialize)]
struct Rendition {
    name: String,
    resolution: String,
    encoder: Option<&'static str>,
    running: bool,
    bitrate_bps: u64,
    target_bps: u32,
    frames_encoded: u64,
    keyframes: u64,
    keyframe_requests: u64,
    canvases_missed: u64,
    encode_errors: u64,
    encoder_stalls: u64,
    scale_ms: Percentiles,
    encode_ms: Percentiles,
}

#[derive(Serialize)]
struct Tile {
    camera: String,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    state: &'static str,
    reason: Option<String>,
    since: String,
    age_ms: Option<u64>,
    skew_ms: Option<f64>,
    too_late: Option<bool>,
}

/// What WebRTC lost on the way in and out, for all viewers together.
#[derive(Serialize)]
struct Io {
    packets_unsent: u64,
    datagrams_of_strangers: u64,
    datagrams_dropped: u64,
    panics: u64,
}

/// `GET /stats`.
pub(super) async fn stats(State(shared): State<Shared>) -> Json<Stats> {
    Json(collect(&shared.running, Instant::now()))
}

fn collect(running: &Running, now: Instant) -> Stats {
    let viewers = viewers::of(running);
    let walls: BTreeMap<String, WallStats> =
        running.walls.iter().map(|wall| (wall.view.name().to_owned(), wall_stats(wall, now))).collect();
    let default = running.walls.first().and_then(|wall| walls.get(wall.view.name()));
    let alive = running.walls.first().is_some_and(|wall| wall.is_alive(now));
    let total_frames = default.map_or(0, |wall| wall.ticks);
    let avg_fps = default.map_or(0.0, |wall| wall.fps);
    Stats {
        clients: viewers.len(),
        video_tracks: viewers.iter().filter(|viewer| viewer.protocol == "webrtc").count(),
        running: alive,
        total_frames,
        avg_fps,
        uptime_seconds: round(now.saturating_duration_since(running.started).as_secs_f64(), 10.0),
        image_source_stats: ImageSource {
            running: alive,
            total_frames,
            avg_fps,
            resolution: default.map_or_else(String::new, |wall| wall.resolution.clone()),
            thread_alive: alive,
        },
        cameras: running
            .cameras
            .iter()
            .map(|camera| (camera.name().to_owned(), camera_stats(camera, now)))
            .collect(),
        walls,
        viewers,
        io: io(running.peers.io_stats()),
        process: ProcessStats::read(),
    }
}

fn camera_stats(camera: &wallcast_ingest::CameraView, now: Instant) -> CameraStats {
    let stats = camera.stats(now);
    CameraStats {
        state: stats.state.as_str(),
        reason: stats.reason,
        since: rfc3339(stats.since),
        url: stats.url,
        codec: stats.codec,
        transport: stats.transport,
        resolution: stats.resolution.map(size),
        clock: stats.clock,
        hwaccel: stats.hwaccel,
        stream: stats.stream,
        streams: stats.streams.into_iter().map(|stream| (stream.name, stream_stats(stream))).collect(),
        fps: round(stats.fps, 10.0),
        bitrate_bps: stats.bitrate_bps,
        frame_age_ms: stats.frame_age.map(millis),
        frames_decoded: stats.frames_decoded,
        frames_passed_over: stats.frames_passed_over,
        frames_duplicate: stats.frames_duplicate,
        frames_overwritten: stats.frames_overwritten,
        decode_errors: stats.decode_errors,
        access_units_dropped: stats.access_units_dropped,
        dropped: stats.dropped.into_iter().collect(),
        impairments: impairments(&stats.impairments),
        reconnects: stats.reconnects,
        panics: stats.panics,
        decode_ms: percentiles(stats.decode_ms.p50, stats.decode_ms.p99),
    }
}

fn impairments(found: &wallcast_ingest::Impairments) -> Impairments {
    Impairments {
        junk_bytes: found.junk_bytes,
        stray_packets: found.stray_packets,
        bad_packets: found.bad_packets,
        duplicate_packets: found.duplicate_packets,
        lost_packets: found.lost_packets,
        reordered_packets: found.reordered_packets,
        restarts: found.restarts,
        over_limit: found.over_limit,
    }
}

fn stream_stats(stream: wallcast_ingest::StreamStats) -> Stream {
    let wallcast_ingest::StreamStats { name: _, url, state, reason, codec, resolution } = stream;
    Stream { url, state, reason, codec, resolution: resolution.map(size) }
}

fn size((width, height): (u32, u32)) -> String {
    format!("{width}x{height}")
}

fn wall_stats(wall: &WallOutput, now: Instant) -> WallStats {
    let stats = wall.view.stats(now);
    let alignment = wall.alignment.as_ref().map(|alignment| alignment.stats(now));
    let shown = wall.stage.shown();
    let tiles = shown
        .scene
        .layout
        .placements()
        .iter()
        .zip(&shown.tiles)
        .map(|(placement, ShownTile { camera, place })| {
            let tile = camera.status(now, wall.black_after);
            let in_step =
                alignment.as_ref().zip(*place).and_then(|(alignment, place)| alignment.tiles.get(place));
            Tile {
                camera: camera.name().to_owned(),
                x: placement.x(),
                y: placement.y(),
                width: placement.width(),
                height: placement.height(),
                state: tile.state.as_str(),
                reason: tile.reason.map(|reason| reason.to_string()),
                since: rfc3339(tile.since),
                age_ms: tile.age.map(millis),
                skew_ms: in_step.and_then(|tile| tile.skew_ms).map(|skew| round(skew, 10.0)),
                too_late: in_step.map(|tile| tile.too_late),
            }
        })
        .collect();
    WallStats {
        resolution: size(stats.resolution),
        fps: round(stats.fps, 10.0),
        target_fps: stats.target_fps,
        encoder: stats.encoder,
        bitrate_bps: stats.bitrate_bps,
        ticks: stats.ticks,
        ticks_missed: stats.ticks_missed,
        frames_encoded: stats.frames_encoded,
        canvases_unchanged: stats.canvases_unchanged,
        encode_errors: stats.encode_errors,
        encoder_stalls: stats.encoder_stalls,
        panics: stats.panics,
        keyframes: stats.keyframes,
        keyframe_requests: stats.keyframe_requests,
        tick_wait_ms: percentiles(stats.tick_wait_ms.p50, stats.tick_wait_ms.p99),
        compose_ms: percentiles(stats.compose_ms.p50, stats.compose_ms.p99),
        encode_ms: percentiles(stats.encode_ms.p50, stats.encode_ms.p99),
        renditions: stats.renditions.into_iter().map(rendition_stats).collect(),
        align_ms: alignment.as_ref().map(|alignment| round(alignment.delay_ms, 10.0)),
        skew_ms: alignment
            .as_ref()
            .map(|alignment| percentiles(alignment.skew_ms.p50, alignment.skew_ms.p99)),
        tiles,
    }
}

fn io(stats: wallcast_webrtc::IoStats) -> Io {
    let wallcast_webrtc::IoStats { packets_unsent, datagrams_of_strangers, datagrams_dropped, panics } =
        stats;
    Io { packets_unsent, datagrams_of_strangers, datagrams_dropped, panics }
}

fn rendition_stats(stats: wallcast_compositor::RenditionStats) -> Rendition {
    Rendition {
        name: stats.name,
        resolution: size(stats.resolution),
        encoder: stats.encoder,
        running: stats.running,
        bitrate_bps: stats.bitrate_bps,
        target_bps: stats.target_bps,
        frames_encoded: stats.frames_encoded,
        keyframes: stats.keyframes,
        keyframe_requests: stats.keyframe_requests,
        canvases_missed: stats.canvases_missed,
        encode_errors: stats.encode_errors,
        encoder_stalls: stats.encoder_stalls,
        scale_ms: percentiles(stats.scale_ms.p50, stats.scale_ms.p99),
        encode_ms: percentiles(stats.encode_ms.p50, stats.encode_ms.p99),
    }
}

fn percentiles(p50: f64, p99: f64) -> Percentiles {
    Percentiles { p50: round(p50, 100.0), p99: round(p99, 100.0) }
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC, to the second. A clock before 1970 or past year 9999 gives the epoch.
fn rfc3339(time: SystemTime) -> String {
    let whole_seconds = jiff::Timestamp::try_from(time)
        .and_then(|time| jiff::Timestamp::from_second(time.as_second()))
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    whole_seconds.to_string()
}
