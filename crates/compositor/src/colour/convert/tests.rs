//! Conversion against the formulas in floating point, and its two compiled forms against each other.

use super::*;
use crate::geometry::CanvasSize;

const MATRICES: [ColorMatrix; 3] = [ColorMatrix::Bt601, ColorMatrix::Bt709, ColorMatrix::Bt2020];
const RANGES: [ColorRange; 2] = [ColorRange::Limited, ColorRange::Full];

fn formats() -> impl Iterator<Item = (ColorMatrix, ColorRange)> {
    MATRICES.into_iter().flat_map(|matrix| RANGES.map(|range| (matrix, range)))
}

/// Y, U and V by way of red, green and blue, as H.273 has it.
fn by_the_book(matrix: ColorMatrix, range: ColorRange, [y, u, v]: [u8; 3]) -> [f64; 3] {
    let [y, u, v] = [y, u, v].map(f64::from);
    let (luma, cb, cr) = match range {
        ColorRange::Limited => ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
        ColorRange::Full => (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0),
    };
    let (kr, kb) = matrix.weights();
    let (red, blue) = (luma + 2.0 * (1.0 - kr) * cr, luma + 2.0 * (1.0 - kb) * cb);
    let green = (luma - kr * red - kb * blue) / (1.0 - kr - kb);
    let (kr, kb) = ColorMatrix::Bt709.weights();
    let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
    let (cb, cr) = ((blue - luma) / (2.0 * (1.0 - kb)), (red - luma) / (2.0 * (1.0 - kr)));
    [16.0 + 219.0 * luma, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr].map(|sample| sample.clamp(0.0, 255.0))
}

fn convert(conversion: &Conversion, [y, u, v]: [u8; 3]) -> [u8; 3] {
    let (mut upper, mut lower, mut us, mut vs) = ([y; 2], [y; 2], [u], [v]);
    conversion.convert_rows([&mut upper, &mut lower], &mut us, &mut vs);
    assert_eq!((upper, lower[0]), ([lower[1]; 2], upper[0]));
    [upper[0], us[0], vs[0]]
}

#[test]
fn every_sample_is_within_one_step_of_the_formulas() {
    for (matrix, range) in formats() {
        let Some(conversion) = Conversion::to_canvas(matrix, range) else { continue };
        let steps = || (0..=255_u8).step_by(5);
        for (y, u, v) in steps().flat_map(|y| steps().flat_map(move |u| steps().map(move |v| (y, u, v)))) {
            let (found, expected) = (convert(&conversion, [y, u, v]), by_the_book(matrix, range, [y, u, v]));
            for (found, expected) in found.into_iter().zip(expected) {
                let distance = (f64::from(found) - expected).abs();
                assert!(distance < 0.53, "{matrix:?} {range:?} {y} {u} {v}: {found}, expected {expected:.3}");
            }
        }
    }
}

#[test]
fn what_is_the_canvass_already_is_not_converted() {
    let unconverted: Vec<_> =
        formats().filter(|&(matrix, range)| Conversion::to_canvas(matrix, range).is_none()).collect();
    assert_eq!(unconverted, [(ColorMatrix::Bt709, ColorRange::Limited)]);
}

#[test]
fn greys_stay_grey_and_of_limited_range_the_same() {
    for (matrix, range) in formats() {
        let Some(conversion) = Conversion::to_canvas(matrix, range) else { continue };
        for y in 0..=255 {
            let [luma, u, v] = convert(&conversion, [y, 128, 128]);
            assert_eq!([u, v], [128; 2]);
            if range == ColorRange::Limited {
                assert_eq!(luma, y, "{matrix:?}");
            }
        }
        assert!(range == ColorRange::Limited || convert(&conversion, [255, 128, 128])[0] == 235);
        assert!(range == ColorRange::Limited || convert(&conversion, [0, 128, 128])[0] == 16);
    }
}

#[test]
fn the_vector_form_gives_the_scalar_forms_numbers_and_nothing_beside_is_touched() {
    let size = CanvasSize::new(200, 64).expect("a valid size");
    let rects = [[0, 0, 200, 64], [2, 4, 66, 10], [10, 0, 2, 2], [60, 62, 140, 2], [0, 2, 128, 62]];
    for ((matrix, range), [x, y, width, height]) in formats().flat_map(|f| rects.map(|rect| (f, rect))) {
        let Some(conversion) = Conversion::to_canvas(matrix, range) else { continue };
        let rect = Rect { x, y, width, height };
        let mut noise = Canvas::black(size);
        let mut state = 5_u64;
        for plane in 0..3 {
            for sample in noise.plane_mut(plane) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *sample = (state >> 56) as u8;
            }
        }
        let (mut scalar, mut fastest) = (noise.clone(), noise.clone());
        conversion.convert(&mut scalar, rect, Instructions::Scalar);
        conversion.convert(&mut fastest, rect, Instructions::detect());
        for plane in 0..3 {
            assert!(scalar.plane(plane) == fastest.plane(plane), "{rect:?}, plane {plane}");
            let part = if plane == 0 { rect } else { rect.chroma() };
            let stride = noise.stride(plane) as u32;
            for (i, (before, after)) in noise.plane(plane).iter().zip(scalar.plane(plane)).enumerate() {
                let (x, y) = (i as u32 % stride, i as u32 / stride);
                let is_inside = Rect { x, y, width: 1, height: 1 }.overlaps(&part);
                assert!(is_inside || before == after, "{rect:?}, plane {plane}, {x} {y}");
            }
        }
    }
}

const SIZE: (usize, usize) = (128, 96);

/// Samples of a raw picture in `tests/data/colour`.
fn raw(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/colour/{name}.yuv", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).expect("the reference is committed");
    assert_eq!(bytes.len(), SIZE.0 * SIZE.1 * 3 / 2, "{path}");
    bytes
}

/// The planes of a canvas from those of a raw picture.
fn canvas_of(bytes: &[u8]) -> Canvas {
    let mut canvas = Canvas::black(CanvasSize::new(SIZE.0 as u32, SIZE.1 as u32).expect("a valid size"));
    let luma = SIZE.0 * SIZE.1;
    for (plane, (from, to)) in
        [(0, luma), (luma, luma * 5 / 4), (luma * 5 / 4, luma * 3 / 2)].into_iter().enumerate()
    {
        canvas.plane_mut(plane).copy_from_slice(&bytes[from..to]);
    }
    canvas
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares as f64).log10()
}

#[test]
fn colours_agree_with_swscale_to_45_db_and_unconverted_they_agree_less() {
    let source = raw("source");
    for (matrix, range, name) in [
        (ColorMatrix::Bt601, ColorRange::Limited, "bt601-limited"),
        (ColorMatrix::Bt601, ColorRange::Full, "bt601-full"),
        (ColorMatrix::Bt709, ColorRange::Full, "bt709-full"),
        (ColorMatrix::Bt2020, ColorRange::Limited, "bt2020-limited"),
        (ColorMatrix::Bt2020, ColorRange::Full, "bt2020-full"),
    ] {
        let (before, reference) = (canvas_of(&source), canvas_of(&raw(name)));
        let mut converted = before.clone();
        let whole = Rect { x: 0, y: 0, width: SIZE.0 as u32, height: SIZE.1 as u32 };
        let conversion = Conversion::to_canvas(matrix, range).expect("another format than the canvas's");
        conversion.convert(&mut converted, whole, Instructions::detect());
        for plane in 0..3 {
            let found = psnr(converted.plane(plane), reference.plane(plane));
            assert!(found >= 45.0, "{name}, plane {plane}: {found:.1} dB");
        }
        let luma = [&converted, &before].map(|canvas| psnr(canvas.plane(0), reference.plane(0)));
        assert!(
            luma[0] > luma[1] + 8.0,
            "{name}: the reference does not tell a conversion from none, {luma:?}"
        );
    }
}
