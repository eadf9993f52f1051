//! A canvas on which nothing changes.

use super::*;

/// A tile that shows what it is told to.
struct Told(Arc<AtomicUsize>);

impl TileSource for Told {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let generation = self.0.load(Ordering::Relaxed) as u64;
        paint(Some(picture(&[generation as u8; 64], generation)).into());
    }
}

fn told(sinks: Vec<Arc<dyn Sink>>) -> (Wall, Arc<AtomicUsize>) {
    let generation = Arc::new(AtomicUsize::new(1));
    let tiles: Vec<Box<dyn TileSource>> = vec![Box::new(Told(Arc::clone(&generation)))];
    (Wall::start(config(60), tiles, sinks).expect("starts"), generation)
}

/// Waits until the encoder is left alone but for a heartbeat a second.
fn wait_until_still(wall: &Wall) {
    let from = stats(wall).canvases_unchanged;
    wait_until("the wall is still", || stats(wall).canvases_unchanged >= from + 45);
}

#[test]
fn what_does_not_change_is_encoded_once_a_second_and_what_does_at_once() {
    let sink = Keeps::wanted();
    let (wall, generation) = told(vec![sink.clone()]);
    wait_until_still(&wall);
    let (before, at) = (sink.count(), stats(&wall));
    assert!(before >= 10, "the picture got sharper first: {before} units");
    wait_until("two seconds pass", || stats(&wall).canvases_unchanged >= at.canvases_unchanged + 118);
    let units = sink.units.lock()[before..].to_vec();
    // Two heartbeats, and perhaps the key frame of every four seconds with 200 ms that make it sharp again.
    assert!((1..=18).contains(&units.len()), "{} units in two seconds", units.len());
    assert!(stats(&wall).fps > 20.0, "the clock goes on");
    assert!(wall.view().last_progress() > at.last_progress, "a still wall is not a dead one");

    generation.store(2, Ordering::Relaxed);
    let before = sink.count();
    wait_until("the change is encoded, and better and better", || sink.count() >= before + 20);
    let units = sink.units.lock()[before..].to_vec();
    let ticks: Vec<u64> = units.iter().map(|unit| unit.canvas_time.tick()).collect();
    assert!(ticks[15] - ticks[0] < 40, "without a pause: {ticks:?}");
}

#[test]
fn a_viewer_of_a_still_wall_gets_a_key_frame_at_once_and_whoever_asks_does_too() {
    let (first, second) = (Keeps::wanted(), Arc::new(Keeps::default()));
    let (wall, _generation) = told(vec![first.clone(), second.clone()]);
    wait_until_still(&wall);
    let unchanged = stats(&wall).canvases_unchanged;
    second.want(true);
    wait_until("a unit comes", || second.count() >= 1);
    assert!(second.keys()[0], "{:?}", second.keys());
    assert!(stats(&wall).canvases_unchanged < unchanged + 30, "before the next heartbeat");

    wait_until_still(&wall);
    let (keys, unchanged) = (stats(&wall).keyframes, stats(&wall).canvases_unchanged);
    wall.view().request_key_frame();
    wait_until("a key frame comes", || stats(&wall).keyframes > keys);
    assert!(stats(&wall).canvases_unchanged < unchanged + 30, "before the next heartbeat");
}

#[test]
fn another_layout_is_a_change() {
    let sink = Keeps::wanted();
    let (wall, _generation) = told(vec![sink.clone()]);
    wait_until_still(&wall);
    let before = sink.count();
    wall.view().rearrange(config(60).layout, vec![]).expect("fits");
    wait_until("it is encoded", || sink.count() >= before + 10);
}

/// CPU seconds of the threads of this name.
pub(super) fn cpu(name: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let seconds = tasks.filter_map(|task| {
        let read = |file| std::fs::read_to_string(task.path().join(file)).ok();
        let times =
            read("schedstat").filter(|_| read("comm").is_some_and(|found| found.trim_end() == name))?;
        times.split(' ').next()?.parse::<f64>().ok().map(|nanoseconds| nanoseconds / 1e9)
    });
    seconds.sum()
}

#[test]
fn a_still_wall_costs_a_fraction_of_encoding_the_same_picture_at_every_tick() {
    /// The same picture, told to be another one where it is to be encoded.
    struct Same(Vec<u8>, u64, bool);
    impl TileSource for Same {
        fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
            self.1 += u64::from(self.2);
            let (planes, strides) = ([&self.0[..]; 3], [640, 320, 320]);
            let picture = picture(&[0; 64], self.1);
            paint(Some(PictureView { width: 640, height: 360, planes, strides, ..picture }).into());
        }
    }
    let per_second = |name: &str, told_to_be_new: bool| {
        let size = CanvasSize::new(640, 360).expect("a valid size");
        let (layout, name) = (Layout::grid(size, 1).expect("a grid"), name.to_owned());
        // Enough for every canvas: none is left out for want of bits.
        let bitrate = Bitrate::new(4_000_000).expect("a valid bitrate");
        let config = WallConfig { size, layout, bitrate, name: name.clone(), ..config(25) };
        let samples = (0..640 * 360_u32).map(|i| (i * i / 640 % 200) as u8).collect();
        let tiles: Vec<Box<dyn TileSource>> = vec![Box::new(Same(samples, 1, told_to_be_new))];
        let wall = Wall::start(config, tiles, vec![Keeps::wanted()]).expect("starts");
        wait_ticks(&wall, 65);
        let used = || cpu(&format!("encode-{name}"));
        let before = used();
        wait_ticks(&wall, 50);
        (used() - before) / 2.0
    };
    let (every_tick, still) = (per_second("busy", true), per_second("still", false));
    assert!(still * 3.0 < every_tick, "still {still} cores, encoding at every tick {every_tick} cores");
}
