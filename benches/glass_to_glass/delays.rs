//! From frames of the wall to delays of pictures.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use wallcast::demo::marks::{PictureArea, read_marks};

use crate::cameras::{Cameras, was_held};

/// p50, p95 and p99.
pub const SHARES: [f64; 3] = [0.5, 0.95, 0.99];

/// Milliseconds by [`SHARES`].
pub type Shares = [f64; 3];

/// When a frame's last packet arrived, and the frame.
type Frame = (Duration, Vec<u8>);

/// What was measured.
#[derive(Default)]
pub struct Delays {
    pub all: Vec<Age>,
    /// Of what they are made, as far as that is known.
    pub parts: Vec<(&'static str, Shares)>,
}

/// Of one picture, in the frame that showed it first.
#[derive(Clone, Copy)]
pub struct Age {
    pub ms: f64,
    /// The camera's count of its pictures.
    pub number: usize,
}

impl Delays {
    pub fn shares(&self) -> Shares {
        shares(self.all.iter().map(|age| age.ms).collect())
    }

    /// By how much those are later that were held. A screen knows no moments but its own, 17 ms apart, so it is not the
    /// medians that are compared but means; without the tenth at either end, which a busy machine makes.
    pub fn held(&self) -> f64 {
        let mean = |held: bool| {
            let those = self.all.iter().filter(|age| was_held(age.number) == Some(held));
            let mut those: Vec<f64> = those.map(|age| age.ms).collect();
            those.sort_by(f64::total_cmp);
            let middle = &those[those.len() / 10..those.len() - those.len() / 10];
            middle.iter().sum::<f64>() / middle.len() as f64
        };
        mean(true) - mean(false)
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }
}

/// By the nearest rank.
pub fn shares(mut values: Vec<f64>) -> Shares {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    SHARES.map(|share| values[((values.len() - 1) as f64 * share) as usize])
}

/// Where on the wall the cameras' pictures are, and what they showed last.
#[derive(Clone)]
pub struct Reading {
    pub areas: Vec<PictureArea>,
}

/// The milliseconds in each tile's marks.
pub type Shown = Vec<Option<u32>>;

impl Reading {
    /// Of a wall with one camera, or with four in the reference layout.
    pub fn of(cameras: usize) -> Self {
        let area = |(x, y, width, height)| PictureArea { x, y, width, height };
        let areas: &[_] = match cameras {
            1 => &[(0.0, 0.0, 1920.0, 1080.0)],
            _ => &[
                (0.0, 405.0, 480.0, 270.0),
                (480.0, 0.0, 960.0, 540.0),
                (480.0, 540.0, 960.0, 540.0),
                (1440.0, 405.0, 480.0, 270.0),
            ],
        };
        Self { areas: areas.iter().copied().map(area).collect() }
    }

    /// Of what the viewers received after `from`; each from the first key frame on. The first of them got every frame; what
    /// others got is recognised by that.
    pub fn of_frames(&self, viewers: Vec<Vec<Frame>>, from: Duration, cameras: &Cameras) -> Delays {
        let known = self.decode(&viewers[0]);
        let mut delays = Delays::default();
        for frames in &viewers {
            let mut first_shown = FirstShown::default();
            for (arrived, unit) in frames {
                let Some(shown) = known.get(&hash(unit)) else { continue };
                let ages = first_shown.ages(shown, *arrived, cameras);
                delays.all.extend(ages.into_iter().filter(|_| *arrived >= from));
            }
        }
        delays
    }

    /// What each frame shows, by its hash.
    fn decode(&self, frames: &[Frame]) -> HashMap<u64, Shown> {
        let mut decoder = Decoder::new().unwrap();
        let mut known = HashMap::new();
        for (_, unit) in frames {
            // Nothing before the first key frame, and nothing after a loss until the next.
            let Ok(Some(picture)) = decoder.decode(unit) else { continue };
            let (luma, stride) = (picture.y(), picture.strides().0);
            let shown = self.areas.iter().map(|area| Some(read_marks(luma, stride, *area)?.millis));
            known.insert(hash(unit), shown.collect());
        }
        known
    }
}

/// Leaves out what was shown before: a picture counts in the first frame that shows it.
#[derive(Default)]
pub struct FirstShown(Shown);

impl FirstShown {
    /// How old those pictures are that this frame is the first to show.
    pub fn ages(&mut self, shown: &Shown, at: Duration, cameras: &Cameras) -> Vec<Age> {
        let before = std::mem::replace(&mut self.0, shown.clone());
        // Of the very first frame nobody knows whether it is.
        let news = shown.iter().zip(&before).enumerate().filter(|(_, (now, before))| now != before);
        let age = |(camera, (now, _)): (usize, (&Option<u32>, &Option<u32>))| {
            let (age, number) = cameras.age(camera, (*now)?, at)?;
            Some(Age { ms: age.as_secs_f64() * 1e3, number })
        };
        news.filter_map(age).collect()
    }
}

fn hash(unit: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    unit.hash(&mut hasher);
    hasher.finish()
}
