//! Walls in virtual time: what is told, and what is shown then.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config;

const CAMERAS: &str = "cameras: { a: rtsp://a/, b: rtsp://b/, c: rtsp://c/, d: rtsp://d/, e: rtsp://e/, f: rtsp://f/, g: rtsp://g/ }\n";

struct Virtual {
    start: Instant,
    director: Director,
    /// Cameras that are not ready.
    absent: HashMap<String, Readiness>,
}

fn arrangement(wall: &str) -> Arrangement {
    let text = format!("{CAMERAS}walls: {{ wall: {{ {wall} }} }}");
    let config = config::parse("test", &text, &config::Overrides::default()).unwrap();
    config.walls[0].arrangement.clone()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

impl Virtual {
    fn of(wall: &str) -> Virtual {
        let start = Instant::now();
        let masked = Presentation { mirrored: true, ..Presentation::default() };
        let elsewhere = HashMap::from([("g".to_owned(), masked)]);
        Virtual {
            start,
            director: Director::new(arrangement(wall), elsewhere, start),
            absent: HashMap::new(),
        }
    }

    fn at(&self, after: f64) -> Instant {
        self.start + seconds(after)
    }

    fn is(&mut self, camera: &str, readiness: Readiness) {
        self.absent.insert(camera.to_owned(), readiness);
    }

    fn scene(&mut self, after: f64) -> Scene {
        let (now, absent) = (self.at(after), &self.absent);
        self.director.poll(now, &|camera| absent.get(camera).copied().unwrap_or(Readiness::Ready))
    }

    fn shown(&mut self, after: f64) -> String {
        self.scene(after).cameras.join(" ")
    }

    #[track_caller]
    fn check(&mut self, after: f64, expected: &str) {
        assert_eq!(self.shown(after), expected, "at {after} s");
    }

    fn promote(&mut self, after: f64, camera: &str, length: f64) {
        self.director.handle_promotion(self.at(after), camera, seconds(length));
    }

    fn upcoming(&self, after: f64) -> Vec<(String, usize)> {
        let absent = &self.absent;
        self.director
            .upcoming(self.at(after), &|camera| absent.get(camera).copied().unwrap_or(Readiness::Ready))
    }
}

#[test]
fn a_promoted_camera_exchanges_places_with_the_largest_tile_and_goes_back() {
    let mut wall = Virtual::of("layout: columns, tiles: [a, b, c, d]");
    wall.check(0.0, "a b c d");
    wall.promote(1.0, "d", 30.0);
    wall.check(1.0, "a d c b");
    assert_eq!(wall.director.poll_at(wall.at(1.0)), Some(wall.at(31.0)));
    wall.check(30.9, "a d c b");
    wall.check(31.0, "a b c d");
    assert_eq!(wall.director.poll_at(wall.at(31.0)), None);
}

#[test]
fn repeated_calls_extend_and_never_shorten() {
    let mut wall = Virtual::of("layout: columns, tiles: [a, b, c, d]");
    wall.promote(0.0, "d", 30.0);
    wall.promote(10.0, "d", 30.0);
    wall.promote(20.0, "d", 5.0);
    wall.check(39.9, "a d c b");
    wall.check(40.0, "a b c d");
}

#[test]
fn the_newest_alarm_is_largest_and_one_that_goes_on_does_not_push_it_away() {
    let mut wall = Virtual::of("layout: 1+5, tiles: [a, b, c, d, e, f]");
    wall.promote(0.0, "c", 60.0);
    wall.promote(1.0, "f", 10.0);
    wall.check(1.0, "f c b d e a");
    wall.promote(2.0, "c", 60.0);
    wall.check(2.0, "f c b d e a");
    wall.check(11.0, "c b a d e f");
    wall.check(62.0, "a b c d e f");
}

#[test]
fn where_no_tile_is_larger_there_is_another_layout_that_shows_everybody() {
    for (tiles, places, first) in [
        ("a, b", 2, (1920, 1080)),
        ("a, b, c", 3, (1920, 1080)),
        ("a, b, c, d", 6, (1280, 720)),
        ("a, b, c, d, e, f, g", 8, (1440, 810)),
    ] {
        let mut wall = Virtual::of(&format!("layout: grid, tiles: [{tiles}], background: gray"));
        let before = wall.scene(0.0);
        wall.promote(0.0, "b", 5.0);
        let during = wall.scene(0.0);
        let large = &during.layout.placements()[0];
        assert_eq!(
            (large.width(), large.height(), during.layout.placements().len()),
            (first.0, first.1, places)
        );
        assert_eq!(
            (during.cameras[0].as_str(), during.cameras.len()),
            ("b", before.cameras.len()),
            "{tiles}"
        );
        assert_eq!(during.layout.background(), before.layout.background());
        assert_eq!(wall.scene(5.0), before);
    }
}

#[test]
fn one_camera_alone_has_nothing_to_exchange() {
    let mut wall = Virtual::of("layout: grid, tiles: [a]");
    let before = wall.scene(0.0);
    wall.promote(0.0, "a", 5.0);
    assert_eq!(wall.scene(0.0), before);
    wall.promote(1.0, "b", 5.0);
    wall.check(1.0, "b a");
}

#[test]
fn beyond_ten_equal_tiles_the_promoted_camera_is_everywhere() {
    let tiles = ["a", "b", "c", "d", "e", "f"].repeat(2).join(", ");
    let mut wall = Virtual::of(&format!("layout: 4x3, tiles: [{tiles}]"));
    wall.promote(0.0, "e", 5.0);
    let scene = wall.scene(0.0);
    assert_eq!((scene.cameras.join(" "), scene.layout.placements()[0].width()), ("e".to_owned(), 1920));
    wall.check(5.0, &tiles.replace(", ", " "));
}

#[test]
fn a_camera_without_a_tile_is_shown_as_elsewhere_and_hides_one_for_a_while() {
    let mut wall = Virtual::of("layout: columns, tiles: [a, b, c, d]");
    wall.promote(0.0, "g", 5.0);
    let scene = wall.scene(0.0);
    assert_eq!(scene.cameras.join(" "), "a g c d");
    assert!(scene.layout.placements()[1].presentation().mirrored, "masks and the like are another wall's");
    wall.check(5.0, "a b c d");
    // Of a camera that is on no wall, the wall's own way is known.
    let mut wall = Virtual::of("layout: columns, tiles: [a, b, c, d], fit: cover");
    wall.promote(0.0, "e", 5.0);
    assert_eq!(wall.scene(0.0).layout.placements()[1].fit(), wallcast_compositor::Fit::Cover);
    // A cell that is left over takes the one that is in the way.
    let mut wall = Virtual::of("layout: 1+5, tiles: [a, b]");
    wall.promote(0.0, "g", 5.0);
    wall.check(0.0, "g b a");
}

#[test]
fn what_is_cut_off_and_blacked_out_goes_with_its_camera() {
    let mask = "{ x: 0, y: 0, width: 50%, height: 50% }";
    let mut wall = Virtual::of(&format!("layout: 1+5, tiles: [a, b, {{ camera: c, mask: {mask} }}]"));
    wall.promote(0.0, "c", 5.0);
    let masks = |scene: &Scene| -> Vec<usize> {
        scene.layout.placements().iter().map(|place| place.presentation().masks.len()).collect()
    };
    assert_eq!(masks(&wall.scene(0.0)), [1, 0, 0, 0, 0, 0]);
    assert_eq!(masks(&wall.scene(5.0)), [0, 0, 1, 0, 0, 0]);
}

#[test]
fn another_arrangement_during_a_promotion_is_what_it_goes_back_to() {
    let mut wall = Virtual::of("layout: columns, tiles: [a, b, c, d]");
    wall.promote(0.0, "d", 30.0);
    wall.director.handle_arrangement(wall.at(1.0), arrangement("layout: 1+5, tiles: [a, b, d]"));
    assert_eq!(wall.director.version(), 2);
    wall.check(1.0, "d b a");
    wall.check(30.0, "a b d");
}

#[test]
fn promotions_can_be_ended_one_or_all() {
    let mut wall = Virtual::of("layout: columns, tiles: [a, b, c, d]");
    wall.promote(0.0, "d", 30.0);
    wall.promote(0.0, "a", 30.0);
    wall.check(0.0, "b a d c");
    let now = wall.at(1.0);
    assert_eq!((wall.director.handle_end(now, Some("a")), wall.director.handle_end(now, Some("a"))), (1, 0));
    wall.check(1.0, "a d c b");
    assert_eq!(wall.director.handle_end(now, None), 1);
    wall.check(1.0, "a b c d");
}

#[test]
fn cameras_take_turns_and_the_next_one_is_woken_before() {
    let mut wall = Virtual::of("layout: grid, tiles: [{ tour: [a, b, c], every: 10s }, d]");
    wall.check(0.0, "a d");
    assert_eq!(wall.upcoming(8.0), []);
    assert_eq!(wall.upcoming(8.5), [("b".to_owned(), 0)]);
    wall.is("b", Readiness::Coming);
    assert_eq!(wall.upcoming(5.0), [("b".to_owned(), 0)], "one that has to connect is woken earlier");
    wall.is("b", Readiness::Ready);
    wall.check(9.9, "a d");
    for (after, shown) in [(10.0, "b d"), (20.0, "c d"), (30.0, "a d"), (40.0, "b d")] {
        wall.check(after, shown);
    }
    let waiting: Vec<(&str, usize)> = wall.director.waiting().collect();
    assert_eq!(waiting, [("a", 0), ("b", 0), ("c", 0)]);
}

#[test]
fn a_camera_that_is_offline_loses_its_turn_unless_all_are() {
    let mut wall = Virtual::of("layout: grid, tiles: [{ tour: [a, b, c], every: 10s }]");
    wall.is("b", Readiness::Gone);
    wall.check(0.0, "a");
    wall.check(10.0, "c");
    // Its turn is cut short when it goes, though not at once.
    wall.is("c", Readiness::Gone);
    wall.check(11.0, "c");
    wall.check(12.0, "a");
    wall.check(23.0, "a");
    wall.is("a", Readiness::Gone);
    wall.check(33.0, "b");
    wall.check(43.0, "c");
}

#[test]
fn a_turn_lasts_a_little_longer_when_the_next_camera_has_no_picture_yet() {
    let mut wall = Virtual::of("layout: grid, tiles: [{ tour: [a, b], every: 10s }]");
    wall.check(0.0, "a");
    wall.is("b", Readiness::Coming);
    wall.check(12.9, "a");
    wall.check(13.0, "b");
}

#[test]
fn a_tour_goes_on_where_it_was_and_a_promoted_camera_leaves_its_turn_to_another() {
    let mut wall = Virtual::of("layout: 1+5, tiles: [a, { tour: [b, c, d], every: 10s }]");
    wall.check(0.0, "a b");
    wall.check(10.0, "a c");
    wall.promote(11.0, "d", 60.0);
    wall.check(11.0, "d c");
    wall.check(20.0, "d a");
    wall.check(30.0, "d b");
    wall.check(40.0, "d c");
    wall.check(41.0, "d c");
    wall.check(71.0, "a d");
}

/// Whatever is told in whatever order, a scene can be shown: as many cameras as places at the most, on this canvas, and the
/// newest promotion in the largest place.
#[test]
fn every_scene_can_be_shown() {
    let walls = [
        "layout: columns",
        "layout: grid",
        "layout: 8x8, gap: 2",
        "layout: pip, tiles: [a, b, c]",
        "size: 64x64, layout: 4x3, gap: 4",
        "size: 1080x1920, tiles: [a, { tour: [a, b, c] }, { tour: [d, e] }]",
        "layout: [{ camera: a, x: 0, y: 0, width: 2, height: 2 }, { tour: [b, c], x: 0, y: 0, width: 1920, height: 2 }]",
    ];
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for text in walls {
        let text = if text == "layout: columns" { "layout: columns, tiles: [a, b, c, d]" } else { text };
        let mut wall = Virtual::of(text);
        for step in 0..500 {
            let after = f64::from(step) * 0.7;
            let camera = ["a", "b", "c", "d", "e", "f", "g"][next(7) as usize];
            match next(6) {
                0 | 1 => wall.promote(after, camera, 1.0 + next(10) as f64),
                2 => _ = wall.director.handle_end(wall.at(after), Some(camera)),
                3 => {
                    wall.is(camera, [Readiness::Ready, Readiness::Coming, Readiness::Gone][next(3) as usize])
                }
                _ => {}
            }
            let scene = wall.scene(after);
            let places = scene.layout.placements();
            assert!(!scene.cameras.is_empty() && scene.cameras.len() <= places.len(), "{text}: {scene:?}");
            assert_eq!(scene.layout.canvas(), wall.director.base().layout().canvas());
            if let Some(promoted) = wall.director.promotions().first() {
                let width = |place: usize| places[place].width().min(places[place].height() * 16 / 9);
                let at =
                    scene.cameras.iter().position(|camera| *camera == promoted.camera).expect("is shown");
                let largest = (0..scene.cameras.len()).map(width).max();
                let has_largest = scene
                    .cameras
                    .iter()
                    .enumerate()
                    .any(|(i, camera)| *camera == promoted.camera && Some(width(i)) == largest);
                assert!(has_largest, "{text}: {promoted:?} is at {at} of {scene:?}");
            }
        }
    }
}
