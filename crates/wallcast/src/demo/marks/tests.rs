#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const WHOLE: PictureArea = PictureArea { x: 0.0, y: 0.0, width: 320.0, height: 180.0 };

fn painted(marks: Marks) -> Painting {
    let mut painting = Painting::new(320, 180);
    paint(&mut painting, marks);
    painting
}

#[test]
fn what_is_painted_is_read_for_every_camera_and_all_kinds_of_times() {
    for camera in 1..=LARGEST_CAMERA {
        for millis in [0, 1, 0x5555_5555, 0xaaaa_aaaa, 0x8000_0000, u32::MAX, 1_790_000_000] {
            let marks = Marks { camera, millis };
            assert_eq!(read_marks(painted(marks).plane(0), 320, WHOLE), Some(marks));
        }
    }
}

/// The same vector is in `scripts/e2e/marks.test.mjs`.
#[test]
fn the_word_is_what_the_documentation_says() {
    assert_eq!(encode(Marks { camera: 3, millis: 0x1234_5678 }), 0x3123_4567_89a2);
}

#[test]
fn one_or_two_wrong_cells_are_always_found_out() {
    let word = encode(Marks { camera: 2, millis: 123_456_789 });
    for first in 0..48 {
        assert_eq!(decode(word ^ 1 << first), None);
        for second in 0..first {
            assert_eq!(decode(word ^ 1 << first ^ 1 << second), None);
        }
    }
}

#[test]
fn no_marks_are_found_where_there_are_none() {
    for flat in [0, 16, 128, 235] {
        assert_eq!(read_marks(&vec![flat; 320 * 180], 320, WHOLE), None);
    }
    let luma = painted(Marks { camera: 1, millis: 1 });
    let shifted = PictureArea { x: 8.0, ..WHOLE };
    assert_eq!(read_marks(luma.plane(0), 320, shifted), None);
    for outside in [
        PictureArea { x: -200.0, ..WHOLE },
        PictureArea { y: 100.0, ..WHOLE },
        PictureArea { width: 5000.0, ..WHOLE },
        PictureArea { width: f64::NAN, ..WHOLE },
        PictureArea { width: 0.0, height: 0.0, ..WHOLE },
    ] {
        assert_eq!(read_marks(luma.plane(0), 320, outside), None, "{outside:?}");
    }
    assert_eq!(read_marks(&[], 320, WHOLE), None);
}
