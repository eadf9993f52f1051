//! Golden canvases: looked at once, and the same to the bit ever since, by scalar and by vector code.
//!
//! Where one changes, the test writes it as PNG (see `png`). Look at it before you believe the new checksum.

mod overlays;

use super::png;
use super::*;
use crate::colour::Color;
use crate::layout::{Preset, Spacing, TileRect};
use crate::presentation::{Area, Presentation, Rotation};

/// A picture of which one sees whether it is cut, turned or mirrored: a digit, a corner of each of four colours, and lines.
fn scene(width: u32, height: u32, number: u32) -> Picture {
    const DIGITS: [[u8; 5]; 10] = [
        [7, 5, 5, 5, 7],
        [2, 6, 2, 2, 7],
        [7, 1, 7, 4, 7],
        [7, 1, 7, 1, 7],
        [5, 5, 7, 1, 1],
        [7, 4, 7, 1, 7],
        [7, 4, 7, 5, 7],
        [7, 1, 2, 2, 2],
        [7, 5, 7, 5, 7],
        [7, 5, 7, 1, 7],
    ];
    let digit = DIGITS[number as usize % 10];
    let color = |x: u32, y: u32| {
        // In hundredths of the picture.
        let (px, py) = (x * 100 / width, y * 100 / height);
        let is_in_digit = (35..65).contains(&px) && (20..80).contains(&py) && {
            let (column, row) = ((px - 35) / 10, (py - 20) / 12);
            digit[row as usize] >> (2 - column) & 1 == 1
        };
        match (px, py) {
            _ if is_in_digit => Color::rgb(255, 255, 255),
            (0..15, 0..20) => Color::rgb(230, 20, 30),
            (85.., 0..20) => Color::rgb(20, 200, 40),
            (0..15, 80..) => Color::rgb(30, 60, 240),
            (85.., 80..) => Color::rgb(240, 220, 30),
            _ if x.is_multiple_of(16) || y.is_multiple_of(16) => Color::rgb(20, 20, 20),
            _ => Color::rgb(60 + px as u8, 60 + py as u8, 90 + (number * 37 % 100) as u8),
        }
    };
    let mut picture = Picture::pattern(width, height, 0);
    for (plane, divide) in [(0, 1), (1, 2), (2, 2)] {
        let row = width.div_ceil(divide);
        for (i, sample) in picture.planes[plane].iter_mut().enumerate() {
            let (x, y) = (i as u32 % row * divide, i as u32 / row * divide);
            *sample = color(x, y).samples()[plane];
        }
    }
    picture
}

/// Shows one picture, in whatever matrix, range and shape of samples.
struct Still(Picture, fn(PictureView<'_>) -> PictureView<'_>);

impl TileSource for Still {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        paint(Some((self.1)(self.0.view(1))).into());
    }
}

/// A canvas to be: its name, what it is made of, and its checksum.
struct Case {
    name: String,
    layout: Layout,
    sources: Vec<Box<dyn TileSource>>,
    expected: u64,
}

fn case(name: &str, layout: Layout, sizes: &[(u32, u32)], expected: u64) -> Case {
    let tiles = layout.placements().len();
    case_of(name, layout, tiles, sizes, |view| view, expected)
}

fn case_of(
    name: &str,
    layout: Layout,
    cameras: usize,
    sizes: &[(u32, u32)],
    view: fn(PictureView<'_>) -> PictureView<'_>,
    expected: u64,
) -> Case {
    let still = |i: usize| -> Box<dyn TileSource> {
        let (width, height) = sizes[i % sizes.len()];
        Box::new(Still(scene(width, height, i as u32 + 1), view))
    };
    Case { name: name.to_owned(), layout, sources: (0..cameras).map(still).collect(), expected }
}

#[track_caller]
fn check(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for Case { name, layout, mut sources, expected } in cases {
        for instructions in Instructions::available() {
            let mut compositor = Compositor { instructions, ..Compositor::new(&layout) };
            let composed = compositor.compose(Instant::now(), &mut sources);
            assert_eq!((composed.refused, composed.panics), (0, 0), "{name}");
            let found = checksum(compositor.canvas());
            if found != expected {
                let path = png::write(&name, compositor.canvas());
                wrong.push(format!("{name}: found {found:#x}, expected {expected:#x}; see {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const WIDE: (u32, u32) = (128, 72);

fn preset(name: &str, canvas: CanvasSize, tiles: usize, gap: u32, border: u32) -> Layout {
    let preset: Preset = name.parse().expect("a preset");
    let spacing = Spacing::new(gap, border).expect("even and small");
    Layout::preset(preset, canvas, tiles, spacing).expect("there is room")
}

#[test]
fn golden_layouts() {
    let canvas = size(256, 144);
    let plain = |name: &str, tiles: usize, expected: u64| {
        case(&format!("layout {name} of {tiles}"), preset(name, canvas, tiles, 0, 0), &[WIDE], expected)
    };
    // Cameras of 1920x1080, 1080x1920 and 640x480, a tenth as large.
    let upright = |name: &str, tiles: usize, expected: u64| {
        let layout = preset(name, size(108, 192), tiles, 2, 2).with_background(Color::rgb(40, 60, 50));
        let name = format!("layout {name} of {tiles}, portrait");
        case(&name, layout, &[(192, 108), (108, 192), (64, 48)], expected)
    };
    let spaced = |name: &str, tiles: usize, expected: u64| {
        let layout = preset(name, canvas, tiles, 4, 8).with_background(Color::rgb(0, 40, 110));
        let name = format!("layout {name} of {tiles}, spaced");
        case_of(&name, layout, tiles, &[WIDE, (80, 80)], |view| view, expected)
    };
    let portrait = preset("grid", size(144, 256), 3, 0, 0);
    let rect = |x, y, width, height, z| TileRect { x, y, width, height, z, ..TileRect::default() };
    let rects = vec![
        rect(100, 20, 100, 80, 1),
        rect(0, 0, 180, 144, 0),
        rect(150, 60, 96, 64, 1),
        rect(140, 50, 30, 30, -3),
    ];
    let overlapping =
        Layout::explicit(canvas, rects).expect("a layout").with_background(Color::rgb(90, 0, 0));
    check(vec![
        plain("grid", 1, 0x0b44_2777_2a54_6862),
        plain("grid", 2, 0x10f7_85f0_88a1_efc0),
        plain("grid", 3, 0x3e02_ada5_d274_79e9),
        plain("grid", 5, 0x7ca1_537f_0985_b495),
        plain("grid", 9, 0x0434_1121_c1ca_c5b2),
        case("layout grid of 3, portrait", portrait, &[WIDE], 0x4a04_e78f_9bb1_36c5),
        plain("grid", 12, 0xdb33_4b8a_467b_7653),
        plain("grid", 64, 0x960d_b725_5697_6a97),
        upright("grid", 16, 0x628a_6787_57b9_5763),
        upright("2x2", 4, 0xdd8e_0700_0f59_44f6),
        upright("columns", 4, 0xab32_9426_7158_b600),
        upright("1+5", 6, 0xc2d0_bdc1_2e67_0f0e),
        upright("1+7", 8, 0x559d_6c60_3716_4ee3),
        upright("2+8", 10, 0xd26e_df9f_9d85_31d0),
        upright("pip", 4, 0x8a7a_911b_2dc0_d00d),
        plain("2x2", 4, 0xf42a_33dd_7c33_f6c6),
        plain("3x3", 9, 0x0434_1121_c1ca_c5b2),
        plain("4x2", 8, 0x8b3e_0f14_7e36_2164),
        plain("4x4", 16, 0x9702_cf4b_d8d1_4ae6),
        plain("5x5", 25, 0x790c_9f7d_f351_415d),
        plain("6x6", 36, 0x336c_a8e5_a988_e2e6),
        plain("7x7", 49, 0xdc23_8157_125c_e42a),
        plain("8x8", 64, 0x960d_b725_5697_6a97),
        plain("columns", 4, 0x78e3_e655_b6d5_6f2e),
        plain("1+5", 6, 0x7c37_6f6e_dd55_a34f),
        plain("1+7", 8, 0x1b12_6a66_3fdd_6114),
        plain("2+8", 10, 0x91a9_9722_0ac3_41f8),
        plain("pip", 2, 0xd926_ae7c_35e3_30df),
        spaced("grid", 5, 0x97f0_f5d9_6f5c_c9b9),
        spaced("2x2", 3, 0x548e_7c64_dcf3_e5ce),
        spaced("columns", 4, 0x2ffb_665b_68ac_ad33),
        spaced("1+5", 6, 0x53c5_58d1_6e0d_c09f),
        spaced("1+7", 6, 0xbb84_4260_5c33_fe46),
        spaced("2+8", 10, 0x91bb_5cba_a3b2_fead),
        spaced("pip", 4, 0xfadb_ed8b_5c62_9da7),
        case("layout explicit with overlap", overlapping, &[(90, 90), WIDE], 0xaf3f_cb04_991b_1f56),
    ])
}

#[test]
fn golden_fits() {
    let canvas = size(256, 144);
    let fitted = |name: &str, fit: Fit, expected: u64| {
        let layout = preset("columns", canvas, 4, 2, 0).with_fit(fit).with_background(Color::rgb(40, 40, 40));
        case(name, layout, &[WIDE, (161, 91), (64, 128), (40, 30)], expected)
    };
    let sampled = |name: &str, fit: Fit, expected: u64| {
        let layout = preset("2x2", canvas, 4, 2, 0).with_fit(fit);
        let sizes = [(88, 72), (44, 72)];
        case_of(name, layout, 4, &sizes, |view| PictureView { sample_aspect: (12, 11), ..view }, expected)
    };
    check(vec![
        fitted("fit contain", Fit::Contain, 0x4f1a_ff02_6bef_50c4),
        fitted("fit cover", Fit::Cover, 0x8bee_75eb_ee2d_b8cf),
        fitted("fit stretch", Fit::Stretch, 0xf727_1c8a_1096_18eb),
        sampled("fit contain, samples of 12 to 11", Fit::Contain, 0x71d0_4369_10be_97a3),
        sampled("fit cover, samples of 12 to 11", Fit::Cover, 0xeafb_1262_2558_06fc),
    ]);
}

#[test]
fn golden_turns() {
    let turned = |fit: Fit, expected: [u64; 8]| {
        let turns = [0, 90, 180, 270].into_iter().flat_map(|degrees| [(degrees, false), (degrees, true)]);
        let case = move |((degrees, mirrored), expected): ((u32, bool), u64)| {
            let rotation = Rotation::by_degrees(degrees).expect("a quarter turn");
            let presentation = Presentation { fit, rotation, mirrored, ..Presentation::default() };
            // Shrunk by whole numbers, shrunk, and grown.
            let layout = preset("columns", size(256, 144), 4, 2, 0).with_presentations(vec![presentation; 4]);
            let mirrored = if mirrored { ", mirrored" } else { "" };
            case(
                &format!("{} turned by {degrees}{mirrored}", fit.as_str()),
                layout,
                &[(288, 128), (161, 91), (252, 142), (50, 30)],
                expected,
            )
        };
        turns.zip(expected).map(case).collect::<Vec<_>>()
    };
    let both = [
        turned(
            Fit::Contain,
            [
                0xec46_5703_781f_a527,
                0x81be_7c50_e42e_dfcf,
                0xe4a3_c337_ddd0_043c,
                0xc3e2_c315_5f0d_4ce0,
                0xf35e_c11d_5417_9a2b,
                0x921b_a6cd_6e10_5cd3,
                0xb950_dc48_682a_6e60,
                0x5b25_0d15_2df5_bfb0,
            ],
        ),
        turned(
            Fit::Cover,
            [
                0xeae7_e98a_8174_701d,
                0x865e_a782_b64f_4873,
                0x5295_5a43_3460_d2c0,
                0x868c_b9fe_94e9_8b52,
                0x907b_eba1_890e_157b,
                0xc8ab_efe1_8a27_b01d,
                0x6b17_c060_6d5d_9902,
                0xe618_7064_3425_9044,
            ],
        ),
    ];
    check(both.into_iter().flatten().collect());
}

#[test]
fn golden_crops_and_masks() {
    let part = |x, y, width, height| Area::fractions(x, y, width, height).expect("an area");
    let pixels = |x, y, width, height| Area::pixels(x, y, width, height).expect("an area");
    let shown = |name: &str, size_of_picture: (u32, u32), presentation: Presentation, expected: u64| {
        let layout = preset("grid", size(192, 144), 1, 0, 0).with_presentations([presentation]);
        let layout = layout.with_background(Color::rgb(60, 60, 60));
        case(name, layout, &[size_of_picture], expected)
    };
    let plain = Presentation::default;
    let masks = || vec![part(0.0, 0.0, 0.2, 0.25), part(0.4, 0.3, 0.1, 0.25)];
    check(vec![
        shown(
            "crop in fractions",
            (192, 108),
            Presentation { crop: Some(part(0.0, 0.5, 0.5, 0.5)), ..plain() },
            0xadd8_e6cb_bca2_e0a8,
        ),
        shown(
            "crop in pixels, cover",
            (192, 108),
            Presentation { crop: Some(pixels(60, 20, 101, 61)), fit: Fit::Cover, ..plain() },
            0xb0c6_ad40_8813_087d,
        ),
        shown(
            "crop turned by 90",
            (192, 108),
            Presentation { crop: Some(part(0.5, 0.0, 0.5, 1.0)), rotation: Rotation::Quarter, ..plain() },
            0xe2c5_3a88_893e_c9c1,
        ),
        shown(
            "crop turned by 270, mirrored, stretch",
            (192, 108),
            Presentation {
                crop: Some(part(0.5, 0.0, 0.5, 1.0)),
                rotation: Rotation::ThreeQuarters,
                mirrored: true,
                fit: Fit::Stretch,
                ..plain()
            },
            0xf1f8_b44f_a256_28a7,
        ),
        shown("masks", (192, 108), Presentation { masks: masks(), ..plain() }, 0xa845_5a5f_62ab_97a0),
        shown(
            "masks on a large picture",
            (640, 360),
            Presentation { masks: masks(), ..plain() },
            0xbf77_5ee0_ed03_b621,
        ),
        shown(
            "masks on a small picture",
            (47, 31),
            Presentation { masks: masks(), ..plain() },
            0x85a1_1c43_06db_8b17,
        ),
        shown(
            "masks turned by 90",
            (192, 108),
            Presentation { masks: masks(), rotation: Rotation::Quarter, ..plain() },
            0xb411_27b7_68a9_924a,
        ),
        shown(
            "masks turned by 180",
            (192, 108),
            Presentation { masks: masks(), rotation: Rotation::Half, ..plain() },
            0x8741_e4a5_bfa4_5dfe,
        ),
        shown(
            "masks turned by 270, mirrored, cover",
            (192, 108),
            Presentation {
                masks: masks(),
                rotation: Rotation::ThreeQuarters,
                mirrored: true,
                fit: Fit::Cover,
                ..plain()
            },
            0xa727_23d8_973a_b007,
        ),
        shown(
            "masks and crop",
            (192, 108),
            Presentation { masks: masks(), crop: Some(part(0.1, 0.1, 0.6, 0.6)), ..plain() },
            0xa45e_206b_66f0_07ae,
        ),
        shown(
            "mask in pixels, mirrored",
            (192, 108),
            Presentation { masks: vec![pixels(0, 80, 31, 28)], mirrored: true, ..plain() },
            0x8ffc_0d1b_acba_8530,
        ),
    ]);
}

#[test]
fn golden_colours() {
    let layout = || preset("2x2", size(256, 144), 4, 2, 0);
    let in_colours = |name: &str, view: fn(PictureView<'_>) -> PictureView<'_>, expected: u64| {
        case_of(name, layout(), 4, &[WIDE, (96, 96)], view, expected)
    };
    check(vec![
        in_colours(
            "colours as BT.601",
            |view| PictureView { matrix: ColorMatrix::Bt601, ..view },
            0x567b_bee7_1fbf_4050,
        ),
        in_colours(
            "colours as BT.2020",
            |view| PictureView { matrix: ColorMatrix::Bt2020, ..view },
            0x7a1f_2ad6_04f4_d552,
        ),
        in_colours(
            "colours of full range",
            |view| PictureView { range: ColorRange::Full, ..view },
            0x82f9_a4c3_bd45_d922,
        ),
        in_colours(
            "colours as BT.601 of full range",
            |view| PictureView { matrix: ColorMatrix::Bt601, range: ColorRange::Full, ..view },
            0x37e9_a239_cbd7_bbd3,
        ),
    ]);
}
