//! The thread `decode-<camera>`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, never, select_biased};

use super::{Decoded, Decoder};
use crate::queue::AccessUnit;
use crate::record::Record;
use crate::tile::Moment;

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
    pub(crate) fn spawn(units: Receiver<AccessUnit>, record: Arc<Record>) -> Result<Self, SpawnError> {
        let (stop, stopped) = bounded(0);
        let name = format!("decode-{}", record.name());
        let body = move || Worker::new(record).run(units, &stopped);
        let thread = Builder::new().name(name).spawn(body).map_err(SpawnError)?;
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

struct Worker {
    record: Arc<Record>,
    decoder: SessionDecoder,
    next_sequence: u64,
}

/// The decoder of one session.
enum SessionDecoder {
    None,
    Open {
        session: u64,
        decoder: Decoder,
    },
    /// It panicked or did not open: nothing more of this session can be decoded.
    Broken {
        session: u64,
    },
}

impl Worker {
    fn new(record: Arc<Record>) -> Self {
        Self { record, decoder: SessionDecoder::None, next_sequence: 0 }
    }

    fn run(mut self, mut units: Receiver<AccessUnit>, stopped: &Receiver<()>) {
        loop {
            select_biased! {
                recv(stopped) -> _ => return,
                recv(units) -> unit => match unit {
                    Ok(unit) => self.handle(&unit),
                    // The session has ended for good; wait to be stopped.
                    Err(_) => units = never(),
                },
            }
        }
    }

    fn handle(&mut self, unit: &AccessUnit) {
        if catch_unwind(AssertUnwindSafe(|| self.decode(unit))).is_err() {
            self.record.count_panic();
            tracing::error!(camera = %self.record.name(), "panic in the decode thread, starting the camera again");
            self.give_up(unit.session);
        }
    }

    fn decode(&mut self, unit: &AccessUnit) {
        let began = Instant::now();
        self.open_for(unit);
        let SessionDecoder::Open { decoder, .. } = &mut self.decoder else { return };
        let Decoded { frames, errors } = decoder.decode(&unit.data, &mut self.next_sequence);
        let took = began.elapsed();
        (0..errors).for_each(|_| self.record.count_decode_error());
        for frame in frames {
            self.record.decoded(unit.session, Moment::now(), frame, took);
        }
    }

    /// A new session gets a new decoder: its codec, its parameter sets and its timeline may all be other ones.
    fn open_for(&mut self, unit: &AccessUnit) {
        let known = match &self.decoder {
            SessionDecoder::None => None,
            SessionDecoder::Open { session, .. } | SessionDecoder::Broken { session } => Some(*session),
        };
        if known == Some(unit.session) {
            return;
        }
        // The old decoder's memory goes before the new one's comes.
        self.decoder = SessionDecoder::None;
        match Decoder::open(unit.codec) {
            Ok(decoder) => self.decoder = SessionDecoder::Open { session: unit.session, decoder },
            Err(error) => {
                tracing::error!(camera = %self.record.name(), "{error}");
                self.give_up(unit.session);
            }
        }
    }

    /// Makes the session end; the next one begins with a new decoder.
    fn give_up(&mut self, session: u64) {
        self.decoder = SessionDecoder::Broken { session };
        self.record.decoder_failed.notify_one();
    }
}
