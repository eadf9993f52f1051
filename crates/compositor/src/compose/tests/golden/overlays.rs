//! Golden canvases of what is written over tiles.

use super::*;
use crate::overlay::{Caption, LabelText, Overlay, TileState};
use std::time::{Duration, SystemTime};

/// Shows a picture, or black, and says something about it.
#[derive(Clone)]
struct Captioned {
    size: Option<(u32, u32)>,
    scene: u32,
    name: String,
    state: TileState,
    reason: Option<&'static str>,
    age: Option<u64>,
}

impl Captioned {
    fn live(name: &str) -> Captioned {
        let name = name.to_owned();
        Captioned {
            size: Some((128, 72)),
            scene: 1,
            name,
            state: TileState::Live,
            reason: None,
            age: Some(0),
        }
    }

    fn holding(name: &str, age: u64) -> Captioned {
        let (state, reason) = (TileState::Holding, Some("no new picture"));
        Captioned { state, reason, age: Some(age), ..Captioned::live(name) }
    }

    fn black(name: &str, state: TileState, reason: &'static str) -> Captioned {
        Captioned { size: None, state, reason: Some(reason), age: None, ..Captioned::live(name) }
    }

    fn source(self) -> Box<dyn TileSource> {
        let picture = self.size.map(|(width, height)| scene(width, height, self.scene));
        Box::new((self, picture))
    }
}

impl TileSource for (Captioned, Option<Picture>) {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let (said, picture) = self;
        // 2026-03-29 01:59:58 in Berlin; two seconds later the clocks there say 03:00:00.
        let taken = SystemTime::UNIX_EPOCH + Duration::from_secs(1_774_745_998);
        let caption = Caption {
            name: &said.name,
            state: said.state,
            reason: said.reason.as_ref().map(|reason| reason as &dyn std::fmt::Display),
            age: said.age.map(Duration::from_secs),
            taken: said.age.map(|_| taken),
            utc_offset_s: 3_600,
        };
        paint(Shown {
            picture: picture.as_ref().map(|picture| picture.view(1)),
            caption: Some(caption),
            came: None,
        });
    }
}

fn captioned(name: &str, layout: Layout, sources: Vec<Captioned>, expected: u64) -> Case {
    let sources = sources.into_iter().map(Captioned::source).collect();
    Case { name: format!("overlay {name}"), layout, sources, expected }
}

fn written(layout: Layout, overlay: &Overlay) -> Layout {
    let presentation = Presentation { overlay: overlay.clone(), ..Presentation::default() };
    let presentations = vec![presentation; layout.placements().len()];
    layout.with_presentations(presentations)
}

fn all() -> Overlay {
    Overlay { clock: true, ..Overlay::default() }
}

const REFUSED: &str = "cannot connect to 192.168.8.101:554: connection refused";

#[test]
fn golden_overlay_items() {
    let only = |name: &str| {
        let mut overlay = Overlay::NONE;
        *overlay.item_mut(name).expect("an item") = true;
        overlay
    };
    let items = |name: &str, overlay: &Overlay, expected: u64| {
        let layout = written(preset("2x2", size(512, 288), 4, 2, 0), overlay);
        let tiles = vec![
            Captioned::live("Front door"),
            Captioned { scene: 2, ..Captioned::holding("Yard", 4) },
            Captioned::black("Gate", TileState::Connecting, "waiting for the answer to DESCRIBE"),
            Captioned { age: Some(25), ..Captioned::black("Garage", TileState::Offline, REFUSED) },
        ];
        captioned(name, layout, tiles, expected)
    };
    let text = Some(LabelText { camera: "Front door".to_owned(), text: "Haustür".to_owned() });
    check(vec![
        items("none", &Overlay::NONE, 0x5fa2_d7dc_fb91_919d),
        items("label", &only("label"), 0x201e_5fc4_20b1_ff85),
        items("clock", &only("clock"), 0x2644_61f1_ffda_44cc),
        items("state", &only("state"), 0xb3c9_ca72_2560_4405),
        items("reason", &only("reason"), 0x334f_ccfc_2d4a_1c24),
        items("tick", &only("tick"), 0x72f6_b8c7_ac89_8551),
        items("default", &Overlay::default(), 0xede5_c010_555f_150b),
        items("all", &all(), 0xba05_817d_9786_6b2a),
        items("all, another label", &Overlay { text, ..all() }, 0x1322_40f6_f2dd_e8ca),
    ]);
}

#[test]
fn golden_overlay_texts() {
    let texts = |name: &str, names: [&str; 6], expected: u64| {
        let layout = written(preset("2x3", size(480, 360), 6, 0, 0), &Overlay::default());
        let tile = |(i, name): (usize, &&str)| match i {
            5 => Captioned::black(name, TileState::Offline, "Übertragung abgebrochen: 門 \u{1b}[1m e\u{301}"),
            _ => Captioned { scene: i as u32, ..Captioned::live(name) },
        };
        captioned(name, layout, names.iter().enumerate().map(tile).collect(), expected)
    };
    let long = "The camera that looks down the long drive behind the old barn, by night";
    let zalgo = "Z\u{301}\u{302}\u{308}\u{30a}\u{301}\u{302}\u{308}a\u{323}l\u{301}go";
    check(vec![
        texts(
            "letters",
            ["Größe", "Вход Ωμέγα", "Ђорђе Škoda", "→ ☀ €5 ½", "Łódź ątęść", "Fußweg"],
            0x9290_d880_c933_6eaf,
        ),
        texts(
            "odd letters",
            [long, "門 camera 一", zalgo, "a\u{7}b\u{202e}c\u{200b}d", "e\u{301}tage", long],
            0x3372_1611_a3d5_252d,
        ),
        texts(
            "extremes",
            ["", "x", "WWWWWWWWWWWWWWWWWWWWWWWWWWWWW", "gjpqy ÅÉ", " ", "İstanbul"],
            0x4088_aa00_ae98_92f6,
        ),
    ]);
}

#[test]
fn golden_overlay_places() {
    let rect = |x, y, width, height, z| TileRect { x, y, width, height, z, ..TileRect::default() };
    let sizes = vec![
        rect(0, 0, 160, 90, 0),
        rect(164, 0, 64, 36, 0),
        rect(232, 0, 32, 18, 0),
        rect(268, 0, 16, 16, 0),
        rect(288, 0, 2, 2, 0),
        rect(294, 0, 8, 90, 0),
        rect(306, 0, 90, 12, 0),
        rect(0, 96, 100, 140, 0),
        rect(104, 96, 48, 48, 0),
        rect(156, 96, 80, 24, 0),
    ];
    let tiny = |name: &str, tile: &dyn Fn() -> Captioned, expected: u64| {
        let layout = Layout::explicit(size(400, 240), sizes.clone()).expect("a layout");
        captioned(name, written(layout, &all()), (0..sizes.len()).map(|_| tile()).collect(), expected)
    };
    let over = vec![
        rect(20, 20, 240, 136, 0),
        rect(0, 120, 160, 90, 1),
        rect(200, 100, 160, 90, -1),
        rect(120, 0, 120, 68, 2),
        rect(60, 130, 40, 40, 3),
    ];
    let overlapping = Layout::explicit(size(384, 216), over).expect("a layout");
    let overlapping = overlapping.with_background(Color::rgb(0, 60, 90));
    let tiles =
        |n: u32| (1..=n).map(|i| Captioned { scene: i, ..Captioned::holding(&format!("Camera {i}"), 7) });
    let pip = preset("pip", size(512, 288), 3, 6, 10).with_background(Color::rgb(120, 0, 0));
    let spaced = preset("1+5", size(512, 288), 6, 8, 16).with_background(Color::rgb(200, 200, 200));
    let turned = || {
        let part = Area::fractions(0.0, 0.5, 0.7, 0.5).expect("an area");
        (0..4).map(move |turn| Presentation {
            rotation: Rotation::by_degrees(turn * 90).expect("a quarter turn"),
            mirrored: turn == 3,
            masks: vec![part],
            fit: Fit::Cover,
            overlay: all(),
            ..Presentation::default()
        })
    };
    let turned = preset("2x2", size(512, 288), 4, 0, 0).with_presentations(turned());
    let columns = written(preset("columns", size(640, 360), 4, 0, 0), &all());
    let columns = columns.with_background(Color::rgb(60, 60, 60));
    let portrait = written(preset("grid", size(360, 640), 3, 4, 4), &all());
    check(vec![
        tiny("on tiny tiles", &|| Captioned::live("Front door"), 0x15bd_0811_2094_b2bf),
        tiny("on tiny tiles, holding", &|| Captioned::holding("Front door", 9), 0x0d90_1f48_c122_94bf),
        tiny(
            "on tiny tiles, black",
            &|| Captioned::black("Front door", TileState::Offline, REFUSED),
            0xaaa4_9706_9a9a_c4d8,
        ),
        captioned("under overlap", written(overlapping, &all()), tiles(5).collect(), 0x8e78_5c3c_bd52_4484),
        captioned("in pip", written(pip, &all()), tiles(3).collect(), 0x8695_730c_7d76_3f1e),
        captioned(
            "with gap and border",
            written(spaced, &Overlay::default()),
            tiles(6).collect(),
            0xc480_7404_0ee2_f4ca,
        ),
        captioned("over turned pictures and masks", turned, tiles(4).collect(), 0x7807_0ff3_df0e_f0dc),
        captioned("beside pictures", columns, tiles(4).collect(), 0x9f2a_ec68_a05b_7d00),
        captioned("in portrait", portrait, tiles(3).collect(), 0x0469_53f8_4326_67f1),
    ]);
}

/// What people look at: whole walls in their real sizes.
#[test]
fn golden_overlay_walls() {
    let wall = |name: &str, canvas: CanvasSize, layout: &str, tiles: usize, expected: u64| {
        let tile = |i: usize| match i % 8 {
            3 => Captioned::holding(&format!("Loading bay {i}"), 4 + i as u64),
            5 => Captioned::black(&format!("Camera {i}"), TileState::Offline, REFUSED),
            6 => Captioned::black(&format!("Stairs {i}"), TileState::Connecting, "connecting"),
            _ => Captioned {
                scene: i as u32,
                size: Some((480, 270)),
                ..Captioned::live(&format!("Camera {i}"))
            },
        };
        let layout = written(preset(layout, canvas, tiles, 2, 0), &all());
        captioned(name, layout, (0..tiles).map(tile).collect(), expected)
    };
    check(vec![
        wall("1080p columns", CanvasSize::FULL_HD, "columns", 4, 0x8572_ae63_b890_0222),
        wall("1080p 4x4", CanvasSize::FULL_HD, "4x4", 16, 0x133e_0c11_5c04_d17e),
        wall("1080p 8x8", CanvasSize::FULL_HD, "8x8", 64, 0xf000_6a8a_be1a_f5c0),
        wall("720p 8x8", size(1280, 720), "8x8", 64, 0xdd1a_b7be_aca0_7fc1),
        wall("portrait of 6", size(1080, 1920), "grid", 6, 0x2fe1_94fd_ea9a_f7ad),
        wall("2160p 2x2", size(3840, 2160), "2x2", 4, 0xb56d_ee8d_60be_f187),
    ]);
}
