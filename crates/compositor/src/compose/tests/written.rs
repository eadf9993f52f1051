//! What is written over tiles: when it changes, what that costs, and that it neither lies nor leaves its tile.

use super::*;
use crate::overlay::{Overlay, TileState};
use crate::presentation::{Area, Presentation, Rotation};
use std::time::{Duration, SystemTime};

/// What a tile shows and says, changed from outside.
#[derive(Clone)]
struct Said {
    /// 0 is black.
    generation: u64,
    name: String,
    state: TileState,
    reason: Option<String>,
    age: Duration,
    taken: Duration,
}

impl Default for Said {
    fn default() -> Said {
        let (age, taken) = (Duration::ZERO, Duration::from_secs(1_800_000_000));
        let (name, state) = ("Front door".to_owned(), TileState::Live);
        Said { generation: 1, name, state, reason: None, age, taken }
    }
}

struct Says {
    picture: Picture,
    said: Arc<Mutex<Said>>,
}

impl TileSource for Says {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let said = self.said.lock().clone();
        let caption = Caption {
            name: &said.name,
            state: said.state,
            reason: said.reason.as_ref().map(|reason| reason as _),
            age: Some(said.age),
            taken: Some(SystemTime::UNIX_EPOCH + said.taken),
            utc_offset_s: 0,
        };
        let picture = (said.generation > 0).then(|| self.picture.view(said.generation));
        paint(Shown { picture, caption: Some(caption), came: None });
    }
}

/// A wall of one tile, or more, and what its sources say.
struct Wall {
    compositor: Compositor,
    sources: Vec<Box<dyn TileSource>>,
    said: Vec<Arc<Mutex<Said>>>,
    begin: Instant,
}

impl Wall {
    fn new(layout: &Layout, picture: (u32, u32)) -> Wall {
        let tiles = layout.placements().len();
        let said: Vec<_> = (0..tiles).map(|_| Arc::new(Mutex::new(Said::default()))).collect();
        let source = |(i, said): (usize, &Arc<Mutex<Said>>)| -> Box<dyn TileSource> {
            let picture = Picture::pattern(picture.0, picture.1, i as u32);
            Box::new(Says { picture, said: Arc::clone(said) })
        };
        let sources = said.iter().enumerate().map(source).collect();
        Wall { compositor: Compositor::new(layout), sources, said, begin: Instant::now() }
    }

    fn of_one(overlay: Overlay) -> Wall {
        let presentation = Presentation { overlay, ..Presentation::default() };
        let layout = Layout::grid(size(320, 180), 1).expect("a grid").with_presentations([presentation]);
        Wall::new(&layout, (320, 180))
    }

    /// Composes at `ms`; how many tiles were painted, and the checksum.
    fn at(&mut self, ms: u64, change: impl FnOnce(&mut Said)) -> (usize, u64) {
        change(&mut self.said[0].lock());
        let composed = self.compositor.compose(self.begin + Duration::from_millis(ms), &mut self.sources);
        assert_eq!((composed.refused, composed.panics), (0, 0));
        (composed.painted, checksum(self.compositor.canvas()))
    }
}

fn only(name: &str) -> Overlay {
    let mut overlay = Overlay::NONE;
    *overlay.item_mut(name).expect("an item") = true;
    overlay
}

#[test]
fn the_tick_moves_once_a_second_with_new_pictures() {
    let mut wall = Wall::of_one(only("tick"));
    // The pattern is the same at every generation: only the mark can make a difference.
    let seen: Vec<u64> = (0..250).map(|n| wall.at(n * 40, |said| said.generation = n + 1).1).collect();
    let moves: Vec<usize> = (1..seen.len()).filter(|&n| seen[n] != seen[n - 1]).collect();
    assert_eq!(moves, [25, 50, 75, 100, 125, 150, 175, 200, 225]);
    assert_eq!(seen[0], seen[100], "it goes round");
    assert!(seen[0] != seen[25] && seen[25] != seen[50] && seen[0] != seen[50]);
}

#[test]
fn the_tick_stands_still_when_no_picture_comes_whatever_the_clock_and_the_camera_say() {
    let mut wall = Wall::of_one(only("tick"));
    let (_, first) = wall.at(0, |_| {});
    for ms in (40..20_000).step_by(40) {
        // A source that claims to be live, of a picture that is always new.
        let (painted, seen) = wall.at(ms, |said| said.taken += Duration::from_millis(40));
        assert_eq!((painted, seen), (0, first), "{ms} ms");
    }
    let (_, seen) = wall.at(20_000, |said| said.generation += 1);
    assert_ne!(seen, first, "a new picture moves it");
}

#[test]
fn the_clock_is_the_pictures_and_stands_still_with_it() {
    let mut wall = Wall::of_one(only("clock"));
    let (_, first) = wall.at(0, |_| {});
    // Told a little differently at every tick, across a full second: it is still the same picture.
    for n in 0..100 {
        let jitter = Duration::from_millis(if n % 2 == 0 { 999 } else { 1_001 });
        let (painted, seen) =
            wall.at(n * 40, |said| said.taken = Duration::from_secs(1_800_000_000) + jitter);
        assert_eq!((painted, seen), (0, first));
    }
    let later = Duration::from_secs(1_800_000_001);
    let (painted, seen) = wall.at(5_000, |said| (said.generation, said.taken) = (2, later));
    assert_eq!(painted, 1);
    assert_ne!(seen, first);
    let (_, again) =
        wall.at(5_040, |said| (said.generation, said.taken) = (3, later + Duration::from_millis(900)));
    assert_eq!(again, seen, "the same second");
}

#[test]
fn a_tile_that_holds_is_painted_once_a_second_and_a_live_or_black_one_not_at_all() {
    let mut wall = Wall::of_one(Overlay::default());
    let (_, live) = wall.at(0, |_| {});
    let mut painted = [0; 3];
    for n in 1..250 {
        let state = [TileState::Live, TileState::Holding, TileState::Offline][n as usize * 3 / 250];
        let tiles = wall.at(n * 40, |said| {
            (said.state, said.age) = (state, Duration::from_millis(n * 40));
            said.reason = (state != TileState::Live).then(|| "no new picture".to_owned());
            said.generation = u64::from(state != TileState::Offline);
        });
        painted[n as usize * 3 / 250] += tiles.0;
    }
    // 3.3 s each: the mark's beginning and three full seconds, and once to black.
    assert_eq!(painted, [0, 4, 1]);
    let (_, again) = wall.at(10_000, |said| *said = Said::default());
    assert_eq!(again, live, "nothing of a mark is left behind");
}

#[test]
fn a_text_that_changes_leaves_nothing_of_the_old_one_behind() {
    let canvas = size(256, 144);
    let tile = |x, y, width, height, z| TileRect { x, y, width, height, z, ..TileRect::default() };
    let rects = vec![
        tile(0, 0, 192, 144, 0),
        tile(100, 20, 64, 64, 2),
        tile(150, 60, 80, 84, 1),
        tile(200, 0, 56, 80, -1),
    ];
    let overlay = Overlay { clock: true, ..Overlay::default() };
    let presentation = |fit| Presentation { overlay: overlay.clone(), fit, ..Presentation::default() };
    for fit in [Fit::Contain, Fit::Cover] {
        let layout = Layout::explicit(canvas, rects.clone()).expect("a layout");
        let layout = layout.with_presentations(vec![presentation(fit); 4]);
        let layout = layout.with_background("teal".parse().expect("a colour"));
        // Pictures with bars beside them, over which the plates reach.
        let mut wall = Wall::new(&layout, (96, 31));
        let mut state = 7_u64;
        let mut below = |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        for step in 0..300 {
            *wall.said[below(4) as usize].lock() = Said {
                generation: if below(4) == 0 { 0 } else { step + 1 },
                name: "Front door by the bicycles"[..below(26) as usize].to_owned(),
                state: [TileState::Live, TileState::Holding, TileState::Offline][below(3) as usize],
                reason: (below(2) == 0).then(|| "connection refused ".repeat(below(6) as usize)),
                age: Duration::from_secs(below(200)),
                taken: Duration::from_secs(below(4_000_000_000)),
            };
            // At one moment: the tick begins anew with every compositor.
            wall.compositor.compose(wall.begin, &mut wall.sources);
            let mut whole = Compositor::new(&layout);
            whole.compose(wall.begin, &mut wall.sources);
            assert!(checksum(wall.compositor.canvas()) == checksum(whole.canvas()), "{fit:?}, step {step}");
        }
    }
}

#[test]
fn nothing_is_written_outside_of_its_tile() {
    let canvas = size(200, 160);
    let marks = "A\u{301}\u{301}\u{301}\u{301}\u{301}\u{323}\u{323}\u{323}\u{323}gÅ █";
    let mut written = 0;
    for step in 0..400_u32 {
        let (width, height) = (2 + step * 38 % 150, 2 + step * 22 % 120);
        let (x, y) = (step * 2 % 48, step * 6 % 36);
        let overlay = Overlay { clock: step % 2 == 0, ..Overlay::default() };
        let presentation = Presentation { overlay, ..Presentation::default() };
        let rect = TileRect { x, y, width, height, presentation, ..TileRect::default() };
        let layout = Layout::explicit(canvas, vec![rect]).expect("a layout");
        let layout = layout.with_background("olive".parse().expect("a colour"));
        let mut wall = Wall::new(&layout, (64, 36));
        wall.at(0, |said| {
            (said.name, said.reason) = (marks.repeat(3), Some(marks.repeat(9)));
            said.state = [TileState::Holding, TileState::Offline, TileState::Live][step as usize % 3];
            said.generation = u64::from(step % 3 != 1);
        });
        let tile = Rect { x, y, width, height };
        for plane in 0..3 {
            let part = if plane == 0 { tile } else { tile.chroma() };
            let background = layout.background().samples()[plane];
            let rows = wall.compositor.canvas().plane(plane).chunks(wall.compositor.canvas().stride(plane));
            for (y, x, sample) in
                rows.zip(0..).flat_map(|(row, y)| (0..).zip(row).map(move |(x, s)| (y, x, s)))
            {
                let is_inside = Rect { x, y, width: 1, height: 1 }.is_within(&part);
                assert!(is_inside || *sample == background, "step {step}, {tile:?}, plane {plane}, {x} {y}");
            }
        }
        written += u32::from(wall.compositor.tiles[0].imprint.is_seen());
    }
    assert!(written > 250, "{written} tiles were written on");
}

#[test]
fn texts_are_upright_and_legible_over_turned_and_masked_pictures() {
    let everything = Area::fractions(0.0, 0.0, 1.0, 1.0).expect("an area");
    let written = |rotation, mirrored| {
        let presentation = Presentation {
            rotation,
            mirrored,
            masks: vec![everything],
            fit: Fit::Stretch,
            ..Presentation::default()
        };
        let layout = Layout::grid(size(320, 180), 1).expect("a grid").with_presentations([presentation]);
        let mut wall = Wall::new(&layout, (320, 180));
        let (_, seen) = wall.at(0, |said| said.state = TileState::Holding);
        let luma = wall.compositor.canvas().plane(0);
        (seen, luma.iter().filter(|&&luma| luma > 200).count())
    };
    let (upright, white) = written(Rotation::None, false);
    assert!(white > 50, "{white} samples of white text on the mask");
    for degrees in [90, 180, 270] {
        let rotation = Rotation::by_degrees(degrees).expect("a quarter turn");
        assert_eq!(written(rotation, degrees == 180), (upright, white), "{degrees}");
    }
}

#[test]
fn a_tile_that_says_nothing_is_as_it_was_before_there_were_overlays() {
    let layout = Layout::grid(size(320, 180), 1).expect("a grid");
    let mut silent: Vec<Box<dyn TileSource>> =
        vec![Box::new(Shows(Picture::pattern(320, 180, 0), Arc::new(AtomicU64::new(1))))];
    let mut compositor = Compositor::new(&layout);
    compositor.compose(Instant::now(), &mut silent);
    let (_, without) = Wall::of_one(Overlay::NONE).at(0, |_| {});
    assert_eq!(checksum(compositor.canvas()), without);
    let (_, with) = Wall::of_one(Overlay::default()).at(0, |_| {});
    assert_ne!(with, without);
    let (_, black) = Wall::of_one(Overlay::NONE).at(0, |said| said.generation = 0);
    assert_eq!(black, checksum(&Canvas::black(size(320, 180))));
}

/// Shows a picture that cannot be, and says that all is well.
struct Mistaken;

impl TileSource for Mistaken {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let picture = Picture::pattern(64, 64, 0);
        let broken = PictureView { width: 65, strides: [64, 32, 32], ..picture.view(1) };
        let caption = Caption {
            name: "",
            state: TileState::Live,
            reason: None,
            age: Some(Duration::ZERO),
            taken: None,
            utc_offset_s: 0,
        };
        paint(Shown { picture: Some(broken), caption: Some(caption), came: None });
    }
}

#[test]
fn a_picture_that_is_not_what_it_says_is_black_and_its_tile_says_so() {
    let layout = Layout::grid(size(320, 180), 1).expect("a grid");
    let mut compositor = Compositor::new(&layout);
    let mut compose = || {
        let composed = compositor.compose(Instant::now(), &mut [Box::new(Mistaken) as Box<dyn TileSource>]);
        (composed, compositor.canvas().plane(0).iter().filter(|&&luma| luma > 150).count())
    };
    let (first, text) = compose();
    assert_eq!(first, Composed { painted: 1, refused: 1, panics: 0 });
    assert!(text > 50, "{text} samples of text");
    assert_eq!(compose().0.painted, 0, "it says so once");
}

#[test]
fn a_rearranged_tile_says_what_its_new_camera_says_and_nothing_of_the_old_one() {
    let overlay = Overlay { clock: true, ..Overlay::default() };
    let presentation = || Presentation { overlay: overlay.clone(), ..Presentation::default() };
    let layout = |tiles| {
        let layout = Layout::grid(size(320, 180), tiles).expect("a grid");
        layout.with_presentations(vec![presentation(); tiles])
    };
    let other = |said: &mut Said| {
        // Another camera, whose pictures are counted in the same way.
        (said.name, said.taken) = ("Yard".to_owned(), Duration::from_secs(1_000_000_000));
    };
    let mut wall = Wall::new(&layout(1), (320, 180));
    wall.at(0, |_| {});
    wall.compositor.rearrange(&layout(1));
    let (_, seen) = wall.at(0, other);
    assert_eq!(seen, Wall::new(&layout(1), (320, 180)).at(0, other).1);
    // And without a camera, nothing is said.
    wall.compositor.rearrange(&layout(1));
    wall.sources.clear();
    let (_, empty) = wall.at(0, |_| {});
    assert_eq!(empty, checksum(&Canvas::black(size(320, 180))));
}
