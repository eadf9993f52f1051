//! The thread `decode-<camera>`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, never, select_biased};

use super::{Decoded, Decoder, Hardware, OpenError};
use crate::queue::{AccessUnit, Codec};
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
        Self::spawn_with(|codec| Decoder::open(codec, Hardware::None), units, record)
    }

    fn spawn_with(open: Open, units: Receiver<AccessUnit>, record: Arc<Record>) -> Result<Self, SpawnError> {
        let (stop, stopped) = bounded(0);
        let name = format!("decode-{}", record.name());
        let body = move || {
            let worker = Worker { open, record, decoder: SessionDecoder::None, next_sequence: 0 };
            worker.run(units, &stopped);
        };
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

/// How a decoder comes to be; tests have others.
type Open = fn(Codec) -> Result<Decoder, OpenError>;

struct Worker {
    open: Open,
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
        let Decoded { frames, errors, refused } =
            decoder.decode(&unit.data, unit.captured, &mut self.next_sequence);
        let took = began.elapsed();
        if refused.is_some() {
            self.record.count_dropped();
        }
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
        match (self.open)(unit.codec) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::queue::queue;
    use futures::FutureExt;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::time::Duration;

    const KEY_FRAME: &[u8] = include_bytes!("../../tests/fixtures/small.h264");

    fn unit(session: u64) -> AccessUnit {
        AccessUnit {
            session,
            codec: Codec::H264,
            data: KEY_FRAME.to_vec(),
            key: true,
            captured: Instant::now(),
        }
    }

    #[track_caller]
    fn wait_until(what: &str, done: impl Fn() -> bool) {
        let give_up = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < give_up, "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn panic_once(codec: Codec) -> Result<Decoder, OpenError> {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        assert!(CALLS.fetch_add(1, SeqCst) > 0, "on purpose");
        Decoder::open(codec, Hardware::None)
    }

    #[test]
    fn a_panic_ends_the_session_and_the_next_one_is_decoded_by_the_same_thread() {
        let record = Record::for_tests();
        let (mut feeder, units) = queue(record.clone());
        let thread = DecodeThread::spawn_with(panic_once, units, record.clone()).unwrap();
        let stats = || record.stats(Instant::now(), Duration::from_secs(10));
        feeder.feed(unit(1));
        wait_until("the panic is counted", || stats().panics == 1);
        wait_until("the session is told", || record.decoder_failed.notified().now_or_never().is_some());
        feeder.feed(unit(1));
        feeder.feed(unit(2));
        wait_until("a picture", || stats().frames_decoded > 0);
        assert_eq!(stats().panics, 1);
        drop(thread);
    }

    #[test]
    fn dropping_the_owner_joins_the_thread_though_the_session_still_holds_its_end() {
        let record = Record::for_tests();
        let (mut feeder, units) = queue(record.clone());
        let thread = DecodeThread::spawn(units, record.clone()).unwrap();
        feeder.feed(unit(1));
        drop(thread);
        assert_eq!(Arc::strong_count(&record), 2, "the thread's own reference is gone");
        feeder.feed(unit(1));
    }
}
