//! The AVX2 form against the scalar one, and both against swscale.

use super::*;

/// A plane of noise, or of a picture-like gradient with edges.
fn noise(width: usize, height: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..width * height)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn scale(plane: &[u8], source: (u32, u32), output: (u32, u32), instructions: Instructions) -> Vec<u8> {
    let mut scaled = vec![0; (output.0 * output.1) as usize];
    let plane = Plane { data: plane, stride: source.0 as usize };
    PlaneScaler::new(source, output, Orientation::default(), instructions).scale(
        plane,
        &mut scaled,
        output.0 as usize,
    );
    scaled
}

#[test]
fn the_vector_forms_give_the_scalar_forms_numbers() {
    let lengths = [1, 2, 3, 5, 8, 17, 33, 64, 67, 100, 128, 131, 256, 270, 512];
    for source in lengths.into_iter().flat_map(|w| lengths.map(|h| (w, h))) {
        let plane = noise(source.0 as usize, source.1 as usize, 7);
        for output in [(2, 2), (34, 18), (64, 64), (66, 32), (128, 128), (256, 16), (130, 250)] {
            let scalar = scale(&plane, source, output, Instructions::Scalar);
            for instructions in Instructions::available() {
                let found = scale(&plane, source, output, instructions);
                assert!(scalar == found, "{source:?} to {output:?} in {instructions:?}");
            }
        }
    }
}

#[test]
fn shortcuts_give_the_filters_numbers() {
    for (across, down) in
        [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 4), (2, 8), (4, 1), (4, 2), (4, 4), (4, 8)]
    {
        let (output, source) = ((70, 20), (70 * across, 20 * down));
        let plane = noise(source.0 as usize, source.1 as usize, 3);
        for instructions in Instructions::available() {
            let mut filtered = vec![0; 70 * 20];
            let mut scaler = PlaneScaler::new(source, output, Orientation::default(), instructions);
            assert_ne!(scaler.path, Path::Filter);
            scaler.path = Path::Filter;
            scaler.scale(Plane { data: &plane, stride: source.0 as usize }, &mut filtered, 70);
            assert!(filtered == scale(&plane, source, output, instructions), "{across} x {down}");
        }
    }
}

#[test]
fn a_flat_plane_stays_flat_at_every_ratio() {
    for value in [0, 1, 16, 127, 235, 255] {
        for (source, output) in
            [((31, 7), (64, 64)), ((1920, 1080), (466, 262)), ((640, 360), (962, 540)), ((1, 1), (8, 8))]
        {
            let plane = vec![value; (source.0 * source.1) as usize];
            let scaled = scale(&plane, source, output, Instructions::detect());
            assert!(scaled.iter().all(|&s| s == value), "{value}, {source:?} to {output:?}");
        }
    }
}

#[test]
fn rows_further_apart_than_they_are_long_are_read_and_written_in_place() {
    let plane = noise(100, 40, 11);
    let mut padded = vec![255; 128 * 40];
    for (row, wide) in plane.chunks(100).zip(padded.chunks_mut(128)) {
        wide[..100].copy_from_slice(row);
    }
    let mut canvas = vec![9; 80 * 24];
    // The last row of either ends where its samples do.
    let source = Plane { data: &padded[..39 * 128 + 100], stride: 128 };
    PlaneScaler::new((100, 40), (60, 24), Orientation::default(), Instructions::detect()).scale(
        source,
        &mut canvas[..23 * 80 + 60],
        80,
    );
    let expected = scale(&plane, (100, 40), (60, 24), Instructions::Scalar);
    for (row, expected) in canvas.chunks(80).zip(expected.chunks(60)) {
        assert_eq!(&row[..60], expected);
        assert!(row[60..].iter().all(|&s| s == 9), "beside the tile nothing is touched");
    }
}

/// Samples, and their width and height, of a binary PGM in `tests/data/scale`.
fn pgm(name: &str) -> (Vec<u8>, (u32, u32)) {
    let path = format!("{}/tests/data/scale/{name}.pgm", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(&path).expect("the reference is committed");
    let header = String::from_utf8_lossy(&file[..20]).into_owned();
    let fields: Vec<&str> = header.split_ascii_whitespace().take(4).collect();
    let number = |i: usize| fields[i].parse::<u32>().expect("a number");
    let size = (number(1), number(2));
    (file[file.len() - (size.0 * size.1) as usize..].to_vec(), size)
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares as f64).log10()
}

#[test]
fn pictures_agree_with_swscale_to_45_db_and_nearest_neighbour_would_not() {
    let (source, size) = pgm("source");
    for name in ["area-100x74", "area-50x38", "area-152x114", "area-66x150", "area-260x100", "area-304x226"] {
        let (reference, output) = pgm(name);
        let ours = scale(&source, size, output, Instructions::detect());
        let found = psnr(&ours, &reference);
        assert!(found >= 45.0, "{name}: {found:.1} dB");
        let nearest = |i: u32, from: u32, to: u32| (i * from + from / 2) / to;
        let picked: Vec<u8> = (0..output.0 * output.1)
            .map(|i| {
                let (x, y) =
                    (nearest(i % output.0, size.0, output.0), nearest(i / output.0, size.1, output.1));
                source[(y * size.0 + x) as usize]
            })
            .collect();
        assert!(
            psnr(&picked, &reference) < 35.0,
            "{name}: the reference does not tell a good scaler from a bad one"
        );
    }
}
