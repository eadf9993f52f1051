//! Whole canvases against swscale's at the same geometry: all three planes, parts of pictures, samples that are not square.

use super::*;
use crate::presentation::{Area, Presentation};

/// The source of `tests/data/picture`.
const SIZE: (u32, u32) = (202, 152);

fn raw(name: &str, (width, height): (u32, u32)) -> Vec<u8> {
    let path = format!("{}/tests/data/picture/{name}.yuv", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).expect("the reference is committed");
    let chroma = width.div_ceil(2) * height.div_ceil(2);
    assert_eq!(bytes.len() as u32, width * height + 2 * chroma, "{path}");
    bytes
}

fn source() -> Picture {
    let (width, height) = SIZE;
    let bytes = raw("source", SIZE);
    let (luma, chroma) = bytes.split_at((width * height) as usize);
    let (u, v) = chroma.split_at(chroma.len() / 2);
    Picture { width, height, planes: [luma.to_vec(), u.to_vec(), v.to_vec()] }
}

/// Peak signal-to-noise ratio, dB.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares as f64).log10()
}

/// Shows one picture of samples of this shape.
struct Shot(Picture, (u32, u32));

impl TileSource for Shot {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        paint(Some(PictureView { sample_aspect: self.1, ..self.0.view(1) }).into());
    }
}

#[track_caller]
fn check(name: &str, tile: (u32, u32), sample_aspect: (u32, u32), presentation: Presentation) {
    let (width, height) = tile;
    let rect = TileRect { x: 6, y: 4, width, height, presentation, ..TileRect::default() };
    let layout = Layout::explicit(size(144, 112), vec![rect]).expect("a layout");
    let reference = raw(name, tile);
    let luma = (width * height) as usize;
    let planes = [0..luma, luma..luma * 5 / 4, luma * 5 / 4..luma * 3 / 2].map(|plane| &reference[plane]);
    for instructions in Instructions::available() {
        let mut compositor = Compositor { instructions, ..Compositor::new(&layout) };
        let mut sources: Vec<Box<dyn TileSource>> = vec![Box::new(Shot(source(), sample_aspect))];
        let composed = compositor.compose(Instant::now(), &mut sources);
        assert_eq!((composed.refused, composed.panics), (0, 0), "{name}");
        for (plane, expected) in planes.into_iter().enumerate() {
            let (x, y, row) = if plane == 0 { (6, 4, width) } else { (3, 2, width / 2) };
            let rows = compositor.canvas.plane(plane).chunks(compositor.canvas.stride(plane));
            let rows = rows.skip(y).take(expected.len() / row as usize);
            let found: Vec<u8> = rows.flat_map(|line| &line[x..x + row as usize]).copied().collect();
            let distance = psnr(&found, expected);
            assert!(distance >= 45.0, "{name}, {instructions:?}, plane {plane}: {distance:.1} dB");
        }
    }
}

fn part(x: u32, y: u32, width: u32, height: u32) -> Presentation {
    let crop = Some(Area::pixels(x, y, width, height).expect("an area"));
    Presentation { crop, fit: Fit::Stretch, ..Presentation::default() }
}

#[test]
fn every_plane_of_a_canvas_agrees_with_swscale_to_45_db() {
    let whole = || Presentation { fit: Fit::Stretch, ..Presentation::default() };
    check("whole-shrunk", (134, 98), (1, 1), whole());
    check("whole-half", (100, 76), (1, 1), whole());
    check("part-shrunk", (64, 50), (1, 1), part(24, 30, 138, 102));
    check("part-grown", (128, 96), (1, 1), part(66, 40, 70, 50));
    check("part-wider", (130, 80), (1, 1), part(50, 20, 100, 120));
    // 202 samples of 12 to 11 are as wide as 220 square ones: all of a tile of that shape is covered.
    check("samples-12-11", (118, 82), (12, 11), Presentation::default());
}
