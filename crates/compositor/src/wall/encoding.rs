//! The thread `encode-<wall>`: one encoder, opened, used and closed there, so that what it waits for holds up nobody.
//!
//! The wall's thread hands over the canvas, moved and not copied, and waits for it and what was made of it; but not for
//! ever. An encoder (a driver, rather) that does not come back is left behind with the canvas that it holds, and counted
//! among the [`Retired`]. When to give up, and what then, is decided in [`super::run`].

use super::bell::{Bell, Woken};
use crate::canvas::Canvas;
use crate::encoder::{Encode, EncodeError, Encoded, EncoderConfig, OpenError};
use crate::geometry::Bitrate;
use crate::tick::CanvasTime;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
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

/// What comes of handing over a canvas.
pub(super) enum Handed {
    Back(Canvas, Coded),
    /// No answer in [`STALLED_AFTER`]. The canvas is lost.
    Stalled,
    /// The wall is to end. The canvas is lost.
    Stopping,
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
    thread: JoinHandle<()>,
}

enum Said {
    Open(&'static str),
    NotOpen(OpenError),
    Panicked(Box<dyn Any + Send>),
    Back(Canvas, Coded),
}

impl Encoding {
    /// Starts the thread, on which `open` is called. `bell` is rung whenever there is something to be found.
    pub(super) fn start(
        wall: &str,
        config: EncoderConfig,
        bell: Arc<Bell>,
        open: impl FnOnce() -> Result<Box<dyn Encode>, OpenError> + Send + 'static,
    ) -> Result<Encoding, std::io::Error> {
        // One canvas is on its way at a time; the thread says that it is open before it takes the first.
        let (jobs, received) = sync_channel(1);
        let (say, said) = sync_channel(2);
        let mouth = Mouth { say, bell };
        let bitrate = config.bitrate;
        let span = tracing::error_span!("wall", name = wall);
        let thread = std::thread::Builder::new().name(format!("encode-{wall}")).spawn(move || {
            let _span = span.entered();
            run(&mouth, &received, bitrate, open);
        })?;
        Ok(Encoding { config, jobs, said, thread })
    }

    /// Whether it is open by now. Asked until it is, and not again.
    pub(super) fn poll_open(&self) -> Opening {
        match self.said.try_recv() {
            Ok(Said::Open(name)) => Opening::Open(name),
            Ok(Said::NotOpen(error)) => Opening::Failed(error),
            Ok(Said::Panicked(panic)) => Opening::Panicked(panic),
            Ok(Said::Back(..)) | Err(TryRecvError::Disconnected) => Opening::Panicked(gone()),
            Err(TryRecvError::Empty) => Opening::Pending,
        }
    }

    /// Has a canvas encoded, and waits for it.
    pub(super) fn encode(&self, bell: &Bell, job: Job) -> Handed {
        if let Err(lost) = self.jobs.send(job) {
            return Handed::Back(lost.0.canvas, Coded::Panicked(gone()));
        }
        for _ in 0..WAITS {
            let until = Instant::now() + STALLED_AFTER / WAITS;
            let heard = bell.wait_until(until, || match self.said.try_recv() {
                Err(TryRecvError::Empty) => None,
                heard => Some(heard),
            });
            match heard {
                Woken::Found(Ok(Said::Back(canvas, coded))) => return Handed::Back(canvas, coded),
                Woken::Found(_) => return Handed::Stalled,
                Woken::Stopping => return Handed::Stopping,
                Woken::TimedOut => {}
            }
        }
        Handed::Stalled
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
        let coded = catch_unwind(AssertUnwindSafe(|| {
            if job.bitrate != bitrate && !encoder.set_bitrate(job.bitrate) {
                return Coded::CannotChange;
            }
            bitrate = job.bitrate;
            match encoder.encode(&job.canvas, job.force_idr, job.time) {
                Ok(Some(encoded)) => Coded::Unit(encoded),
                Ok(None) => Coded::LeftOut,
                Err(error) => Coded::Failed(error),
            }
        }));
        let coded = coded.unwrap_or_else(Coded::Panicked);
        if !mouth.say(Said::Back(job.canvas, coded)) {
            return;
        }
    }
}

fn gone() -> Box<dyn Any + Send> {
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

    /// Joins all that end in `patience`, together. The others are left to themselves: their drivers' calls cannot be
    /// ended from here, and the process's end ends them.
    pub(super) fn join(self, patience: Duration) {
        let until = Instant::now() + patience;
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
