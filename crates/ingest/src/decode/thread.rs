//! The thread `decode-<camera>`: decodes what somebody looks at, and of the rest only as much as it takes to be back at
//! once.

mod effort;
mod group;
mod repeats;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select_biased};

use self::effort::{Known, References};
use self::group::Group;
use self::repeats::{Repeat, Repeats};
use super::{Decoded, Decoder, Effort, Hardware, OpenError, Refused};
use crate::frame::Frame;
use crate::queue::{AccessUnit, Codec};
use crate::record::{Demand, Dropped, Output, Record, Stream};
use crate::shown::TileSize;
use crate::tile::Moment;

/// While nobody looks, key frames are decoded no more often than this: some cameras send nothing else.
const KEY_FRAME_EVERY: Duration = Duration::from_secs(1);
/// How soon a look is noticed, and that a session is over for good, when no access unit comes as a reason to ask.
const LOOKED_AT_AGAIN: Duration = Duration::from_millis(100);
const NOT_WANTED_ANY_MORE: Duration = Duration::from_secs(1);
const NOTHING_TO_ASK: Duration = Duration::from_secs(3_600);

/// Owner of the thread: dropping it stops and joins.
#[derive(Debug)]
pub(crate) struct DecodeThread {
    /// Dropped to stop the thread; nothing is ever sent.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The operating system has no thread for us.
#[derive(Debug, thiserror::Error)]
#[error("no thread to decode in")]
pub(crate) struct SpawnError(#[source] pub(crate) std::io::Error);

impl DecodeThread {
    pub(crate) fn spawn(
        hardware: Hardware,
        units: Receiver<AccessUnit>,
        record: Arc<Record>,
    ) -> Result<Self, SpawnError> {
        Self::spawn_with(Box::new(move |codec| Decoder::open(codec, hardware)), units, record)
    }

    fn spawn_with(open: Open, units: Receiver<AccessUnit>, record: Arc<Record>) -> Result<Self, SpawnError> {
        let (stop, stopped) = bounded(0);
        let name = match record.stream() {
            Stream::Main => format!("decode-{}", record.name()),
            Stream::Sub => format!("decode-{}-sub", record.name()),
        };
        let thread = Builder::new()
            .name(name)
            .spawn(move || Worker::new(open, record).run(units, &stopped))
            .map_err(SpawnError)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for DecodeThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The body catches panics; there is nothing to learn from the result.
            let _ = thread.join();
        }
    }
}

/// How a decoder comes to be; tests have others.
type Open = Box<dyn FnMut(Codec) -> Result<Decoder, OpenError> + Send>;

struct Worker {
    open: Open,
    record: Arc<Record>,
    decoder: SessionDecoder,
    repeats: Repeats,
    /// Passed over, and not decoded yet.
    group: Group,
    /// How many of the access units that waited when the last picture was published are still to be decoded: only the
    /// newest picture of what has piled up is published.
    backlog: usize,
    newest: Option<Arc<Frame>>,
    /// What decoding an access unit takes, averaged.
    cost: Duration,
    last_key_frame: Option<Instant>,
    /// Of the last picture.
    size: Option<(u32, u32)>,
    references: References,
    effort: Effort,
    /// Hardware that does not work is worth one warning, not one a session.
    has_fallen_back: bool,
}

/// The decoder of one session.
enum SessionDecoder {
    None,
    Open {
        session: u64,
        decoder: Box<Decoder>,
        has_given_a_picture: bool,
    },
    /// It panicked or did not open: nothing more of this session can be decoded.
    Broken {
        session: u64,
    },
}

impl SessionDecoder {
    fn session(&self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Open { session, .. } | Self::Broken { session } => Some(*session),
        }
    }
}

impl Worker {
    fn new(open: Open, record: Arc<Record>) -> Self {
        Self {
            open,
            record,
            decoder: SessionDecoder::None,
            repeats: Repeats::default(),
            group: Group::default(),
            backlog: 0,
            newest: None,
            cost: Duration::ZERO,
            last_key_frame: None,
            size: None,
            references: References::default(),
            effort: Effort::Full,
            has_fallen_back: false,
        }
    }

    fn run(mut self, mut units: Receiver<AccessUnit>, stopped: &Receiver<()>) {
        loop {
            let patience = self.patience();
            select_biased! {
                recv(stopped) -> _ => return,
                recv(units) -> unit => match unit {
                    Ok(unit) => {
                        self.backlog = self.backlog.checked_sub(1).unwrap_or(units.len());
                        self.caught(unit.session, |worker| worker.handle(unit));
                    }
                    // The session has ended for good; wait to be stopped.
                    Err(_) => units = never(),
                },
                default(patience) => {
                    self.backlog = 0;
                    let session = self.decoder.session().unwrap_or_default();
                    self.caught(session, Self::handle_pause);
                }
            }
        }
    }

    /// How long to wait for an access unit before asking whether anything else has changed.
    fn patience(&self) -> Duration {
        match self.decoder {
            _ if !self.group.is_empty() => LOOKED_AT_AGAIN,
            SessionDecoder::None => NOTHING_TO_ASK,
            SessionDecoder::Open { .. } | SessionDecoder::Broken { .. } => NOT_WANTED_ANY_MORE,
        }
    }

    /// A panic costs the session.
    fn caught(&mut self, session: u64, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            tracing::error!(camera = %self.record.name(), "panic in the decode thread, starting the camera again");
            self.give_up(session);
            self.record.count_panic();
        }
    }

    /// Nothing has come for a while.
    fn handle_pause(&mut self) {
        let now = Instant::now();
        if !self.record.is_wanted(now) {
            // Its session is over on purpose: a decoder's memory is worth more than its state.
            self.decoder = SessionDecoder::None;
            self.group.clear();
            self.newest = None;
        } else if !self.group.is_empty() && matches!(self.record.demand(now), Demand::Pictures(_)) {
            self.catch_up();
            self.report_newest();
        }
    }

    fn handle(&mut self, unit: AccessUnit) {
        self.sort(unit);
        if self.backlog == 0 {
            self.report_newest();
        }
    }

    /// What is decoded now, what is kept, and what is nothing new.
    fn sort(&mut self, unit: AccessUnit) {
        let at = Moment::now();
        match self.repeats.handle(&unit) {
            Repeat::New => {}
            repeat => return self.record.repeated(unit.session, at, repeat == Repeat::Static),
        }
        match self.record.demand(at.mono) {
            Demand::Pictures(tile) => {
                let is_skipped = self.suit(tile, at.mono, &unit);
                self.catch_up();
                self.decode_now(&unit);
                if is_skipped {
                    self.record.skipped(unit.session, at);
                }
            }
            // What a camera sends, and that it can be decoded, is to be known in any case.
            _ if !self.has_given_a_picture(unit.session) => {
                self.catch_up();
                self.decode_now(&unit);
            }
            Demand::KeyFrames if unit.key && self.is_time_for_a_key_frame(at.mono) => {
                self.group.clear();
                self.decode_now(&unit);
            }
            demand => {
                let session = unit.session;
                self.group.keep(unit);
                self.record.passed_over(session, at);
                self.follow(demand);
            }
        }
    }

    /// Decodes no better than the tile can show. Returns whether this access unit gives no picture therefore.
    fn suit(&mut self, tile: TileSize, now: Instant, unit: &AccessUnit) -> bool {
        let Some(size) = self.size else { return false };
        let is_reference = !effort::is_worth_measuring(tile, size)
            || self.references.add(now, unit.session, unit.codec, &unit.data);
        let known = Known { size, references_fps: self.references.fps(now) };
        self.effort = effort::choose(tile, Some(known), self.effort);
        !is_reference && self.effort == Effort::ReferencesOnly
    }

    fn is_time_for_a_key_frame(&self, now: Instant) -> bool {
        self.last_key_frame.is_none_or(|last| now.saturating_duration_since(last) >= KEY_FRAME_EVERY)
    }

    fn has_given_a_picture(&self, session: u64) -> bool {
        matches!(&self.decoder, SessionDecoder::Open { session: open, has_given_a_picture: true, .. } if *open == session)
    }

    /// Decodes what must not be kept any longer. Its pictures are newer than the one on the tile.
    fn follow(&mut self, demand: Demand) {
        let cost = (demand == Demand::KeyFrames).then_some(self.cost);
        while self.group.is_too_long(cost) {
            let Some(unit) = self.group.take_oldest() else { break };
            self.decode(&unit, true);
        }
    }

    /// Decodes everything that was kept, for its newest picture alone.
    fn catch_up(&mut self) {
        while let Some(unit) = self.group.take_oldest() {
            self.decode(&unit, true);
        }
    }

    /// Decodes an access unit that has just come.
    fn decode_now(&mut self, unit: &AccessUnit) {
        if unit.key {
            self.last_key_frame = Some(Instant::now());
        }
        self.decode(unit, false);
    }

    fn decode(&mut self, unit: &AccessUnit, was_passed_over: bool) {
        let began = Instant::now();
        self.open_for(unit);
        let SessionDecoder::Open { decoder, has_given_a_picture, .. } = &mut self.decoder else { return };
        decoder.set_effort(self.effort);
        let mut next = self.record.next_sequence();
        let Decoded { frames, errors, refused } = decoder.decode(&unit.data, unit.captured, &mut next);
        self.record.used_sequences_below(next);
        let took = began.elapsed();
        if let Some(refused) = refused {
            self.record.refused(unit.session, dropped(&refused), &refused.to_string());
            return;
        }
        self.cost = if self.cost.is_zero() { took } else { (self.cost * 7 + took) / 8 };
        *has_given_a_picture |= !frames.is_empty();
        self.size = frames.last().map(|frame| (frame.width(), frame.height())).or(self.size);
        let hardware = decoder.hardware();
        if let Some(why) = decoder.fell_back()
            && !std::mem::replace(&mut self.has_fallen_back, true)
        {
            tracing::warn!(camera = %self.record.name(), "decoding with software: {why}");
        }
        let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
        // In output order: the last one is the newest, and what it replaces here only a wall that looks back shows.
        for frame in frames {
            if let Some(overtaken) = self.newest.replace(frame) {
                self.record.overtaken(Instant::now(), &overtaken);
            }
        }
        let output = Output { frames: count, errors, took, was_passed_over, hardware };
        self.record.decoded(unit.session, Moment::now(), output);
    }

    fn report_newest(&mut self) {
        let Some(newest) = self.newest.take() else { return };
        let session = self.decoder.session().unwrap_or_default();
        self.record.published(session, Moment::now(), newest, !self.group.is_empty());
    }

    /// A new session gets a new decoder: its codec, its parameter sets and its timeline may all be other ones.
    fn open_for(&mut self, unit: &AccessUnit) {
        if self.decoder.session() == Some(unit.session) {
            return;
        }
        // The old decoder's memory goes before the new one's comes.
        self.decoder = SessionDecoder::None;
        match (self.open)(unit.codec) {
            Ok(decoder) => {
                self.decoder = SessionDecoder::Open {
                    session: unit.session,
                    decoder: Box::new(decoder),
                    has_given_a_picture: false,
                };
            }
            Err(error) => {
                tracing::error!(camera = %self.record.name(), "{error}");
                self.give_up(unit.session);
            }
        }
    }

    /// Makes the session end; the next one begins with a new decoder.
    fn give_up(&mut self, session: u64) {
        self.decoder = SessionDecoder::Broken { session };
        self.group.clear();
        self.newest = None;
        self.record.decoder_failed.notify_one();
    }
}

fn dropped(refused: &Refused) -> Dropped {
    match refused {
        Refused::TooLarge { .. } | Refused::TooManyBytes { .. } | Refused::TooManyParts { .. } => {
            Dropped::TooLarge
        }
        Refused::OverBudget { .. } => Dropped::TooExpensive,
    }
}

#[cfg(test)]
mod tests;
