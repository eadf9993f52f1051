//! The wall's thread: sleep, compose, have encoded, hand over.

use super::encoding::{Coded, Encoding, Handed, Job, OpenEncoder, Opening, Retired};
use super::view::{Figures, Shared};
use super::{AccessUnit, Sink, Stall};
use crate::compose::{Compositor, TileSource, panic_text};
use crate::encoder::{EncodeError, Encoded, EncoderConfig, OpenError};
use crate::key_frames::KeyFrames;
use crate::phase::Phase;
use crate::stillness::Stillness;
use crate::tick::{CanvasTime, Due, TickClock};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// After a second failure in a row the next encoder is opened no sooner than this.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// A driver may take its time to wake up, and `auto` tries five of them for 5 s each.
/// (The tests have no such driver, and less time.)
const OPENS_WITHIN: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 30 });
/// An encoder that gives nothing for so many seconds' canvases has stalled (failure P4).
const GIVES_WITHIN_SECONDS: u32 = 2;
/// However slow the wall is: an encoder may hold back as many as it may when it is tried.
const MAY_HOLD_BACK: u32 = 5;
/// An encoder that has given access units for so long works. Every new one gives a first.
const PROVED_AFTER: Duration = Duration::from_secs(2);
/// An encoder that passes over so many demands for an IDR in a row has stalled (failure W12).
const MOST_REFUSED: u32 = 25;
/// How long the wall's end waits for its encoders' ends.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// What the wall's thread owns.
pub(super) struct Worker {
    shared: Arc<Shared>,
    tiles: Vec<Box<dyn TileSource>>,
    sinks: Vec<Arc<dyn Sink>>,
    /// Which of `sinks` were wanted at the last tick.
    wanted: Vec<bool>,
    compositor: Compositor,
    station: Station,
    retired: Retired,
    open: OpenEncoder,
    /// Failures since an encoder last proved that it works.
    failures: u32,
    /// When this encoder gave its first access unit, in canvas time.
    first_unit: Option<Duration>,
    reopen_at: Instant,
    /// How many canvases in a row have been given and nothing has come of them.
    barren: u32,
    key_frames: KeyFrames,
    stillness: Stillness,
    phase: Phase,
    sequence: u64,
}

/// Where canvases are taken to.
enum Station {
    Closed,
    /// For how long, in canvas time: a process that is stopped opens nothing.
    Opening(Encoding, Duration),
    Open(Encoding),
}

/// How a tick went that met no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nobody watches: there was nothing to do.
    Idle,
    /// The viewers see what the canvas shows already.
    Unchanged,
    /// The sinks were handed an access unit.
    Delivered,
    /// Somebody watches and got nothing: there is no encoder yet, or it left this canvas out.
    Waiting,
}

/// Why a tick gave nothing.
enum Fault {
    Encode(EncodeError),
    Open(OpenError),
    Thread(std::io::Error),
    Panic(Box<dyn Any + Send>),
    Stall(Stall),
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        tiles: Vec<Box<dyn TileSource>>,
        sinks: Vec<Arc<dyn Sink>>,
        encoding: Encoding,
        open: OpenEncoder,
    ) -> Worker {
        Worker {
            compositor: Compositor::new(&shared.config.layout),
            wanted: vec![false; sinks.len()],
            station: Station::Opening(encoding, Duration::ZERO),
            retired: Retired::default(),
            failures: 0,
            first_unit: None,
            reopen_at: Instant::now(),
            barren: 0,
            key_frames: KeyFrames::new(shared.config.idr_every),
            stillness: Stillness::default(),
            phase: Phase::new(Instant::now(), shared.config.fps),
            sequence: 0,
            shared,
            tiles,
            sinks,
            open,
        }
    }

    /// Runs until the wall is stopped; tick 0 is at `origin`.
    pub(super) fn run(mut self, origin: Instant) {
        let _span = tracing::error_span!("wall", name = self.shared.config.name).entered();
        let mut figures = *self.shared.figures.lock();
        let mut clock = TickClock::new(origin, figures.fps);
        self.phase = Phase::new(origin, figures.fps);
        while !self.shared.bell.is_stopping() {
            let now = Instant::now();
            let wanted = *self.shared.figures.lock();
            if wanted.fps != figures.fps {
                self.shared.meters.lock().ticks_missed += clock.set_fps(now, wanted.fps);
                self.phase = Phase::new(origin, wanted.fps);
            }
            figures = wanted;
            match clock.poll(now) {
                Due::At(due) => {
                    let changed = || (self.shared.figures.lock().fps != figures.fps).then_some(());
                    self.shared.bell.wait_until(due, changed);
                }
                Due::Now { tick, missed } => {
                    self.tick(tick, missed, figures);
                    clock.steer(self.phase.correction(tick.as_duration()));
                }
            }
        }
        self.end();
    }

    fn tick(&mut self, tick: CanvasTime, missed: u64, figures: Figures) {
        let now = Instant::now();
        {
            let mut meters = self.shared.meters.lock();
            meters.ticks += 1;
            meters.ticks_missed += missed;
            meters.tick_window.push(now, 1.0);
        }
        match catch_unwind(AssertUnwindSafe(|| self.work(now, tick, figures))) {
            Ok(Ok(Outcome::Idle | Outcome::Unchanged | Outcome::Delivered)) => {
                self.shared.meters.lock().last_progress = Instant::now();
            }
            Ok(Ok(Outcome::Waiting)) => {}
            Ok(Err(fault)) => self.handle_fault(now, fault),
            Err(panic) => {
                note_panic(&self.shared, "the wall", &*panic);
                if self.compositor.is_lent() {
                    self.compositor.renew_canvas();
                }
            }
        }
    }

    /// One tick's work, if there is any.
    fn work(&mut self, now: Instant, tick: CanvasTime, figures: Figures) -> Result<Outcome, Fault> {
        let at = tick.as_duration();
        self.take_scene();
        if !self.ask_sinks(at) {
            return Ok(Outcome::Idle);
        }
        if !self.has_encoder(now, figures)? {
            return Ok(Outcome::Waiting);
        }
        if self.shared.key_frame_wanted.swap(false, Ordering::AcqRel) {
            self.key_frames.handle_request();
            self.stillness.handle_viewer(at);
        }
        let composed = self.compositor.compose(now, &mut self.tiles);
        let composed_at = Instant::now();
        {
            let mut meters = self.shared.meters.lock();
            meters.compose_ms.push(now, ms(now, composed_at));
            if let Some(waited) = self.phase.handle_tick(now, at, self.compositor.arrivals()) {
                meters.tick_wait_ms.push(now, waited.as_secs_f64() * 1_000.0);
            }
            meters.pictures_refused += composed.refused as u64;
            meters.panics += composed.panics as u64;
        }
        if composed.painted > 0 {
            self.stillness.handle_change(at);
        }
        let force_idr = self.key_frames.is_due(at);
        if !force_idr && !self.stillness.is_due(at) {
            self.shared.meters.lock().canvases_unchanged += 1;
            return Ok(Outcome::Unchanged);
        }
        let encoded = match self.encode(force_idr, tick, figures)? {
            Some(Coded::Unit(encoded)) => Some(encoded),
            Some(Coded::LeftOut) => None,
            Some(Coded::Failed(error)) => return Err(Fault::Encode(error)),
            Some(Coded::Panicked(panic)) => return Err(Fault::Panic(panic)),
            Some(Coded::CannotChange) => {
                self.retire();
                return Ok(Outcome::Waiting);
            }
            None => return Ok(Outcome::Waiting),
        };
        {
            let mut meters = self.shared.meters.lock();
            meters.encode_ms.push(now, ms(composed_at, Instant::now()));
            match &encoded {
                Some(encoded) => {
                    meters.frames_encoded += 1;
                    meters.byte_window.push(now, encoded.data.len() as f64);
                    meters.keyframes += u64::from(encoded.key);
                    let first = *self.first_unit.get_or_insert(at);
                    if at.saturating_sub(first) >= PROVED_AFTER {
                        meters.stalls_in_a_row = (0, None);
                        self.failures = 0;
                    }
                }
                None => meters.encode_errors += 1,
            }
        }
        self.key_frames.handle_encoded(at, encoded.as_ref().is_some_and(|encoded| encoded.key));
        self.stillness.handle_encoded(at, encoded.is_some());
        // Not after one that the encoder made unasked: what follows it could be the next.
        if force_idr && encoded.as_ref().is_some_and(|encoded| encoded.key) {
            self.stillness.handle_key_frame(at);
        }
        if self.key_frames.refused() >= MOST_REFUSED {
            return Err(Fault::Stall(Stall::NoKeyFrame));
        }
        let Some(Encoded { data, key }) = encoded else {
            self.barren += 1;
            return match self.barren < (GIVES_WITHIN_SECONDS * figures.fps.get()).max(MAY_HOLD_BACK) {
                true => Ok(Outcome::Waiting),
                false => Err(Fault::Stall(Stall::NoUnit)),
            };
        };
        self.barren = 0;
        self.deliver(&AccessUnit { data, key, canvas_time: tick, composed_at, sequence: self.sequence });
        self.sequence += 1;
        Ok(Outcome::Delivered)
    }

    /// Changes to what was asked for since the last tick.
    fn take_scene(&mut self) {
        let mut scene = self.shared.scene.lock();
        let Some(tiles) = scene.next.take() else { return };
        let layout = Arc::clone(&scene.layout);
        drop(scene);
        self.compositor.rearrange(&layout);
        self.phase.forget();
        let before = std::mem::replace(&mut self.tiles, tiles);
        free(&self.shared, before);
    }

    /// Asks every sink whether it is wanted. The stream begins anew after a pause; a sink that joins while others
    /// watch needs an IDR too.
    fn ask_sinks(&mut self, at: Duration) -> bool {
        let before = self.wanted.contains(&true);
        let mut joined = false;
        for (sink, wanted) in self.sinks.iter().zip(&mut self.wanted) {
            let wants = catch_unwind(AssertUnwindSafe(|| sink.is_wanted()));
            let wants = wants.unwrap_or_else(|panic| {
                note_panic(&self.shared, "a sink", &*panic);
                false
            });
            joined |= wants && !*wanted;
            *wanted = wants;
        }
        if joined {
            self.stillness.handle_viewer(at);
            match before {
                true => self.key_frames.handle_request(),
                false => self.begin_anew(),
            }
        }
        self.wanted.contains(&true)
    }

    /// The next access unit is the first of a stream.
    fn begin_anew(&mut self) {
        self.key_frames.handle_restart();
        self.barren = 0;
    }

    /// Whether there is an encoder of this frame rate that can take a canvas now. Opens one if there is none, and waits for
    /// nothing.
    fn has_encoder(&mut self, now: Instant, figures: Figures) -> Result<bool, Fault> {
        let has_room = self.retired.reap();
        if let Station::Opening(encoding, _) | Station::Open(encoding) = &self.station
            && encoding.config.fps != figures.fps
        {
            self.retire();
        }
        match std::mem::replace(&mut self.station, Station::Closed) {
            Station::Open(encoding) => {
                self.station = Station::Open(encoding);
                return Ok(true);
            }
            Station::Opening(encoding, waited) => match encoding.poll_open() {
                Opening::Open(name) => {
                    self.shared.meters.lock().encoder = name;
                    self.station = Station::Open(encoding);
                    self.begin_anew();
                    return Ok(true);
                }
                opening => {
                    let waited = waited + figures.fps.time_of(1);
                    self.station = Station::Opening(encoding, waited);
                    match opening {
                        Opening::Failed(error) => return Err(Fault::Open(error)),
                        Opening::Panicked(panic) => return Err(Fault::Panic(panic)),
                        _ if waited >= OPENS_WITHIN => return Err(Fault::Stall(Stall::Opening)),
                        _ => {}
                    }
                }
            },
            Station::Closed if now < self.reopen_at || !has_room => {}
            Station::Closed => {
                let Figures { fps, bitrate } = figures;
                let config = EncoderConfig { size: self.shared.config.size, fps, bitrate };
                let (open, bell) = (Arc::clone(&self.open), Arc::clone(&self.shared.bell));
                let encoding = Encoding::start(&self.shared.config.name, config, bell, move || open(config));
                self.station = Station::Opening(encoding.map_err(Fault::Thread)?, Duration::ZERO);
            }
        }
        Ok(false)
    }

    /// Hands the canvas over and takes it back. `None` where the wall is to end.
    fn encode(
        &mut self,
        force_idr: bool,
        time: CanvasTime,
        figures: Figures,
    ) -> Result<Option<Coded>, Fault> {
        let Station::Open(encoding) = &self.station else { return Ok(None) };
        let canvas = self.compositor.lend_canvas();
        let job = Job { canvas, force_idr, time, bitrate: figures.bitrate };
        match encoding.encode(&self.shared.bell, job) {
            Handed::Back(canvas, coded) => {
                self.compositor.return_canvas(canvas);
                Ok(Some(coded))
            }
            Handed::Stalled => {
                self.compositor.renew_canvas();
                Err(Fault::Stall(Stall::NoAnswer))
            }
            Handed::Stopping => Ok(None),
        }
    }

    /// There is no encoder from now on, and the next one's stream begins with an IDR.
    fn retire(&mut self) {
        self.first_unit = None;
        match std::mem::replace(&mut self.station, Station::Closed) {
            Station::Opening(encoding, _) | Station::Open(encoding) => self.retired.push(encoding),
            Station::Closed => {}
        }
        self.begin_anew();
    }

    fn deliver(&self, unit: &AccessUnit) {
        for (sink, _) in self.sinks.iter().zip(&self.wanted).filter(|&(_, &wanted)| wanted) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| sink.deliver(unit))) {
                note_panic(&self.shared, "a sink", &*panic);
            }
        }
    }

    /// Counts and tells, and has a new encoder opened: at once after a first failure, then once a second.
    fn handle_fault(&mut self, now: Instant, fault: Fault) {
        match &fault {
            Fault::Panic(panic) => note_panic(&self.shared, "the encoder", &**panic),
            Fault::Encode(error) => {
                self.shared.meters.lock().encode_errors += 1;
                let error = error as &dyn std::error::Error;
                tracing::error!(error, "encoding failed; opening a new encoder");
            }
            Fault::Open(error) => {
                self.shared.meters.lock().encode_errors += 1;
                let error = error as &dyn std::error::Error;
                tracing::error!(error, "no encoder; trying again in a second");
            }
            Fault::Thread(error) => {
                self.shared.meters.lock().encode_errors += 1;
                let error = error as &dyn std::error::Error;
                tracing::error!(error, "no thread for an encoder; trying again in a second");
            }
            Fault::Stall(stall) => {
                let mut meters = self.shared.meters.lock();
                meters.encoder_stalls += 1;
                meters.stalls_in_a_row = (meters.stalls_in_a_row.0 + 1, Some(*stall));
                let (encoder, failure) = (meters.encoder, meters.failure());
                drop(meters);
                match failure {
                    None => {
                        tracing::error!(encoder, reason = %stall, "the encoder stalled; opening a new one")
                    }
                    Some(failure) => tracing::error!(%failure, "this wall has no encoder that works"),
                }
            }
        }
        self.retire();
        self.reopen_at = if self.failures == 0 { now } else { now + REOPEN_AFTER };
        self.failures += 1;
    }

    /// Frees everything, in a bounded time.
    fn end(mut self) {
        self.retire();
        let mut scene = self.shared.scene.lock();
        scene.has_ended = true;
        let unseen = scene.next.take();
        drop(scene);
        free(&self.shared, unseen.unwrap_or_default());
        free(&self.shared, std::mem::take(&mut self.tiles));
        self.retired.join(ENDS_WITHIN);
    }
}

/// With no lock held: what a source holds may take its time.
fn free(shared: &Shared, tiles: Vec<Box<dyn TileSource>>) {
    for tile in tiles {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(tile))) {
            note_panic(shared, "a tile that was freed", &*panic);
        }
    }
}

fn ms(from: Instant, to: Instant) -> f64 {
    to.duration_since(from).as_secs_f64() * 1_000.0
}

fn note_panic(shared: &Shared, whose: &str, panic: &(dyn Any + Send)) {
    shared.meters.lock().panics += 1;
    tracing::error!(whose, panic = panic_text(panic), "caught a panic");
}
