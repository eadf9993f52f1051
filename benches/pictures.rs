//! Pictures to work on: a moving pattern with noise, the same in every run.

use std::io::Write;
use std::path::Path;
use wallcast_compositor::{ColorMatrix, ColorRange, PictureView};

/// An I420 picture without padding: Y, U, V one after another.
pub struct Picture {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Picture {
    /// Picture `n` of camera `camera`: diagonal waves that move, blocks, and noise of a few steps like a sensor's.
    pub fn moving(width: u32, height: u32, camera: u32, n: u32) -> Picture {
        let mut data = Vec::with_capacity((width * height * 3 / 2) as usize);
        let mut state = u64::from(camera) << 32 | u64::from(n) << 1 | 1;
        for (plane, divide) in [(0, 1), (1, 2), (2, 2)] {
            for y in 0..height.div_ceil(divide) {
                for x in 0..width.div_ceil(divide) {
                    let (px, py) = (x * divide + 3 * n, y * divide + camera * 100);
                    let wave = ((px as f32 * 0.013 + py as f32 * 0.021).sin() * 40.0) as i32;
                    let blocks = if (px / 64 + py / 64) % 2 == 0 { 25 } else { -25 };
                    let amplitude = if plane == 0 { 3 } else { 1 };
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let noise = (state >> 56) as i32 % (2 * amplitude + 1) - amplitude;
                    data.push((126 + wave + if plane == 0 { blocks } else { blocks / 3 } + noise) as u8);
                }
            }
        }
        Picture { width, height, data }
    }

    /// Reads the next picture of a raw file; `None` at its end.
    pub fn read(from: &mut impl std::io::Read, width: u32, height: u32) -> Option<Picture> {
        let mut data = vec![0; (width * height * 3 / 2) as usize];
        from.read_exact(&mut data).ok().map(|()| Picture { width, height, data })
    }

    /// All its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// A plane's bytes: 0, 1, 2 are Y, U, V.
    pub fn plane(&self, plane: usize) -> &[u8] {
        let luma = (self.width * self.height) as usize;
        let chroma = (self.width.div_ceil(2) * self.height.div_ceil(2)) as usize;
        let ends = [0, luma, luma + chroma, luma + 2 * chroma];
        &self.data[ends[plane]..ends[plane + 1]]
    }

    /// What the compositor takes.
    pub fn view(&self, generation: u64) -> PictureView<'_> {
        let (stride, chroma) = (self.width as usize, self.width.div_ceil(2) as usize);
        PictureView {
            width: self.width,
            height: self.height,
            planes: [self.plane(0), self.plane(1), self.plane(2)],
            strides: [stride, chroma, chroma],
            sample_aspect: (1, 1),
            matrix: ColorMatrix::Bt709,
            range: ColorRange::Limited,
            generation,
        }
    }
}

/// Writes pictures as a raw file.
pub fn write_raw<'a>(path: &Path, pictures: impl IntoIterator<Item = &'a Picture>) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    pictures.into_iter().try_for_each(|picture| file.write_all(picture.bytes()))?;
    file.flush()
}

/// Peak signal-to-noise ratio in dB.
pub fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len(), "pictures of one size");
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares as f64).log10()
}
