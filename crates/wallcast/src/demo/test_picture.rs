//! The composition of a simulated camera's picture: number, moving pattern, clock, marks.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, tz::TimeZone};
use wallcast_compositor::CanvasSize;

use super::{
    font,
    marks::{self, Marks},
    painting::{Colour, Painting, Rect},
    pattern::Pattern,
};

/// Base and accent of each camera, full-range R, G, B.
const COLOURS: [[[u8; 3]; 2]; 4] = [
    [[24, 58, 104], [106, 186, 255]],
    [[18, 78, 66], [98, 226, 176]],
    [[110, 58, 22], [255, 184, 92]],
    [[78, 40, 98], [222, 152, 255]],
];

/// One camera's picture, painted again and again in the same memory.
#[derive(Debug)]
pub(super) struct TestPicture {
    camera: u8,
    /// What does not move.
    ground: Painting,
    picture: Painting,
    time_zone: TimeZone,
}

impl TestPicture {
    pub(super) fn new(camera: u8, size: CanvasSize) -> Self {
        let mut ground = Painting::new(size.width() as usize, size.height() as usize);
        paint_ground(&mut ground, camera);
        Self { camera, picture: ground.clone(), ground, time_zone: TimeZone::system() }
    }

    /// Paints the picture of a moment.
    pub(super) fn paint(&mut self, at: SystemTime) {
        let millis = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        self.picture.copy_from(&self.ground);
        let (width, height) = (self.picture.width(), self.picture.height());

        let window = Rect {
            x: width * 15 / 40 / 2 * 2,
            y: height * 2 / 20 / 2 * 2,
            width: width * 22 / 40,
            height: height * 8 / 20,
        };
        let [base, accent] = colours(self.camera);
        let pattern = [base.mix(Colour::BLACK, 110), accent];
        Pattern::of(self.camera).paint(&mut self.picture, window, millis, pattern);

        let clock = self.clock(millis);
        let dot = (width / 100).min(height / 56).max(1);
        let left = width.saturating_sub(font::width(&clock) * dot) / 2;
        font::write(&mut self.picture, (left, height * 45 / 80), dot, &clock, Colour::WHITE);

        marks::paint(&mut self.picture, Marks { camera: self.camera, millis: millis as u32 });
    }

    pub(super) fn planes(&self) -> &Painting {
        &self.picture
    }

    /// The time of day here, to the millisecond.
    fn clock(&self, millis: u64) -> String {
        let timestamp = Timestamp::from_millisecond(millis as i64).unwrap_or_default();
        timestamp.to_zoned(self.time_zone.clone()).strftime("%H:%M:%S.%3f").to_string()
    }
}

fn colours(camera: u8) -> [Colour; 2] {
    COLOURS[usize::from(camera.saturating_sub(1) % 4)].map(Colour::from_rgb)
}

/// A sky that darkens downwards, the name and number, and the dark panel that the marks stand on.
fn paint_ground(ground: &mut Painting, camera: u8) {
    let (width, height) = (ground.width(), ground.height());
    let [base, accent] = colours(camera);
    for row in 0..height {
        let shade = base.mix(Colour::BLACK, (row * 150 / height) as u32);
        ground.fill_span(0, width, row, shade);
    }

    let number = camera.to_string();
    let name_dot = (width / 120).min(height / 68).max(1);
    let number_dot = (width / (font::width(&number).max(9) * 5)).min(height / 24).max(1);
    let column =
        Rect { x: width * 3 / 40, y: height * 2 / 20, width: width * 10 / 40, height: height * 8 / 20 };
    let centred =
        |text: &str, dot: usize| column.x + column.width.saturating_sub(font::width(text) * dot) / 2;
    font::write(ground, (centred("CAM", name_dot), column.y), name_dot, "CAM", accent);
    let below = column.y + column.height - font::HEIGHT * number_dot;
    font::write(ground, (centred(&number, number_dot), below), number_dot, &number, Colour::WHITE);

    let panel = marks::panel(ground);
    ground.fill(panel, Colour::BLACK);
}

#[cfg(test)]
mod tests;
