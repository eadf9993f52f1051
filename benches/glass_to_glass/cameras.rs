//! Cameras that play films and remember when they sent which picture.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wallcast::auth::{Auth, Authenticator};
use wallcast::demo::CameraSpec;
use wallcast::demo::film;
use wallcast::rtsp::{Mount, Mounts, RtspServer};
use wallcast_compositor::encoder::Encoded;

/// Four seconds: longer than any delay, so that a picture's number says when it was sent.
pub const FILM_PICTURES: u64 = 100;
const INTERVAL: Duration = Duration::from_millis(40);
const RTP_INTERVAL: u32 = 3_600;
/// How long pictures are held where a delay is to be found, and then not, and so on; in pictures. The first ones after a
/// change show the change.
const HELD_FOR: Duration = Duration::from_millis(40);
const BLOCK: usize = 50;
const CHANGING: usize = 10;
/// What may be held at a time, of all cameras.
const MOST_HELD: usize = 64;

/// What one camera sends.
pub struct Film {
    spec: CameraSpec,
    pictures: Vec<Encoded>,
}

impl Film {
    /// Of 1280x720 at 25 fps and 2 Mb/s.
    pub fn encode(number: u8) -> Self {
        let spec = CameraSpec::new(number).unwrap();
        Self { spec, pictures: film::encode(spec, FILM_PICTURES).unwrap() }
    }
}

/// Cameras on an RTSP server; each sends 25 pictures a second.
pub struct Cameras {
    pub urls: Vec<String>,
    /// When each camera's pictures were sent, in order, by the clock of 1970.
    sent: Arc<Mutex<Vec<Vec<Duration>>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _server: RtspServer,
}

impl Cameras {
    /// A picture is stamped and sent. Where they `hold`, those of every other two seconds are held for 40 ms in between.
    pub fn start(films: &[Film], hold: bool) -> Self {
        let mounts = Mounts::new();
        let count = films.len();
        let players: Vec<(Arc<Mount>, Vec<Encoded>)> = films
            .iter()
            .map(|film| {
                let mount = Mount::with_frame_rate(&film.spec.name(), 25.0, Box::new(|| {}));
                mounts.add(Arc::clone(&mount)).unwrap();
                (mount, film.pictures.clone())
            })
            .collect();
        let open = Arc::new(Authenticator::new(Auth::Open));
        let server = RtspServer::bind("127.0.0.1:0".parse().unwrap(), mounts, open).unwrap();
        let urls =
            films.iter().map(|film| format!("rtsp://{}/{}", server.local_addr(), film.spec.name())).collect();
        let sent = Arc::new(Mutex::new(vec![Vec::new(); count]));
        let stop = Arc::new(AtomicBool::new(false));
        let (line, held) = sync_channel::<(usize, usize, Instant)>(MOST_HELD);
        let (stamps, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let stamp = move || {
            let origin = Instant::now();
            for beat in 0.. {
                // Their clocks are spread evenly.
                let (number, camera) = (beat / count, beat % count);
                let due = origin + INTERVAL * beat as u32 / count as u32;
                sleep(due.saturating_duration_since(Instant::now()));
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let now = Instant::now();
                stamps.lock().unwrap()[camera].push(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
                let hold = if hold && is_in_held_block(number) { HELD_FOR } else { Duration::ZERO };
                line.send((camera, number, now + hold)).unwrap();
            }
        };
        let send = move || {
            for (camera, number, due) in held {
                sleep(due.saturating_duration_since(Instant::now()));
                let (mount, pictures) = &players[camera];
                let Encoded { data, key } = &pictures[number % pictures.len()];
                mount.push(data, *key, (number as u32).wrapping_mul(RTP_INTERVAL));
            }
        };
        let thread = |name: &str, body: Box<dyn FnOnce() + Send>| {
            Builder::new().name(name.to_owned()).spawn(body).unwrap()
        };
        let threads = vec![thread("cameras-stamp", Box::new(stamp)), thread("cameras-send", Box::new(send))];
        Self { urls, sent, stop, threads, _server: server }
    }

    /// How old the picture is at `at` of which a camera's marks say so many milliseconds, and its number.
    pub fn age(&self, camera: usize, millis: u32, at: Duration) -> Option<(Duration, usize)> {
        let sent = self.sent.lock().unwrap();
        let sent = sent.get(camera)?;
        let in_film = (u64::from(millis) * 25 + 500) / 1_000;
        let before = sent.partition_point(|sent| *sent <= at) as u64;
        // The last of them that is this picture of the film.
        let last = before.checked_sub(1)?;
        let back = (last + FILM_PICTURES - in_film % FILM_PICTURES) % FILM_PICTURES;
        let number = last.checked_sub(back)? as usize;
        Some((at.checked_sub(*sent.get(number)?)?, number))
    }
}

/// Whether pictures around this one were held, where cameras hold; none about a change.
pub fn was_held(number: usize) -> Option<bool> {
    (number % BLOCK >= CHANGING).then(|| is_in_held_block(number))
}

fn is_in_held_block(number: usize) -> bool {
    number / BLOCK % 2 == 1
}

impl Drop for Cameras {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}
