//! An encoder that does not come back, or comes back with nothing.

use super::*;
use crate::wall::bell::Bell;
use crate::wall::encoding::Retired;
use parking_lot::Condvar;

/// A door that encoders stand before until it is opened.
#[derive(Default)]
pub(super) struct Door {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
}

impl Door {
    pub(super) fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock();
        while !*open {
            self.opened.wait(&mut open);
        }
    }

    /// How many have come to it.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }
}

/// Opened in the end whatever happens: threads that wait for it would outlive the test.
pub(super) struct Opens(pub(super) Arc<Door>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Encoders of which the first `blocking` obey once and then stand before the door; and how many were opened.
fn blocking(name: &str, blocking: usize, sink: &Arc<Keeps>) -> (Wall, Opens, Arc<AtomicUsize>) {
    let (door, opened) = (Arc::new(Door::default()), Arc::new(AtomicUsize::new(0)));
    let (before, count) = (Arc::clone(&door), Arc::clone(&opened));
    let open = move |_| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        let (blocks, door) = (count.fetch_add(1, Ordering::Relaxed) < blocking, Arc::clone(&before));
        let mut canvases = 0;
        let look = move |_: &Canvas, _| {
            canvases += 1;
            if blocks && canvases > 1 {
                door.pass();
            }
        };
        Ok(Box::new(Looks(look, false)))
    };
    let config = WallConfig { name: name.into(), ..config(60) };
    let wall = start_with(config, changing(), vec![sink.clone()], open).expect("starts");
    (wall, Opens(door), opened)
}

#[test]
fn p04_an_encoder_that_keeps_a_canvas_is_replaced_and_the_clock_goes_on() {
    let sink = Keeps::wanted();
    let (wall, door, opened) = blocking("p04a", 1, &sink);
    wait_until("the encoder has stalled", || door.0.waiting() == 1);
    let view = wall.view();
    let before = sink.count();
    // Nobody waits for it.
    let asked = Instant::now();
    let (_stats, _layout) = (view.stats(asked), view.layout());
    view.rearrange(config(60).layout, changing()).expect("fits");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());

    wait_until("units come again", || sink.count() >= before + 5);
    let units = sink.units.lock().clone();
    assert!(units[before].key, "it begins anew");
    let [stalled, again] = [before - 1, before].map(|i| units[i].canvas_time);
    let gap = again.as_duration() - stalled.as_duration();
    assert!(gap >= Duration::from_secs(2), "canvas time went on: {gap:?}");
    let now = stats(&wall);
    assert!(now.ticks_missed >= 60, "{now:?}");
    assert_eq!((now.encoder_stalls, opened.load(Ordering::Relaxed), now.panics), (1, 2, 0));
    assert_eq!(view.health(), Ok(()), "once is not twice");

    assert_eq!(threads("encode-p04a"), 2, "the first one is left behind");
    door.0.open();
    wait_until("it is joined when it returns", || threads("encode-p04a") == 1);
    drop(wall);
    assert_eq!(threads("encode-p04a") + threads("wall-p04a"), 0);
}

#[test]
fn p04_a_second_stall_in_a_row_is_said_until_a_key_frame_comes() {
    let sink = Keeps::wanted();
    let (wall, _door, _opened) = blocking("p04b", 2, &sink);
    let view = wall.view();
    wait_until("the wall has failed", || view.health().is_err());
    let failure = view.health().expect_err("failed");
    assert_eq!(
        failure.to_string(),
        "the encoder looks stalled 2 times in a row; at last it kept a canvas for 2 s"
    );
    assert_eq!(stats(&wall).encoder_stalls, 2);
    wait_until("the third one works", || view.health().is_ok());
    let before = sink.count();
    wait_until("units come", || sink.count() >= before + 5);
}

#[test]
fn p04_a_slow_encoder_is_waited_for() {
    let sink = Keeps::wanted();
    let (wall, door, opened) = blocking("p04c", 1, &sink);
    wait_until("the encoder has stopped", || door.0.waiting() == 1);
    std::thread::sleep(Duration::from_secs(1));
    door.0.open();
    let before = sink.count();
    wait_until("units come", || sink.count() >= before + 5);
    assert_eq!((stats(&wall).encoder_stalls, opened.load(Ordering::Relaxed)), (0, 1));
    assert!(stats(&wall).ticks_missed >= 30, "{:?}", stats(&wall));
    assert_eq!(sink.keys().iter().filter(|&&key| key).count(), 1, "the stream goes on");
}

#[test]
fn p04_a_wall_whose_encoder_never_returns_can_be_stopped() {
    let sink = Keeps::wanted();
    let (wall, door, _opened) = blocking("p04d", 1, &sink);
    wait_until("the encoder has stalled", || door.0.waiting() == 1);
    let asked = Instant::now();
    wall.stop();
    // Half a second is given to it.
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!((threads("wall-p04d"), threads("encode-p04d")), (0, 1));
    drop(door);
    wait_until("it ends when it returns", || threads("encode-p04d") == 0);
}

#[test]
fn p04_an_encoder_that_gives_nothing_for_two_seconds_of_canvases_is_replaced() {
    let sink = Keeps::wanted();
    let script = [Script::Obey].into_iter().chain([Script::Skip; 120]).collect();
    let (wall, opened) = scripted(script, &sink);
    wait_until("units come again", || sink.count() >= 5);
    let stats = stats(&wall);
    assert_eq!((stats.encoder_stalls, opened.load(Ordering::Relaxed)), (1, 2));
    assert_eq!(stats.encode_errors, 120, "each canvas that was left out is counted");
    assert_eq!(sink.keys()[..3], [true, true, false]);
}

#[test]
fn p04_an_encoder_that_never_gives_anything_fails_the_wall() {
    let sink = Keeps::wanted();
    let (wall, _opened) = scripted(vec![Script::Skip; 100_000], &sink);
    wait_until("the wall has failed", || wall.view().health().is_err());
    let failure = wall.view().health().expect_err("failed").to_string();
    assert!(failure.ends_with("it made no key frame of 25 canvases"), "{failure}");
}

#[test]
fn p04_an_encoder_that_does_not_open_holds_up_nothing() {
    let sink = Keeps::wanted();
    let (door, opened) = (Opens(Arc::default()), AtomicUsize::new(0));
    let before = Arc::clone(&door.0);
    let open = move |_| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        let first = opened.fetch_add(1, Ordering::Relaxed) == 0;
        if first {
            return Ok(Box::new(Scripted(Arc::new(Mutex::new(vec![Script::Obey, Script::Fail])), false)));
        }
        before.pass();
        panic!("it does not open in the end, either, as the test wants");
    };
    let wall = start_with(config(60), changing(), vec![sink], open).expect("starts");
    wait_until("the second one is being opened", || door.0.waiting() == 1);
    let before = stats(&wall);
    wait_until("it has stalled", || stats(&wall).encoder_stalls == 1);
    let after = stats(&wall);
    let (kept, missed) = (after.ticks - before.ticks, after.ticks_missed - before.ticks_missed);
    assert!(kept > 4 * missed, "{kept} ticks were kept, {missed} missed");
    assert!(wall.view().last_progress() <= before.last_progress, "viewers see a frozen picture");
}

#[test]
fn few_encoders_that_do_not_return_are_borne() {
    let door = Opens(Arc::default());
    let bell = Arc::new(Bell::default());
    let mut retired = Retired::default();
    for number in 0..4 {
        assert!(retired.reap(), "there is room for {number}");
        let before = Arc::clone(&door.0);
        let open = move || -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
            before.pass();
            Ok(Box::new(Looks(|_: &Canvas, _| {}, false)))
        };
        let WallConfig { size, fps, bitrate, .. } = config(60);
        let encoding =
            Encoding::start("borne", EncoderConfig { size, fps, bitrate }, Arc::clone(&bell), open);
        retired.push(encoding.expect("a thread"));
    }
    assert!(!retired.reap(), "four are enough");
    door.0.open();
    wait_until("there is room again", || retired.reap());
    retired.join(Instant::now() + PATIENCE);
    assert_eq!(threads("encode-borne"), 0);
}
