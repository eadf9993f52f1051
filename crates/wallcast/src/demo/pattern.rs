//! What moves in the pictures, a different thing for each of four cameras. Each is a function of the time
//! alone, so that a picture needs nothing of the one before.

use std::f64::consts::TAU;

use super::painting::{Colour, Painting, Rect};

/// One camera's moving pattern.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pattern {
    /// A ball on a curve that comes back to its beginning after eight seconds.
    Ball,
    /// Bars that wander to the left.
    Bars,
    /// Three moons around a planet.
    Moons,
    /// Slanting stripes that wander to the right.
    Stripes,
}

impl Pattern {
    /// Cameras 1 to 4, and on from the beginning.
    pub(super) fn of(camera: u8) -> Self {
        [Self::Ball, Self::Bars, Self::Moons, Self::Stripes][usize::from(camera.saturating_sub(1) % 4)]
    }

    /// Paints the pattern as it is at `millis` into `window`, in two colours.
    pub(super) fn paint(self, painting: &mut Painting, window: Rect, millis: u64, colours: [Colour; 2]) {
        painting.fill(window, colours[0]);
        let turn = |period: u64| (millis % period) as f64 / period as f64 * TAU;
        let centre =
            (window.x as f64 + window.width as f64 / 2.0, window.y as f64 + window.height as f64 / 2.0);
        let unit = window.height.min(window.width) as f64;
        match self {
            Self::Ball => {
                let reach =
                    (window.width as f64 / 2.0 - unit * 0.14, window.height as f64 / 2.0 - unit * 0.14);
                // Its shadows first, the oldest is the faintest.
                for age in (0..5_u32).rev() {
                    let at = turn(8_000) - f64::from(age) * 0.05;
                    let place = (centre.0 + reach.0 * at.sin(), centre.1 + reach.1 * (2.0 * at + 0.6).sin());
                    painting.fill_disc(place, unit * 0.13, window, colours[0].mix(colours[1], 256 >> age));
                }
            }
            Self::Bars => Self::slide(painting, window, millis, colours, -1, 0),
            Self::Moons => {
                painting.fill_disc(centre, unit * 0.16, window, colours[0].mix(colours[1], 128));
                for (moon, period) in [(1.0, 3_000), (2.0, 5_000), (3.0, 8_000)] {
                    let at = turn(period) + moon;
                    let orbit = unit * (0.11 + 0.1 * moon);
                    let place = (centre.0 + orbit * 1.5 * at.cos(), centre.1 + orbit * at.sin());
                    painting.fill_disc(place, unit * 0.055, window, colours[1]);
                }
            }
            Self::Stripes => Self::slide(painting, window, millis, colours, 1, 1),
        }
    }

    /// Bars eight to the window's height, a window height every four seconds, each row `slant` further.
    fn slide(painting: &mut Painting, window: Rect, millis: u64, colours: [Colour; 2], way: i64, slant: i64) {
        let bar = (window.height / 4).max(1) as i64;
        let moved = (millis % 4_000) as i64 * bar * 4 / 4_000;
        let right = (window.x + window.width) as i64;
        for row in 0..window.height {
            // Pairs of rows move together: they share their chroma.
            let shift = way * moved + slant * (row / 2 * 2) as i64;
            let mut left = window.x as i64 + shift.rem_euclid(bar * 2) - bar * 2;
            while left < right {
                let clip = |x: i64| x.clamp(window.x as i64, right) as usize;
                painting.fill_span(clip(left), clip(left + bar), window.y + row, colours[1]);
                left += bar * 2;
            }
        }
    }
}
