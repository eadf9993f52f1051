//! One RTSP session (RFC 2326), by `retina`: DESCRIBE, SETUP of the first H.264, H.265 or JPEG stream, PLAY, and then
//! access units until something ends it. Choices that look lax are for cameras that would fail otherwise.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use retina::client::{
    Demuxed, Described, InitialSequenceNumberPolicy, InitialTimestampPolicy, PlayOptions, Session,
    SessionOptions, SetupOptions, TeardownPolicy, UnassignedChannelDataPolicy, UnknownRtcpSsrcPolicy,
};
use retina::codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame};
use retina::rtcp::ReceivedCompoundPacket;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use super::Source;
use super::failure::{Failure, Step};
use super::watchdog::Watchdog;
use super::way::Way;
use crate::align::clock::{SenderReport, SourceClock};
use crate::camera::CameraConfig;
use crate::decode::MAX_PIXELS;
use crate::gate::{Gate, Member, Paused};
use crate::queue::{AccessUnit, Codec, Feeder};
use crate::record::Record;
use crate::tile::Moment;

/// The gate has a limit for every answer; this is for cameras that need many of them.
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);
/// How long stopping waits for the answer to TEARDOWN. The gate itself gives up a little earlier.
const TEARDOWN_TIMEOUT: Duration = Duration::from_millis(1_200);
/// The last session's TEARDOWN had the whole backoff to finish; it may have this much more.
const STALE_TEARDOWN_TIMEOUT: Duration = Duration::from_millis(100);
/// Cameras put marks in the wrong place and packets after the last one of a picture
/// (<https://github.com/scottlamb/retina/issues/13>), so a packet that makes no sense is skipped. So many in a row are no
/// noise any more, but a broken connection (<https://github.com/scottlamb/retina/issues/17>).
const MAX_BAD_PACKETS_IN_A_ROW: u32 = 50;
const VIDEO_CLOCK_RATE: NonZeroU32 = NonZeroU32::new(90_000).expect("not zero");

/// One camera behind RTSP, through all its sessions.
pub(crate) struct RtspSource {
    config: CameraConfig,
    record: Arc<Record>,
    feeder: Feeder,
    watchdog: Watchdog,
    way: Way,
    /// Shared with the cameras that have the same login at the same host.
    account: Option<Arc<Member>>,
    /// What is left of the last session: its TEARDOWN. There is never another connection beside it.
    relay: Option<JoinHandle<()>>,
}

/// What SETUP is done for.
struct Video {
    stream: usize,
    codec: Codec,
    /// Ticks of its RTP time in a second.
    clock_rate: NonZeroU32,
}

impl Source for RtspSource {
    /// Connects and delivers access units. Dropping the future sends TEARDOWN.
    async fn run_once(&mut self, session: u64) -> Failure {
        self.end_relay(STALE_TEARDOWN_TIMEOUT).await;
        if let Some(Paused { until }) = self.account.as_ref().and_then(|account| account.pause(now())) {
            return Failure::LoginPaused { until };
        }
        let failure = match self.open().await {
            Ok((gate, demuxed, video)) => self.deliver(&gate, demuxed, video, session).await,
            Err(failure) => failure,
        };
        self.way.failed(now(), &failure);
        self.watchdog.session_ended(self.record.session_frames().as_ref(), &failure);
        failure
    }
}

impl RtspSource {
    pub(crate) fn new(config: CameraConfig, record: Arc<Record>, feeder: Feeder) -> Self {
        let watchdog = Watchdog::new(config.silence, config.first_frame_budget);
        let way = Way::new(config.transport);
        let account = Member::of(&config.source);
        Self { config, record, feeder, watchdog, way, account, relay: None }
    }

    /// Waits, but not long, until the camera has confirmed the end of the last session.
    pub(crate) async fn torn_down(&mut self) {
        self.end_relay(TEARDOWN_TIMEOUT).await;
    }

    async fn end_relay(&mut self, limit: Duration) {
        let Some(relay) = &mut self.relay else { return };
        if timeout(limit, &mut *relay).await.is_err() {
            relay.abort();
            // Its connection must be closed before the next one is opened: cameras have few places.
            let _aborted = relay.await;
        }
        self.relay = None;
    }

    /// Everything up to PLAY.
    async fn open(&mut self) -> Result<(Gate, Demuxed, Video), Failure> {
        let asked = self.way.asked(now());
        let mut gate = Gate::open(&self.config, asked, self.account.clone(), self.record.clone()).await?;
        self.relay = gate.take_relay();
        let opened = timeout(OPENING_TIMEOUT, self.play(&gate)).await;
        let source = &self.config.source;
        let address = || format!("{}:{}", source.host(), source.port());
        let (demuxed, video) =
            opened.map_err(|_| Failure::NoAnswer { address: address(), after: OPENING_TIMEOUT })??;
        if let Some(used) = gate.transport() {
            self.way.plays(now(), asked, used);
            self.record.plays_over(used);
        }
        Ok((gate, demuxed, video))
    }

    /// DESCRIBE, SETUP and PLAY.
    async fn play(&self, gate: &Gate) -> Result<(Demuxed, Video), Failure> {
        let failed = |step, error: retina::Error| {
            // One line of it: the rest are addresses and dumps of what the camera sent.
            let detail = gate.cleaned(&self.config.source.scrub(&error.to_string()));
            tracing::debug!(camera = %self.config.name, %step, "{detail}");
            gate.failure().unwrap_or(Failure::BadAnswer { step })
        };
        let describe = Session::describe(gate.url().clone(), session_options());
        let mut session = describe.await.map_err(|error| failed(Step::Describe, error))?;
        let video = pick_video(&session)?;
        self.record.found_video(video.codec);
        // Annex B with parameter sets before every key frame, whether they come in-band only
        // (https://github.com/bluenviron/gortsplib/issues/88) or in the SDP only
        // (https://github.com/meetecho/janus-gateway/issues/849).
        let options = SetupOptions::default().frame_format(FrameFormat::SIMPLE);
        session.setup(video.stream, options).await.map_err(|error| failed(Step::Setup, error))?;
        let session = session.play(play_options()).await.map_err(|error| failed(Step::Play, error))?;
        let demuxed = session.demuxed().map_err(|error| failed(Step::Describe, error))?;
        Ok((demuxed, video))
    }

    async fn deliver(&mut self, gate: &Gate, mut demuxed: Demuxed, video: Video, session: u64) -> Failure {
        self.record.progressed("waiting for the first picture");
        // A permit left over from an earlier session is not about this one.
        let _ = futures::FutureExt::now_or_never(self.record.decoder_failed.notified());
        let playing_since = now();
        let mut last_received = None;
        let mut bad_packets = 0;
        let mut wants_parameters = true;
        let mut clock = SourceClock::new(video.clock_rate);
        let mut clock_known = None;
        let silence = sleep_until((playing_since + self.watchdog.silence()).into());
        tokio::pin!(silence);
        loop {
            let item = tokio::select! {
                item = demuxed.next() => item,
                () = silence.as_mut() => {
                    // Frames came since the alarm was set: set it again. Not per frame, so that nothing per frame
                    // touches a timer.
                    let frames = self.record.session_frames();
                    let (deadline, failure) =
                        self.watchdog.deadline(playing_since, last_received, frames.as_ref());
                    if deadline <= now() {
                        // The gate judges silence over UDP by the packets, in the same time.
                        return gate.failure().unwrap_or(failure);
                    }
                    silence.as_mut().reset(deadline.min(now() + self.watchdog.silence()).into());
                    continue;
                }
                () = self.record.decoder_failed.notified() => return Failure::Internal,
            };
            match item {
                Some(Ok(CodecItem::VideoFrame(frame))) => {
                    bad_packets = 0;
                    gate.picture_came();
                    last_received = Some(now());
                    let captured = captured(&frame, &mut clock);
                    if clock_known.replace(clock.basis()) != Some(clock.basis()) {
                        self.record.clock_is(clock.basis());
                    }
                    let unit = match access_unit(
                        frame,
                        captured,
                        &demuxed,
                        &video,
                        session,
                        &mut wants_parameters,
                    ) {
                        Ok(unit) => with_parameter_sets(unit, gate),
                        Err(failure) => return failure,
                    };
                    self.record.received(now(), unit.data.len());
                    self.feeder.feed(unit);
                }
                Some(Ok(CodecItem::Rtcp(packet))) if packet.stream_id() == video.stream => {
                    handle_reports(&packet, &mut clock);
                }
                Some(Ok(_)) => {}
                // What ends a session is noticed by the gate first, so an error that it does not know of concerns one
                // packet, and the next one may be well.
                Some(Err(_)) if gate.failure().is_none() && bad_packets < MAX_BAD_PACKETS_IN_A_ROW => {
                    bad_packets += 1;
                    self.record.count_decode_error();
                }
                Some(Err(_)) | None => return gate.failure().unwrap_or(Failure::Broken),
            }
        }
    }
}

/// The gate logs in, tears down, and passes on nothing that is not of the stream.
fn session_options() -> SessionOptions {
    SessionOptions::default()
        .teardown(TeardownPolicy::Never)
        .unassigned_channel_data(UnassignedChannelDataPolicy::Ignore)
}

/// Camera clocks run backwards at times (<https://github.com/scottlamb/retina/issues/64>). None drives anything here, so
/// nothing about times or numbers at the start is required or checked.
fn play_options() -> PlayOptions {
    PlayOptions::default()
        .initial_timestamp(InitialTimestampPolicy::Ignore)
        .initial_seq(InitialSequenceNumberPolicy::Ignore)
        .unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::ProcessPackets)
}

fn pick_video(session: &Session<Described>) -> Result<Video, Failure> {
    let streams = session.streams();
    let video = streams.iter().enumerate().find_map(|(stream, description)| {
        let codec = match (description.media(), description.encoding_name()) {
            ("video", "h264") => Codec::H264,
            ("video", "h265") => Codec::H265,
            ("video", "jpeg") => Codec::Jpeg,
            _ => return None,
        };
        // 90,000 for every video payload format there is; `retina` refuses 0.
        let clock_rate = NonZeroU32::new(description.clock_rate_hz()).unwrap_or(VIDEO_CLOCK_RATE);
        Some(Video { stream, codec, clock_rate })
    });
    video.ok_or_else(|| {
        // The names come from the camera: short and plain, or not at all.
        let is_plain = |name: &&str| {
            name.len() <= 16 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        };
        let names: Vec<&str> = streams.iter().map(|s| s.encoding_name()).filter(is_plain).take(4).collect();
        let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        Failure::NoVideo { found }
    })
}

/// Adds the parameter sets where `retina` does not: streams that begin or change them without a key frame (gradual
/// refresh) would never be decoded.
fn access_unit(
    frame: VideoFrame,
    captured: Instant,
    demuxed: &Demuxed,
    video: &Video,
    session: u64,
    wants_parameters: &mut bool,
) -> Result<AccessUnit, Failure> {
    let key = frame.is_random_access_point();
    let new_parameters = frame.has_new_parameters();
    let rtp_time = frame.timestamp().timestamp() as u32;
    let mut data = frame.into_data();
    if key || new_parameters || *wants_parameters {
        let parameters = demuxed.streams().get(video.stream).and_then(|stream| stream.parameters());
        if let Some(ParametersRef::Video(parameters)) = parameters {
            let (width, height) = parameters.coded_pixel_dimensions();
            if u64::from(width) * u64::from(height) > u64::from(MAX_PIXELS) {
                return Err(Failure::TooLarge { width, height });
            }
            if !key {
                data.splice(0..0, parameters.extra_data().iter().copied());
            }
            *wants_parameters = false;
        }
    }
    Ok(AccessUnit { session, codec: video.codec, data, key, rtp_time, captured })
}

/// Puts what `retina` has no room for before a key frame: more parameter sets than one of each kind.
fn with_parameter_sets(mut unit: AccessUnit, gate: &Gate) -> AccessUnit {
    if let Some(sets) = gate.parameter_sets().filter(|_| unit.key) {
        unit.data.splice(0..0, sets.iter().copied());
    }
    unit
}

/// When its picture was taken. A picture arrives with its first packet.
fn captured(frame: &VideoFrame, clock: &mut SourceClock) -> Instant {
    let mono = frame.start_ctx().received();
    let now = SystemTime::now();
    let arrived = Moment { mono, wall: now.checked_sub(mono.elapsed()).unwrap_or(now) };
    // `retina` unwraps RTP time; the clock has its own idea of jumps.
    clock.handle_picture(frame.timestamp().timestamp() as u32, arrived)
}

fn handle_reports(packet: &ReceivedCompoundPacket, clock: &mut SourceClock) {
    for report in packet.pkts().filter_map(|packet| packet.as_sender_report().ok().flatten()) {
        let report = SenderReport { ntp: report.ntp_timestamp().0, rtp: report.rtp_timestamp() };
        clock.handle_report(report, packet.ctx().received());
    }
}

/// The runtime's clock, which tests can turn.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
