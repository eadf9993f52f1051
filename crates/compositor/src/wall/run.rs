//! The wall's thread: sleep, compose, encode, hand over.

use super::{AccessUnit, Shared, Sink};
use crate::compose::{Compositor, TileSource, panic_text};
use crate::encoder::{Encode, EncodeError, OpenError};
use crate::key_frames::KeyFrames;
use crate::tick::{CanvasTime, Due, TickClock};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Opens an encoder, the first one and every one after a failure.
pub(crate) type OpenEncoder = Box<dyn FnMut() -> Result<Box<dyn Encode>, OpenError> + Send>;

/// After a second failure in a row the next encoder is opened no sooner than this.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// An encoder that passes over so many demands for an IDR in a row is replaced (failure W12).
const MOST_REFUSED: u32 = 25;

/// What the wall's thread owns.
pub(super) struct Worker {
    shared: Arc<Shared>,
    tiles: Vec<Box<dyn TileSource>>,
    sinks: Vec<Arc<dyn Sink>>,
    /// Which of `sinks` were wanted at the last tick.
    wanted: Vec<bool>,
    compositor: Compositor,
    encoder: Option<Box<dyn Encode>>,
    open: OpenEncoder,
    /// Failures since an encoder last gave something.
    failures: u32,
    reopen_at: Instant,
    key_frames: KeyFrames,
    sequence: u64,
}

/// How a tick went that met no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nobody watches: there was nothing to do.
    Idle,
    /// The sinks were handed an access unit.
    Delivered,
    /// Somebody watches and got nothing: there is no encoder yet, or it left this canvas out.
    Waiting,
}

/// Why a tick gave nothing.
enum Fault {
    Encode(EncodeError),
    Open(OpenError),
    Refused,
    Panic(Box<dyn Any + Send>),
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        tiles: Vec<Box<dyn TileSource>>,
        sinks: Vec<Arc<dyn Sink>>,
        encoder: Box<dyn Encode>,
        open: OpenEncoder,
    ) -> Worker {
        let key_frames = KeyFrames::new(shared.config.idr_every);
        let compositor = Compositor::new(&shared.config.layout);
        let wanted = vec![false; sinks.len()];
        let reopen_at = Instant::now();
        let encoder = Some(encoder);
        Worker {
            shared,
            tiles,
            sinks,
            wanted,
            compositor,
            encoder,
            open,
            failures: 0,
            reopen_at,
            key_frames,
            sequence: 0,
        }
    }

    /// Runs until the wall is stopped; tick 0 is at `origin`.
    pub(super) fn run(mut self, origin: Instant) {
        let _span = tracing::error_span!("wall", name = self.shared.config.name).entered();
        let mut clock = TickClock::new(origin, self.shared.config.fps);
        while !self.shared.is_stopping() {
            match clock.poll(Instant::now()) {
                Due::At(due) => self.shared.sleep_until(due),
                Due::Now { tick, missed } => self.tick(tick, missed),
            }
        }
    }

    fn tick(&mut self, tick: CanvasTime, missed: u64) {
        let now = Instant::now();
        {
            let mut meters = self.shared.meters.lock();
            meters.ticks += 1;
            meters.ticks_missed += missed;
            meters.tick_window.push(now, 1.0);
        }
        let done = catch_unwind(AssertUnwindSafe(|| self.work(now, tick)));
        match done.unwrap_or_else(|panic| Err(Fault::Panic(panic))) {
            Ok(Outcome::Idle | Outcome::Delivered) => {
                self.shared.meters.lock().last_progress = Instant::now();
            }
            Ok(Outcome::Waiting) => {}
            Err(fault) => self.handle_fault(now, fault),
        }
    }

    /// One tick's work, if there is any.
    fn work(&mut self, now: Instant, tick: CanvasTime) -> Result<Outcome, Fault> {
        self.take_scene();
        if !self.ask_sinks() {
            return Ok(Outcome::Idle);
        }
        if self.encoder.is_none() {
            if now < self.reopen_at {
                return Ok(Outcome::Waiting);
            }
            let encoder = (self.open)().map_err(Fault::Open)?;
            self.shared.meters.lock().encoder = encoder.name();
            self.encoder = Some(encoder);
            self.key_frames.handle_restart();
        }
        if self.shared.key_frame_wanted.swap(false, Ordering::AcqRel) {
            self.key_frames.handle_request();
        }
        let composed = self.compositor.compose(now, &mut self.tiles);
        let composed_at = Instant::now();
        let ms = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64() * 1_000.0;
        {
            let mut meters = self.shared.meters.lock();
            meters.compose_ms.push(now, ms(now, composed_at));
            meters.pictures_refused += composed.refused as u64;
            meters.panics += composed.panics as u64;
        }
        let encoder = self.encoder.as_mut().expect("opened above");
        let at = tick.as_duration();
        let encoded = encoder.encode(self.compositor.canvas(), self.key_frames.is_due(at), tick);
        let encoded_at = Instant::now();
        let encoded = encoded.map_err(Fault::Encode)?;
        self.key_frames.handle_encoded(at, encoded.as_ref().is_some_and(|encoded| encoded.key));
        {
            let mut meters = self.shared.meters.lock();
            meters.encode_ms.push(now, ms(composed_at, encoded_at));
            match &encoded {
                Some(encoded) => {
                    meters.frames_encoded += 1;
                    meters.keyframes += u64::from(encoded.key);
                    meters.byte_window.push(now, encoded.data.len() as f64);
                }
                None => meters.encode_errors += 1,
            }
        }
        if self.key_frames.refused() >= MOST_REFUSED {
            return Err(Fault::Refused);
        }
        let Some(encoded) = encoded else { return Ok(Outcome::Waiting) };
        self.failures = 0;
        let unit = AccessUnit {
            data: encoded.data,
            key: encoded.key,
            canvas_time: tick,
            composed_at,
            sequence: self.sequence,
        };
        self.sequence += 1;
        self.deliver(&unit);
        Ok(Outcome::Delivered)
    }

    /// Changes to what was asked for since the last tick.
    fn take_scene(&mut self) {
        let mut scene = self.shared.scene.lock();
        let Some(tiles) = scene.next.take() else { return };
        let layout = Arc::clone(&scene.layout);
        drop(scene);
        self.compositor = Compositor::new(&layout);
        self.tiles = tiles;
    }

    /// Asks every sink whether it is wanted. The stream begins anew after a pause; a sink that joins while others
    /// watch needs an IDR too.
    fn ask_sinks(&mut self) -> bool {
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
        if joined && before {
            self.key_frames.handle_request();
        } else if joined {
            self.key_frames.handle_restart();
        }
        self.wanted.contains(&true)
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
        match fault {
            Fault::Panic(panic) => {
                note_panic(&self.shared, "the encoder", &*panic);
            }
            Fault::Encode(error) => {
                self.shared.meters.lock().encode_errors += 1;
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "encoding failed; opening a new encoder"
                );
            }
            Fault::Open(error) => {
                self.shared.meters.lock().encode_errors += 1;
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "no encoder; trying again in a second"
                );
            }
            Fault::Refused => {
                tracing::error!(refused = MOST_REFUSED, "the encoder makes no key frame; opening a new one");
            }
        }
        self.encoder = None;
        self.key_frames.handle_restart();
        self.reopen_at = if self.failures == 0 { now } else { now + REOPEN_AFTER };
        self.failures += 1;
    }
}

fn note_panic(shared: &Shared, whose: &str, panic: &(dyn Any + Send)) {
    shared.meters.lock().panics += 1;
    tracing::error!(whose, panic = panic_text(panic), "caught a panic");
}
