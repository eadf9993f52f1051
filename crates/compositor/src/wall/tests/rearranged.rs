//! Another layout while the wall runs.

use super::*;
use crate::fit::Fit;
use crate::layout::{Preset, Spacing};
use std::sync::Weak;

/// Shows one luma all over its tile, and tells when it is gone.
struct Flat {
    luma: [u8; 64],
    _alive: Arc<()>,
}

impl TileSource for Flat {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        paint(Some(picture(&self.luma, 1)).into());
    }
}

/// A layout whose tiles cover the canvas, of one to so many tiles, and sources of this luma for all of them.
fn arrangement(tiles: usize, luma: u8) -> (Layout, Vec<Box<dyn TileSource>>, Vec<Weak<()>>) {
    let size = config(60).size;
    let preset = match tiles {
        1 => Layout::grid(size, 1),
        2..=4 => Layout::preset(Preset::Pip, size, tiles, Spacing::default()),
        _ => Layout::preset(Preset::OnePlusFive, size, tiles, Spacing::default()),
    };
    let layout = preset.expect("there is room").with_fit(Fit::Stretch);
    let mut alive = Vec::new();
    let source = |_: &_| -> Box<dyn TileSource> {
        let token = Arc::new(());
        alive.push(Arc::downgrade(&token));
        Box::new(Flat { luma: [luma; 64], _alive: token })
    };
    let sources = layout.placements().iter().map(source).collect();
    (layout, sources, alive)
}

/// The lumas on each canvas that was encoded, without repeats.
type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

fn watched(first: (Layout, Vec<Box<dyn TileSource>>), sink: &Arc<Keeps>) -> (Wall, Seen) {
    let seen: Seen = Arc::default();
    let eyes = Arc::clone(&seen);
    let open = move |_| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        let eyes = Arc::clone(&eyes);
        let look = move |canvas: &Canvas, _| {
            let mut lumas = canvas.plane(0).to_vec();
            lumas.sort_unstable();
            lumas.dedup();
            eyes.lock().push(lumas);
        };
        Ok(Box::new(Looks(look, false)))
    };
    let (layout, sources) = first;
    let config = WallConfig { layout, ..config(60) };
    let wall = start_with(config, sources, vec![sink.clone()], open).expect("starts");
    (wall, seen)
}

#[test]
fn every_tile_changes_at_one_tick_and_no_canvas_shows_a_bit_of_both_or_of_the_background() {
    let sink = Keeps::wanted();
    let (layout, sources, mut before) = arrangement(1, 20);
    let (wall, seen) = watched((layout, sources), &sink);
    wait_until("the first is seen", || !seen.lock().is_empty());
    for (i, tiles) in [4, 1, 6, 3, 2, 6, 6, 1].into_iter().enumerate() {
        let (layout, sources, alive) = arrangement(tiles, 30 + i as u8);
        wall.view().rearrange(layout.clone(), sources).expect("fits");
        assert_eq!(*wall.view().layout(), layout);
        wait_until("it is seen", || seen.lock().last() == Some(&vec![30 + i as u8]));
        wait_until("what was shown before is freed", || {
            before.iter().all(|source| source.upgrade().is_none())
        });
        before = alive;
    }
    let mut seen = seen.lock().clone();
    seen.dedup();
    let expected: Vec<Vec<u8>> = [20].into_iter().chain(30..38).map(|luma| vec![luma]).collect();
    assert_eq!(seen, expected);
    let keys = sink.keys().iter().filter(|&&key| key).count();
    assert_eq!(keys, 1, "viewers go on where they were");
}

#[test]
fn what_was_asked_for_while_nobody_watched_is_the_first_thing_seen() {
    let sink = Arc::new(Keeps::default());
    let (layout, sources, before) = arrangement(1, 20);
    let (wall, seen) = watched((layout, sources), &sink);
    let (layout, sources, unseen) = arrangement(4, 30);
    wall.view().rearrange(layout, sources).expect("fits");
    let (layout, sources, _alive) = arrangement(6, 40);
    wall.view().rearrange(layout, sources).expect("fits");
    wait_until("the others are freed", || before.iter().chain(&unseen).all(|it| it.upgrade().is_none()));
    assert_eq!(seen.lock().len(), 0);
    sink.want(true);
    wait_until("something is seen", || !seen.lock().is_empty());
    assert_eq!(seen.lock()[0], [40]);
}

#[test]
fn what_cannot_be_shown_is_refused_and_nothing_changes() {
    let sink = Keeps::wanted();
    let (layout, sources, _alive) = arrangement(1, 20);
    let (wall, seen) = watched((layout.clone(), sources), &sink);
    let refuse = |layout: Layout, luma| {
        let (_, sources, alive) = arrangement(6, luma);
        let error = wall.view().rearrange(layout, sources).expect_err("refused").to_string();
        assert!(alive.iter().all(|source| source.upgrade().is_none()), "its sources are freed");
        error
    };
    assert_eq!(
        refuse(Layout::columns(CanvasSize::FULL_HD), 30),
        "found a layout for 1920x1080, expected one for the wall's 64x64"
    );
    assert_eq!(
        refuse(layout.clone(), 31),
        "found 6 tile sources, expected at most 1, one for each tile of the layout"
    );
    wait_ticks(&wall, 10);
    assert!(seen.lock().iter().all(|lumas| lumas == &[20]));
    assert_eq!(*wall.view().layout(), layout);
}

#[test]
fn a_source_that_panics_in_the_new_arrangement_is_black_alone() {
    struct Panics;
    impl TileSource for Panics {
        fn show(&mut self, _: Instant, _: &mut dyn FnMut(Shown<'_>)) {
            panic!("this tile is broken, as the test wants");
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("it breaks when it is freed, too");
        }
    }
    let sink = Keeps::wanted();
    let (layout, sources, _alive) = arrangement(1, 20);
    let (wall, seen) = watched((layout, sources), &sink);
    let (layout, mut sources, _alive) = arrangement(6, 30);
    sources[2] = Box::new(Panics);
    wall.view().rearrange(layout, sources).expect("fits");
    wait_until("it is seen", || seen.lock().last() == Some(&vec![16, 30]));
    let (layout, sources, _alive) = arrangement(1, 40);
    wall.view().rearrange(layout, sources).expect("fits");
    wait_until("it is gone", || seen.lock().last() == Some(&vec![40]));
    assert!(stats(&wall).panics >= 2);
    assert_eq!(sink.keys().iter().filter(|&&key| key).count(), 1, "the encoder was kept");
}

#[test]
fn whoever_is_freed_may_ask_the_wall_what_it_likes() {
    struct Curious(WallView, Arc<AtomicBool>);
    impl TileSource for Curious {
        fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
            paint(None.into());
        }
    }
    impl Drop for Curious {
        fn drop(&mut self) {
            // Each of these would wait for ever for a lock that is held while sources are freed.
            let _stats = self.0.stats(Instant::now());
            let _progress = (self.0.last_progress(), self.0.health(), self.0.layout());
            let _changed = self.0.set_bitrate(Bitrate::new(100_000).expect("a valid bitrate"));
            let (layout, sources, _alive) = arrangement(1, 50);
            let _changed = self.0.rearrange(layout, sources);
            self.1.store(true, Ordering::Relaxed);
        }
    }
    let (layout, sources, _alive) = arrangement(1, 20);
    let (wall, _seen) = watched((layout.clone(), sources), &Keeps::wanted());
    let view = wall.view();
    let curious = || {
        let freed = Arc::new(AtomicBool::new(false));
        let source: Box<dyn TileSource> = Box::new(Curious(wall.view(), Arc::clone(&freed)));
        (vec![source], freed)
    };
    let arranged = |sources| wall.view().rearrange(layout.clone(), sources).expect("fits");
    let (sources, of_a_tick) = curious();
    arranged(sources);
    wait_ticks(&wall, 5);
    let (sources, unseen_or_not) = curious();
    arranged(sources);
    let (sources, at_the_end) = curious();
    arranged(sources);
    wait_until("both are freed", || {
        of_a_tick.load(Ordering::Relaxed) && unseen_or_not.load(Ordering::Relaxed)
    });
    // Whatever they asked for came in between.
    let (sources, of_the_end) = curious();
    arranged(sources);
    wall.stop();
    assert!(at_the_end.load(Ordering::Relaxed) && of_the_end.load(Ordering::Relaxed));

    let (layout, sources, alive) = arrangement(1, 60);
    view.rearrange(layout, sources).expect("fits");
    assert!(alive[0].upgrade().is_none(), "a wall that has stopped keeps nothing");
}
