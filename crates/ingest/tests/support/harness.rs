//! A wall of two cameras, one hostile and one healthy, looked at 25 times a second for the whole test. At its end the
//! bars that hold for every row are checked:
//!
//! - B1: the last picture stays until `black_after`, black comes within 0.2 s of it, judged by what was seen.
//! - B2, B3: how long the camera was left alone between two connections, and never two at once.
//! - B5: the healthy camera showed 95 % of its pictures and was never black.
//! - B6: no look waited, whatever the other camera did.
//! - Memory, tasks, threads and sockets: bounded, and all given back by `Camera::stop`.
//!
//! B4 (the picture comes back) is what each test waits for by itself. Times are the product's own but for `silence`
//! and `black_after`, 2 s here instead of 10 s where a test does not say otherwise.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use wallcast_ingest::{Camera, CameraConfig, CameraStats, CameraView, Frame, SourceUrl, TileSize, TileState};

use super::film::Film;
use super::hostile::{Event, Hostile, What};
use super::sockets;

pub(crate) const SCALED: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(40);

/// Both cameras are shown as large as a wall of two would.
const TILE: TileSize = TileSize::new(640, 360);

/// The one place that knows how a wall looks.
fn look(
    view: &CameraView,
    now: Instant,
    black_after: Duration,
) -> (TileState, Option<String>, Option<Arc<Frame>>) {
    let tile = view.tile(now, black_after, TILE);
    (tile.status.state, tile.status.reason.map(|reason| reason.to_string()), tile.frame)
}

/// What a test sets besides the camera's script.
pub(crate) struct Setting {
    pub(crate) black_after: Duration,
    pub(crate) login: &'static str,
    pub(crate) url: Option<String>,
    pub(crate) change: fn(CameraConfig) -> CameraConfig,
    /// Growth of the whole process, at any moment. Tests of one program run side by side.
    pub(crate) max_growth_mib: usize,
    pub(crate) ladder: Ladder,
    /// To the camera at once. The last one may wait for the answer to its TEARDOWN, a second at most.
    pub(crate) max_connections: usize,
}

/// What the waits between two connections must be like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ladder {
    /// 1, 1, 2, 5, 10, 30 s, ±20 %, from the beginning after a session of 10 s.
    Steps,
    /// The camera goes on pouring after Wallcast has left, so its own end says nothing: connections are no closer to each
    /// other than the steps.
    BetweenConnections,
    /// As the test itself checks.
    Own,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            black_after: SCALED,
            login: "",
            url: None,
            change: |config| config,
            max_growth_mib: 200,
            ladder: Ladder::Steps,
            max_connections: 1,
        }
    }
}

/// The runtime of one test's cameras: whatever tasks it has are theirs.
struct Background(Option<Runtime>);

impl Drop for Background {
    /// Without waiting, which is not allowed inside of another runtime.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A test that runs.
pub(crate) struct Trial {
    name: String,
    setting: Setting,
    faulty: Camera,
    healthy: Camera,
    healthy_camera: Hostile,
    watcher: Option<JoinHandle<()>>,
    log: Arc<Log>,
    began: Instant,
    runtime: Background,
    address: std::net::SocketAddr,
}

/// One look at one camera.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    pub(crate) state: TileState,
    pub(crate) reason: Option<String>,
    pub(crate) sequence: Option<u64>,
    pub(crate) size: Option<(u32, u32)>,
    pub(crate) decoded_at: Option<Instant>,
    took: Duration,
}

#[derive(Default)]
struct Log {
    stop: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default, Clone)]
struct Seen {
    faulty: Vec<Look>,
    healthy: Vec<Look>,
    /// How much later than asked for the looking thread woke up: the machine's noise.
    overslept: Duration,
    first_memory: usize,
    most_memory: usize,
}

impl Trial {
    /// Starts a camera on this simulated one, a healthy one beside it, and the looking; waits until the healthy
    /// camera is live.
    pub(crate) async fn start(name: &str, camera: &Hostile) -> Self {
        Self::start_with(name, camera, Setting::default()).await
    }

    pub(crate) async fn start_with(name: &str, camera: &Hostile, setting: Setting) -> Self {
        let build =
            || Builder::new_multi_thread().worker_threads(2).thread_name("wallcast").enable_all().build();
        let runtime = Background(Some(build().expect("a runtime")));
        let healthy_camera = Hostile::showing(Film::h264()).await;
        let (faulty_name, healthy_name) = (name.to_owned(), format!("{name}-ok"));
        let config = |name: &str, url: &str| {
            let source = SourceUrl::parse(url).expect("a URL");
            CameraConfig { silence: setting.black_after, ..CameraConfig::new(name, source) }
        };
        let start =
            |config| Camera::start(config, runtime.0.as_ref().expect("runs").handle()).expect("FFmpeg");
        let healthy = start(config(&healthy_name, &healthy_camera.url("")));
        let log = Arc::new(Log::default());
        let give_up = Instant::now() + Duration::from_secs(20);
        while look(&healthy.view(), Instant::now(), SCALED).0 != TileState::Live {
            assert!(Instant::now() < give_up, "{name}: the healthy camera does not start");
            tokio::time::sleep(TICK).await;
        }
        let url = setting.url.clone().unwrap_or_else(|| camera.url(setting.login));
        let faulty = start((setting.change)(config(&faulty_name, &url)));
        let (views, black_after, written) =
            ((faulty.view(), healthy.view()), setting.black_after, log.clone());
        let watch = move || watch(&views.0, &views.1, black_after, &written);
        let watcher = std::thread::Builder::new().name("looks".into()).spawn(watch).expect("a thread");
        Self {
            name: faulty_name,
            setting,
            faulty,
            healthy,
            healthy_camera,
            watcher: Some(watcher),
            log,
            began: Instant::now(),
            runtime,
            address: camera.address,
        }
    }

    pub(crate) fn view(&self) -> CameraView {
        self.faulty.view()
    }

    pub(crate) fn stats(&self) -> CameraStats {
        self.faulty.view().stats(Instant::now())
    }

    pub(crate) fn looks(&self) -> Vec<Look> {
        self.log.seen.lock().expect("no panic").faulty.clone()
    }

    pub(crate) fn last(&self) -> Option<Look> {
        self.log.seen.lock().expect("no panic").faulty.last().cloned()
    }

    /// Waits for such a look, and fails with the last one.
    #[track_caller]
    pub(crate) fn until(
        &self,
        what: &str,
        seconds: u64,
        wanted: impl Fn(&Look) -> bool,
    ) -> impl Future<Output = Look> {
        let caller = std::panic::Location::caller();
        async move {
            let give_up = Instant::now() + Duration::from_secs(seconds);
            loop {
                let last = self.last();
                match last {
                    Some(look) if wanted(&look) => return look,
                    _ => {}
                }
                let stats = self.stats();
                assert!(Instant::now() < give_up, "{}: {what}: {last:?} {stats:?} ({caller})", self.name);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    #[track_caller]
    pub(crate) fn until_live(&self) -> impl Future<Output = Look> {
        self.until("live", 20, |look| look.state == TileState::Live)
    }

    /// Waits until so many more frames are decoded than now.
    #[track_caller]
    pub(crate) fn until_frames(&self, more: u64, seconds: u64) -> impl Future<Output = Look> {
        let wanted = self.stats().frames_decoded + more;
        self.until("more frames", seconds, move |_| self.stats().frames_decoded >= wanted)
    }

    /// Waits until the camera is visited for the `number`th time (from 1) and shows a picture of that visit.
    #[track_caller]
    pub(crate) fn until_live_in_visit(
        &self,
        camera: &Hostile,
        number: usize,
        seconds: u64,
    ) -> impl Future<Output = Look> {
        let journal = camera.journal.clone();
        self.until("live in a later visit", seconds, move |look| {
            let connects = journal.times(|what| *what == What::Connected);
            let since = connects.get(number - 1);
            look.state == TileState::Live
                && since.is_some_and(|since| look.decoded_at.is_some_and(|at| at > *since))
        })
    }

    /// Stops both cameras and checks the bars.
    #[track_caller]
    pub(crate) fn finish(self, camera: &Hostile) -> impl Future<Output = Vec<Look>> {
        let caller = std::panic::Location::caller();
        async move {
            let label = format!("{} ({caller})", self.name);
            let ended = Instant::now();
            let watched = ended.duration_since(self.began).as_secs_f64();
            let healthy = self.healthy.view().stats(ended);
            self.log.stop.store(true, Relaxed);
            let Self {
                faulty, healthy: other, healthy_camera, mut watcher, log, setting, name, runtime, ..
            } = self;
            let joined = tokio::task::spawn_blocking(move || watcher.take().map(JoinHandle::join)).await;
            assert!(matches!(joined, Ok(Some(Ok(())))), "{label}: looking panicked");
            let seen = log.seen.lock().expect("no panic").clone();
            check_looks(&label, &seen, setting.black_after);
            check_healthy(&label, &seen, &healthy, &healthy_camera, watched);
            check_ladder(&label, &camera.journal.events(), setting.ladder);
            assert!(
                camera.journal.most_connections() <= setting.max_connections,
                "{label}: {} connections at once: {:?} {:?}",
                camera.journal.most_connections(),
                camera.journal.events(),
                seen.faulty.last()
            );
            let grown = seen.most_memory.saturating_sub(seen.first_memory) >> 20;
            assert!(grown <= setting.max_growth_mib, "{label}: the process grew by {grown} MiB");

            let began = Instant::now();
            faulty.stop().await;
            assert!(began.elapsed() < Duration::from_secs(3), "{label}: stopping took {:?}", began.elapsed());
            other.stop().await;
            check_nothing_left(&label, &name, self.address, &runtime).await;
            seen.faulty
        }
    }
}

/// Whether the tile kept a picture from its first one on.
pub(crate) fn never_black_again(looks: &[Look]) -> bool {
    looks.iter().map(|look| look.sequence.is_some()).skip_while(|shown| !shown).all(|shown| shown)
}

fn watch(faulty: &CameraView, healthy: &CameraView, black_after: Duration, log: &Log) {
    let mut due = Instant::now();
    let mut first = true;
    while !log.stop.load(Relaxed) {
        let overslept = Instant::now().saturating_duration_since(due);
        let looks = [faulty, healthy].map(|view| {
            let at = Instant::now();
            let (state, reason, frame) = look(view, at, black_after);
            let took = at.elapsed();
            let frame = frame.as_ref();
            Look {
                at,
                state,
                reason,
                sequence: frame.map(|frame| frame.sequence()),
                size: frame.map(|frame| (frame.width(), frame.height())),
                decoded_at: frame.map(|frame| frame.decoded_at()),
                took,
            }
        });
        let memory = resident();
        {
            let mut seen = log.seen.lock().expect("no panic");
            let [one, other] = looks;
            seen.faulty.push(one);
            seen.healthy.push(other);
            seen.overslept = seen.overslept.max(overslept);
            seen.most_memory = seen.most_memory.max(memory);
            if first {
                seen.first_memory = memory;
                first = false;
            }
        }
        due = (due + TICK).max(Instant::now());
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Bytes of memory this process really has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}

/// B1 and B6.
fn check_looks(label: &str, seen: &Seen, black_after: Duration) {
    const TOLERANCE: Duration = Duration::from_millis(200);
    let slack = TOLERANCE + TICK + seen.overslept;
    let limit = Duration::from_millis(100).max(2 * seen.overslept);
    // When the picture that is newest came: between the look before it was seen and the one that saw it.
    let mut newest: Option<(u64, Instant, Instant)> = None;
    let mut before = None;
    for look in &seen.faulty {
        assert!(look.took <= limit, "{label}: B6: a look took {:?}", look.took);
        match (look.sequence, newest) {
            (Some(sequence), Some((known, ..))) if sequence == known => {}
            (Some(sequence), _) => newest = Some((sequence, before.unwrap_or(look.at), look.at)),
            (None, _) => {}
        }
        if let Some((sequence, earliest, latest)) = newest {
            match look.sequence {
                Some(_) => {
                    let age = look.at - latest;
                    assert!(
                        age <= black_after + slack,
                        "{label}: B1: frame {sequence} still shown after {age:?}"
                    );
                }
                None => {
                    let age = look.at - earliest;
                    assert!(
                        age + slack >= black_after,
                        "{label}: B1: black though frame {sequence} came {age:?} ago"
                    );
                }
            }
        }
        let is_black = matches!(look.state, TileState::Connecting | TileState::Offline);
        assert_eq!(is_black, look.sequence.is_none(), "{label}: {look:?}");
        before = Some(look.at);
    }
}

/// B5, and B6 for the wall.
fn check_healthy(label: &str, seen: &Seen, stats: &CameraStats, camera: &Hostile, watched: f64) {
    let sent = camera.journal.pictures() as f64;
    let decoded = stats.frames_decoded as f64;
    // Those on their way do not count, which are more of them on a machine that is late.
    let on_their_way = 5.0 + 25.0 * seen.overslept.as_secs_f64();
    assert!(
        decoded >= 0.95 * (sent - on_their_way),
        "{label}: B5: the healthy camera showed {decoded} of {sent} pictures"
    );
    // The simulated camera itself was not starved.
    assert!(sent >= 0.8 * 25.0 * watched, "{label}: the healthy camera sent {sent} pictures in {watched} s");
    assert_eq!(stats.reconnects, 0, "{label}: B5: the healthy camera was lost: {stats:?}");
    // A machine so busy that the simulated camera is late is no fault of Wallcast.
    let limit = Duration::from_millis(500)
        .max(camera.journal.longest_gap() + 2 * seen.overslept + Duration::from_millis(200));
    for look in &seen.healthy {
        let age = look.decoded_at.map(|at| look.at.saturating_duration_since(at));
        assert!(age.is_some_and(|age| age <= limit), "{label}: B5: the healthy camera was late: {look:?}");
        assert!(look.took <= Duration::from_millis(100).max(2 * seen.overslept), "{label}: B6: {look:?}");
    }
}

/// B2 and B3.
fn check_ladder(label: &str, events: &[Event], ladder: Ladder) {
    const STEPS: [f64; 6] = [1.0, 1.0, 2.0, 5.0, 10.0, 30.0];
    let mut step = 0;
    let connects: Vec<&Event> = events.iter().filter(|event| event.what == What::Connected).collect();
    for pair in connects.windows(2) {
        let is_end =
            |event: &&Event| event.visit == pair[0].visit && matches!(event.what, What::Closed { .. });
        let closed = match ladder {
            Ladder::Steps => events.iter().find(is_end).filter(|closed| closed.at <= pair[1].at),
            Ladder::BetweenConnections => Some(pair[0]),
            Ladder::Own => None,
        };
        let Some(closed) = closed else { continue };
        if closed.at - pair[0].at >= Duration::from_secs(10) {
            step = 0;
        }
        let waited = (pair[1].at - closed.at).as_secs_f64();
        // What the camera noticed late looks like a wait that was short.
        let slack = if closed.what == (What::Closed { by_camera: true }) { 0.15 } else { 0.5 };
        let least = 0.8 * STEPS[step] - slack;
        assert!(waited >= least, "{label}: B3: connected again after {waited:.2} s, not before {least:.2} s");
        if step == 0 && ladder == Ladder::Steps {
            assert!(waited <= 1.5, "{label}: B2: connected again after {waited:.2} s");
        }
        step = (step + 1).min(STEPS.len() - 1);
    }
}

async fn check_nothing_left(label: &str, name: &str, camera: std::net::SocketAddr, runtime: &Background) {
    let left = || {
        let threads = ["", "-ok"].map(|end| thread_name(&format!("decode-{name}{end}")));
        let tasks = runtime.0.as_ref().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        let sockets = sockets::connected_to(camera);
        let thread = threads.into_iter().find(|name| has_thread(name));
        match (thread, sockets, tasks) {
            (None, 0, 0) => None,
            left => Some(left),
        }
    };
    let give_up = Instant::now() + Duration::from_secs(2);
    while let Some(left) = left() {
        assert!(Instant::now() < give_up, "{label}: left after stop (thread, sockets, tasks): {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Linux keeps 15 bytes.
fn thread_name(name: &str) -> String {
    name.chars().take(15).collect()
}

fn has_thread(name: &str) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let has = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    tasks.flatten().any(has)
}
