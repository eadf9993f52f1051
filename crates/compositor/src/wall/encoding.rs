//! The threads `encode-<wall>` and `encode-<wall>-<rendition>`: one encoder each, opened, used and closed there, so that
//! what it waits for holds up nobody.
//!
//! The wall's thread hands over a canvas, moved and not copied. For its own one it waits, but not for ever; for that of a
//! smaller rendition it listens whenever it has nothing else to do. An encoder (a driver, rather) that does not come back
//! is left behind with the canvas that it holds, and counted among the [`Retired`]. When to give up, and what then, is
//! decided in [`super::rendition`].

use super::bell::{Bell, Woken};
use crate::canvas::Canvas;
use crate::encoder::{Encode, EncodeError, Encoded, EncoderConfig, OpenError};
use crate::geometry::Bitrate;
use crate::tick::CanvasTime;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Opens an encoder, the first one and every one after a failure. From any thread; an opening may hang while another
/// one is asked for.
pub(crate) type OpenEncoder = Arc<dyn Fn(EncoderConfig) -> Result<Box<dyn Encode>, OpenError> + Send + Sync>;

/// An encoder that has had a canvas for so long has stalled (failure P4).
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(2);
/// The wait is cut into so many: time in which the whole process stood still (a laptop asleep, SIGSTOP) counts as one
/// of them, because the encoder stood still with it.
const WAITS: u32 = 20;

/// A canvas to be encoded.
pub(super) struct Job {
    pub(super) canvas: Canvas,
    pub(super) force_idr: bool,
    pub(super) time: CanvasTime,
    pub(super) bitrate: Bitrate,
    /// See [`Encode::set_halves`].
    pub(super) halves: bool,
}

/// What became of it.
pub(super) enum Coded {
    Unit(Encoded),
    /// The encoder left it out.
    LeftOut,
    Failed(EncodeError),
    Panicked(Box<dyn Any + Send>),
    /// The encoder cannot be given the job's bitrate.
    CannotChange,
}

/// A canvas that has come back, what was made of it, and how long that took.
pub(super) struct Answer {
    pub(super) canvas: Canvas,
    pub(super) coded: Coded,
    pub(super) took: Duration,
}

/// What comes of waiting for a canvas.
pub(super) enum Handed {
    Back(Answer),
    /// No answer in [`STALLED_AFTER`]. The canvas is lost.
    Stalled,
    /// The wall is to end. The canvas is lost.
    Stopping,
}

/// What comes of listening for a canvas.
pub(super) enum Heard {
    Nothing,
    Back(Answer),
    /// The thread has ended by itself. The canvas is lost.
    Gone,
}

/// Whether an encoder can be given canvases.
pub(super) enum Opening {
    Pending,
    Open(&'static str),
    Failed(OpenError),
    Panicked(Box<dyn Any + Send>),
}

/// An encoder at work, as its wall sees it.
pub(super) struct Encoding {
    /// What it was opened for; the bitrate may have changed since.
    pub(super) config: EncoderConfig,
    jobs: SyncSender<Job>,
    said: Receiver<Said>,
    /// Heard already, and not yet asked for.
    heard: Option<Result<Said, TryRecvError>>,
    thread: JoinHandle<()>,
}

enum Said {
    Open(&'static str),
    NotOpen(OpenError),
    Panicked(Box<dyn Any + Send>),
    Back(Answer),
}

impl Encoding {
    /// Starts the thread `encode-<name>`, on which `open` is called. `bell` is rung whenever there is something to be found.
    pub(super) fn start(
        name: &str,
        config: EncoderConfig,
        bell: Arc<Bell>,
        open: impl FnOnce() -> Result<Box<dyn Encode>, OpenError> + Send + 'static,
    ) -> Result<Encoding, std::io::Error> {
        // One canvas is on its way at a time; the thread says that it is open before it takes the first.
        let (jobs, received) = sync_channel(1);
        let (say, said) = sync_channel(2);
        let mouth = Mouth { say, bell };
        let bitrate = config.bitrate;
        let span = tracing::Span::current();
        let thread = std::thread::Builder::new().name(format!("encode-{name}")).spawn(move || {
            let _span = span.entered();
            run(&mouth, &received, bitrate, open);
        })?;
        Ok(Encoding { config, jobs, said, heard: None, thread })
    }

    /// Whether it is open by now. Asked until it is, and not again.
    pub(super) fn poll_open(&self) -> Opening {
        match self.said.try_recv() {
            Ok(Said::Open(name)) => Opening::Open(name),
            Ok(Said::NotOpen(error)) => Opening::Failed(error),
            Ok(Said::Panicked(panic)) => Opening::Panicked(panic),
            Ok(Said::Back(_)) | Err(TryRecvError::Disconnected) => Opening::Panicked(gone()),
            Err(TryRecvError::Empty) => Opening::Pending,
        }
    }

    /// Hands over a canvas, if the one before has come back. Does not wait.
    pub(super) fn give(&self, job: Job) -> Result<(), Canvas> {
        self.jobs.try_send(job).map_err(|lost| match lost {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job.canvas,
        })
    }

    /// Waits for the canvas that was handed over.
    pub(super) fn wait(&mut self, bell: &Bell) -> Handed {
        for _ in 0..WAITS {
            let until = Instant::now() + STALLED_AFTER / WAITS;
            match bell.wait_until(until, || self.has_answered().then_some(())) {
                Woken::Found(()) => {
                    return match self.listen() {
                        Heard::Back(answer) => Handed::Back(answer),
                        Heard::Nothing | Heard::Gone => Handed::Stalled,
                    };
                }
                Woken::Stopping => return Handed::Stopping,
                Woken::TimedOut => {}
            }
        }
        Handed::Stalled
    }

    /// Whether there is anything to be heard of the canvas that was handed over.
    pub(super) fn has_answered(&mut self) -> bool {
        if self.heard.is_none() {
            self.heard = match self.said.try_recv() {
                Err(TryRecvError::Empty) => None,
                heard => Some(heard),
            };
        }
        self.heard.is_some()
    }

    /// What has become of the canvas that was handed over. Does not wait.
    pub(super) fn listen(&mut self) -> Heard {
        match self.has_answered().then(|| self.heard.take()).flatten() {
            None => Heard::Nothing,
            Some(Ok(Said::Back(answer))) => Heard::Back(answer),
            Some(_) => Heard::Gone,
        }
    }
}

/// The encoding thread's.
struct Mouth {
    say: SyncSender<Said>,
    bell: Arc<Bell>,
}

impl Mouth {
    /// Never waits: nothing is said before the last thing was heard, but for what nobody will hear.
    fn say(&self, said: Said) -> bool {
        let heard = self.say.try_send(said).is_ok();
        self.bell.ring();
        heard
    }
}

fn run(
    mouth: &Mouth,
    jobs: &Receiver<Job>,
    mut bitrate: Bitrate,
    open: impl FnOnce() -> Result<Box<dyn Encode>, OpenError>,
) {
    let mut encoder = match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(encoder)) => encoder,
        Ok(Err(error)) => {
            mouth.say(Said::NotOpen(error));
            return;
        }
        Err(panic) => {
            mouth.say(Said::Panicked(panic));
            return;
        }
    };
    if !mouth.say(Said::Open(encoder.name())) {
        return;
    }
    while let Ok(job) = jobs.recv() {
        let begun = Instant::now();
        let coded = catch_unwind(AssertUnwindSafe(|| {
            if job.bitrate != bitrate && !encoder.set_bitrate(job.bitrate) {
                return Coded::CannotChange;
            }
            bitrate = job.bitrate;
            encoder.set_halves(job.halves);
            match encoder.encode(&job.canvas, job.force_idr, job.time) {
                Ok(Some(encoded)) => Coded::Unit(encoded),
                Ok(None) => Coded::LeftOut,
                Err(error) => Coded::Failed(error),
            }
        }));
        let coded = coded.unwrap_or_else(Coded::Panicked);
        let answer = Answer { canvas: job.canvas, coded, took: begun.elapsed() };
        if !mouth.say(Said::Back(answer)) {
            return;
        }
    }
}

pub(super) fn gone() -> Box<dyn Any + Send> {
    Box::new("the encoding thread has ended by itself")
}

/// Encoders that are not used any more: told to end, and joined when they have. A few that do not end are borne; for more
/// of them there is no room.
#[derive(Default)]
pub(super) struct Retired(Vec<Leaving>);

struct Leaving {
    /// Closed by the thread as its last deed.
    said: Receiver<Said>,
    thread: JoinHandle<()>,
}

/// Each of them may hold a canvas, an encoder and a driver's resources.
const MOST_RETIRED: usize = 4;

impl Retired {
    /// Has an encoder end, by taking away what it listens to, without waiting for it.
    pub(super) fn push(&mut self, Encoding { said, thread, .. }: Encoding) {
        self.0.push(Leaving { said, thread });
    }

    /// Joins those that have ended. Whether there is room for one more.
    pub(super) fn reap(&mut self) -> bool {
        while let Some(ended) = self.0.iter().position(|leaving| leaving.thread.is_finished()) {
            join(self.0.swap_remove(ended).thread);
        }
        self.0.len() < MOST_RETIRED
    }

    /// Joins all that end before `until`. The others are left to themselves: their drivers' calls cannot be ended from
    /// here, and the process's end ends them.
    pub(super) fn join(self, until: Instant) {
        for Leaving { said, thread } in self.0 {
            let has_ended = loop {
                match said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(_) => {}
                    Err(RecvTimeoutError::Disconnected) => break true,
                    Err(RecvTimeoutError::Timeout) => break false,
                }
            };
            match has_ended {
                true => join(thread),
                false => tracing::warn!("an encoder does not return; its thread is left behind"),
            }
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("an encoding thread had panicked");
    }
}
