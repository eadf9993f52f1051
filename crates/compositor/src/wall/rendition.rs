//! One encoding of a wall: who wants it, the encoder that makes it, when a canvas is worth encoding for it, and what a
//! failure costs. The wall's own rendition and the smaller ones differ in how they come by a canvas, and in whether it is
//! waited for: that is in [`super::run`] and [`super::smaller`].

use super::audience::{Asked, Audience};
use super::encoding::{Answer, Coded, Encoding, Job, OpenEncoder, Opening, Retired, gone};
use super::fault::Fault;
use super::view::{Figures, Shared, Told};
use super::{AccessUnit, Sink, Stall};
use crate::canvas::Canvas;
use crate::encoder::{Encoded, EncoderConfig};
use crate::key_frames::KeyFrames;
use crate::stillness::Stillness;
use crate::tick::CanvasTime;
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

/// One encoding, as the wall's thread owns it.
pub(super) struct Rendition {
    shared: Arc<Shared>,
    /// Which of the wall's.
    number: usize,
    audience: Audience,
    station: Station,
    retired: Retired,
    open: OpenEncoder,
    /// Failures since an encoder last proved that it works.
    failures: u32,
    /// When this encoder gave its first access unit, in canvas time.
    first_unit: Option<Duration>,
    reopen_at: Instant,
    /// Whether every second picture can be left out, from an IDR on.
    halves: bool,
    /// How many canvases in a row have been given and nothing has come of them.
    barren: u32,
    /// What is known of the canvas that the encoder has.
    given: Option<Given>,
    key_frames: KeyFrames,
    stillness: Stillness,
    sequence: u64,
    /// What is logged of it says which it is.
    span: tracing::Span,
}

/// Where canvases are taken to.
enum Station {
    Closed,
    /// For how long, in canvas time: a process that is stopped opens nothing.
    Opening(Encoding, Duration),
    Open(Encoding),
}

/// A canvas that is being encoded.
#[derive(Clone, Copy)]
struct Given {
    force_idr: bool,
    time: CanvasTime,
    composed_at: Instant,
    /// The stream began anew in the meantime: what comes of it is of the one before.
    is_stale: bool,
}

/// Whether it can be given a canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Nobody watches: there is nothing to do.
    Unwanted,
    /// Somebody watches, and there is no encoder yet.
    NotYet,
    Ready,
}

/// What came of a canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nobody watches: there was nothing to do.
    Idle,
    /// The viewers see what the canvas shows already.
    Unchanged,
    /// The sinks were handed an access unit.
    Delivered,
    /// Somebody watches and got nothing: there is no encoder yet, or it left this canvas out.
    Waiting,
}

impl Rendition {
    /// The rendition `number` of the wall; `encoding` if its encoder is being opened already.
    pub(super) fn new(
        shared: Arc<Shared>,
        number: usize,
        sinks: Vec<Arc<dyn Sink>>,
        encoding: Option<Encoding>,
        open: OpenEncoder,
    ) -> Rendition {
        let span = match number {
            0 => tracing::Span::none(),
            number => tracing::error_span!("rendition", name = shared.renditions[number].name),
        };
        Rendition {
            audience: Audience::new(sinks),
            station: encoding.map_or(Station::Closed, |encoding| Station::Opening(encoding, Duration::ZERO)),
            retired: Retired::default(),
            failures: 0,
            first_unit: None,
            reopen_at: Instant::now(),
            halves: false,
            barren: 0,
            given: None,
            key_frames: KeyFrames::new(shared.config.idr_every),
            stillness: Stillness::default(),
            sequence: 0,
            span,
            shared,
            number,
            open,
        }
    }

    /// What it shares with the wall's views.
    pub(super) fn told(&self) -> &Told {
        &self.shared.renditions[self.number]
    }

    /// Asks its sinks, and sees to an encoder for them. Waits for nothing.
    pub(super) fn prepare(&mut self, now: Instant, at: Duration, figures: Figures) -> Readiness {
        let has_room = self.retired.reap();
        if !self.ask_sinks(at) {
            return Readiness::Unwanted;
        }
        match self.has_encoder(now, figures, has_room) {
            Ok(true) => {}
            Ok(false) => return Readiness::NotYet,
            Err(fault) => {
                self.handle_fault(fault);
                return Readiness::NotYet;
            }
        }
        if self.told().key_frame_wanted.swap(false, Ordering::AcqRel) {
            self.key_frames.handle_request();
            self.stillness.handle_viewer(at);
        }
        Readiness::Ready
    }

    /// The canvas at `at` is not the one before.
    pub(super) fn handle_change(&mut self, at: Duration) {
        self.stillness.handle_change(at);
    }

    /// The canvas at `at` is worth encoding and cannot be: the next one is, too.
    pub(super) fn handle_missed(&mut self, at: Duration) {
        self.stillness.handle_encoded(at, false);
    }

    /// Whether the canvas at `at` is worth encoding, and if so, whether as an IDR.
    pub(super) fn is_due(&self, at: Duration) -> Option<bool> {
        let force_idr = self.key_frames.is_due(at);
        (force_idr || self.stillness.is_due(at)).then_some(force_idr)
    }

    /// Whether the encoder has a canvas.
    pub(super) fn is_busy(&self) -> bool {
        self.given.is_some()
    }

    /// Hands a canvas over, and does not wait for it. What cannot be handed over is answered at once.
    pub(super) fn give(
        &mut self,
        canvas: Canvas,
        force_idr: bool,
        time: CanvasTime,
        composed_at: Instant,
        figures: Figures,
    ) -> Option<Answer> {
        self.given = Some(Given { force_idr, time, composed_at, is_stale: false });
        let answer = |canvas, coded| Answer { canvas, coded, took: Duration::ZERO };
        let Station::Open(encoding) = &self.station else { return Some(answer(canvas, Coded::LeftOut)) };
        let job = Job { canvas, force_idr, time, bitrate: figures.bitrate, halves: self.halves };
        encoding.give(job).err().map(|canvas| answer(canvas, Coded::Panicked(gone())))
    }

    /// Whether there is an encoder, or will be.
    pub(super) fn has_station(&self) -> bool {
        !matches!(self.station, Station::Closed)
    }

    /// The encoder, if it is open.
    pub(super) fn encoding(&mut self) -> Option<&mut Encoding> {
        match &mut self.station {
            Station::Open(encoding) => Some(encoding),
            Station::Closed | Station::Opening(..) => None,
        }
    }

    /// Counts and delivers what became of the canvas that was given.
    pub(super) fn handle_coded(&mut self, coded: Coded, took: Duration, figures: Figures) -> Outcome {
        let Some(given) = self.given.take() else { return Outcome::Waiting };
        let fault = match coded {
            Coded::Unit(encoded) => return self.handle_encoded(given, Some(encoded), took, figures),
            Coded::LeftOut => return self.handle_encoded(given, None, took, figures),
            Coded::CannotChange => {
                self.retire();
                return Outcome::Waiting;
            }
            Coded::Failed(error) => Fault::Encode(error),
            Coded::Panicked(panic) => Fault::Panic(panic),
        };
        self.handle_fault(fault);
        Outcome::Waiting
    }

    fn handle_encoded(
        &mut self,
        given: Given,
        encoded: Option<Encoded>,
        took: Duration,
        figures: Figures,
    ) -> Outcome {
        let at = given.time.as_duration();
        self.count(at, encoded.as_ref(), took);
        if given.is_stale {
            return Outcome::Waiting;
        }
        let key = encoded.as_ref().is_some_and(|encoded| encoded.key);
        self.key_frames.handle_encoded(at, key);
        self.stillness.handle_encoded(at, encoded.is_some());
        // Not after one that the encoder made unasked: what follows it could be the next.
        if given.force_idr && key {
            self.stillness.handle_key_frame(at);
        }
        if self.key_frames.refused() >= MOST_REFUSED {
            self.handle_fault(Fault::Stall(Stall::NoKeyFrame));
            return Outcome::Waiting;
        }
        let Some(Encoded { data, key }) = encoded else {
            self.barren += 1;
            if self.barren >= (GIVES_WITHIN_SECONDS * figures.fps.get()).max(MAY_HOLD_BACK) {
                self.handle_fault(Fault::Stall(Stall::NoUnit));
            }
            return Outcome::Waiting;
        };
        self.barren = 0;
        let (canvas_time, composed_at, sequence) = (given.time, given.composed_at, self.sequence);
        self.sequence += 1;
        let unit = AccessUnit { data, key, canvas_time, composed_at, sequence };
        self.audience.deliver(&unit, &self.shared);
        Outcome::Delivered
    }

    fn count(&mut self, at: Duration, encoded: Option<&Encoded>, took: Duration) {
        let now = Instant::now();
        let has_proved =
            encoded.is_some() && at.saturating_sub(*self.first_unit.get_or_insert(at)) >= PROVED_AFTER;
        let mut meters = self.told().meters.lock();
        meters.encode_ms.push(now, took.as_secs_f64() * 1_000.0);
        match encoded {
            Some(encoded) => {
                meters.frames_encoded += 1;
                meters.byte_window.push(now, encoded.data.len() as f64);
                meters.keyframes += u64::from(encoded.key);
            }
            None => meters.encode_errors += 1,
        }
        if has_proved {
            meters.stalls_in_a_row = (0, None);
            drop(meters);
            self.failures = 0;
        }
    }

    /// Whether anybody wants it. The stream begins anew after a pause; who joins while others watch needs an IDR too, and so
    /// does who is to get half of the pictures.
    fn ask_sinks(&mut self, at: Duration) -> bool {
        let before = self.audience.is_there();
        let Asked { joined, halves } = self.audience.ask(&self.shared);
        if joined {
            self.stillness.handle_viewer(at);
            match before {
                true => self.key_frames.handle_request(),
                false => self.begin_anew(),
            }
        }
        if halves && !self.halves {
            self.key_frames.handle_request();
        }
        self.halves = halves;
        self.audience.is_there()
    }

    /// The next access unit is the first of a stream.
    fn begin_anew(&mut self) {
        self.key_frames.handle_restart();
        self.barren = 0;
        if let Some(given) = &mut self.given {
            given.is_stale = true;
        }
    }

    /// Whether there is an encoder of this frame rate. Opens one if there is none, and waits for nothing.
    fn has_encoder(&mut self, now: Instant, figures: Figures, has_room: bool) -> Result<bool, Fault> {
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
                    self.station = Station::Open(encoding);
                    let mut meters = self.told().meters.lock();
                    (meters.encoder, meters.running) = (Some(name), true);
                    drop(meters);
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
                let config = EncoderConfig { size: self.told().size, fps, bitrate };
                let (open, bell) = (Arc::clone(&self.open), Arc::clone(&self.shared.bell));
                let _span = self.span.clone().entered();
                let encoding = Encoding::start(&self.thread(), config, bell, move || open(config));
                self.station = Station::Opening(encoding.map_err(Fault::Thread)?, Duration::ZERO);
            }
        }
        Ok(false)
    }

    /// What its encoder's thread is called, behind `encode-`.
    fn thread(&self) -> String {
        let wall = &self.shared.config.name;
        if self.number == 0 { wall.clone() } else { format!("{wall}-{}", self.told().name) }
    }

    /// There is no encoder from now on, and the next one's stream begins with an IDR. A canvas that it has is lost.
    pub(super) fn retire(&mut self) {
        (self.first_unit, self.given) = (None, None);
        match std::mem::replace(&mut self.station, Station::Closed) {
            Station::Opening(encoding, _) | Station::Open(encoding) => self.retired.push(encoding),
            Station::Closed => {}
        }
        self.told().meters.lock().running = false;
        self.begin_anew();
    }

    /// Counts and tells, and has a new encoder opened: at once after a first failure, then once a second.
    pub(super) fn handle_fault(&mut self, fault: Fault) {
        let _span = self.span.clone().entered();
        fault.tell(&self.shared, self.told());
        self.retire();
        let now = Instant::now();
        self.reopen_at = if self.failures == 0 { now } else { now + REOPEN_AFTER };
        self.failures += 1;
    }

    /// Joins its threads, after [`Rendition::retire`]. Those that have not ended by then are left behind.
    pub(super) fn join(self, until: Instant) {
        self.retired.join(until);
    }
}
