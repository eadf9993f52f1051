//! The stream that every server is given: two seconds and more of 1080p, encoded once, each frame stamped with the time
//! at which it is handed in.
//!
//! The stamp stands in the first slice, where nobody looks who does not decode; so it changes neither the number nor the
//! sizes of the packets, and survives every server. Whoever receives a frame knows by a hash of its slices, less the
//! stamp, which frame it is and that it is whole.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use bytes::Bytes;
use wallcast_compositor::encoder::{EncoderConfig, OpenH264};
use wallcast_compositor::{Bitrate, Canvas, CanvasSize, CanvasTime, FrameRate};

use crate::pictures::Picture;

/// Between two frames: 25 a second.
pub const TICK: Duration = Duration::from_millis(40);
/// Of a frame in 90 kHz.
pub const RTP_TICK: u32 = 3600;
/// The longest a newcomer waits for his key frame.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Frames that wait while a delay is injected.
const HELD: usize = 16;

/// In bytes from a slice's NAL unit header on; behind every field of a slice header that a server might read.
const STAMP_AT: usize = 24;
/// Nanoseconds since 1970, four bits a byte, each byte above 3, so that no start code comes about.
const STAMP_LEN: usize = 16;

/// Frames to be sent round and round; the first is the only key frame.
pub struct Film {
    units: Vec<Unit>,
}

struct Unit {
    annex_b: Vec<u8>,
    key: bool,
    /// Where the stamp goes.
    stamp: usize,
}

/// A frame that is handed in.
pub struct Frame {
    /// Stamped.
    pub annex_b: Bytes,
    /// An IDR with its parameter sets.
    pub key: bool,
    /// 90 kHz, wrapping.
    pub rtp_time: u32,
}

impl Film {
    /// A moving, noisy pattern by the wall's own encoder at 4 Mb/s.
    pub fn encode(frames: u32) -> anyhow::Result<Self> {
        let (size, fps) = (CanvasSize::FULL_HD, FrameRate::DEFAULT);
        let mut encoder = OpenH264::new(EncoderConfig { size, fps, bitrate: Bitrate::DEFAULT })?;
        let mut units = Vec::new();
        for tick in 0..frames {
            let picture = Picture::moving(1920, 1080, 0, tick);
            let mut canvas = Canvas::black(size);
            (0..3).for_each(|plane| canvas.plane_mut(plane).copy_from_slice(picture.plane(plane)));
            let encoded = encoder.encode(&canvas, tick == 0, CanvasTime::new(tick.into(), fps))?;
            units.extend(encoded.map(|unit| Unit::new(unit.data.to_vec(), unit.key)).transpose()?);
        }
        ensure!(units.first().is_some_and(|unit| unit.key), "the film does not begin with a key frame");
        Ok(Self { units })
    }

    /// Each frame as its length and where its stamp goes (32 bits each), whether it is a key frame (a byte), and its bytes.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for unit in &self.units {
            file.write_all(&(unit.annex_b.len() as u32).to_be_bytes())?;
            file.write_all(&(unit.stamp as u32).to_be_bytes())?;
            file.write_all(&[u8::from(unit.key)])?;
            file.write_all(&unit.annex_b)?;
        }
        Ok(file.flush()?)
    }

    /// What [`Film::write`] wrote.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
        let (mut units, mut head) = (Vec::new(), [0; 9]);
        while file.read_exact(&mut head).is_ok() {
            let [l0, l1, l2, l3, .., key] = head;
            let mut annex_b = vec![0; u32::from_be_bytes([l0, l1, l2, l3]) as usize];
            file.read_exact(&mut annex_b)?;
            units.push(Unit::new(annex_b, key == 1)?);
        }
        Ok(Self { units })
    }

    /// Bits a second.
    pub fn bitrate(&self) -> f64 {
        let bytes: usize = self.units.iter().map(|unit| unit.annex_b.len()).sum();
        bytes as f64 * 8.0 / (TICK.as_secs_f64() * self.units.len() as f64)
    }

    /// Hands in a frame every 40 ms, for good; begins again with the key frame when one is `wanted`, twice a second at
    /// most. `hold` is a delay to be found by whoever measures: the frame is stamped, held, and handed in.
    pub fn play(&self, hold: Duration, wanted: &AtomicBool, hand_in: impl FnMut(Frame)) {
        self.play_until(&AtomicBool::new(false), hold, wanted, hand_in);
    }

    /// The same, until `is_over`.
    pub fn play_until(
        &self,
        is_over: &AtomicBool,
        hold: Duration,
        wanted: &AtomicBool,
        mut hand_in: impl FnMut(Frame),
    ) {
        if hold.is_zero() {
            return self.tick(is_over, wanted, |frame, _| hand_in(frame));
        }
        // A line, because frames come while others are held.
        std::thread::scope(|scope| {
            let (line, held) = std::sync::mpsc::sync_channel(HELD);
            scope.spawn(move || {
                self.tick(is_over, wanted, |frame, stamped| {
                    let _ = line.send((frame, stamped + hold));
                });
            });
            for (frame, due) in held {
                sleep(due.saturating_duration_since(Instant::now()));
                hand_in(frame);
            }
        });
    }

    fn tick(&self, is_over: &AtomicBool, wanted: &AtomicBool, mut ready: impl FnMut(Frame, Instant)) {
        let start = Instant::now();
        let (mut next, mut last_key) = (0, None::<Instant>);
        for tick in (0u32..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
            sleep((start + tick * TICK).saturating_duration_since(Instant::now()));
            let now = Instant::now();
            let may_begin = last_key.is_none_or(|last| now.duration_since(last) >= KEY_FRAME_INTERVAL);
            if may_begin && wanted.swap(false, Ordering::Relaxed) {
                next = 0;
            }
            let unit = &self.units[next];
            if unit.key {
                last_key = Some(now);
            }
            next = (next + 1) % self.units.len();
            let annex_b = unit.stamped(nanoseconds());
            ready(Frame { annex_b, key: unit.key, rtp_time: tick.wrapping_mul(RTP_TICK) }, Instant::now());
        }
    }

    /// To recognise frames by.
    pub fn recogniser(&self) -> Recogniser {
        let hashes = self
            .units
            .iter()
            .enumerate()
            .filter_map(|(number, unit)| Some((slices(&unit.annex_b)?.0, number)));
        Recogniser { frames: hashes.collect(), count: self.units.len() }
    }
}

impl Unit {
    fn new(annex_b: Vec<u8>, key: bool) -> anyhow::Result<Self> {
        let first_slice = nal_units(&annex_b).find(|nal| is_slice(&annex_b[nal.clone()]));
        let slice = first_slice.context("a frame without a slice")?;
        ensure!(
            slice.len() > STAMP_AT + STAMP_LEN,
            "a slice of {} bytes, too short for a stamp",
            slice.len()
        );
        Ok(Self { stamp: slice.start + STAMP_AT, annex_b, key })
    }

    fn stamped(&self, nanoseconds: u64) -> Bytes {
        let mut annex_b = self.annex_b.clone();
        for (nibble, byte) in annex_b[self.stamp..][..STAMP_LEN].iter_mut().enumerate() {
            *byte = 0x40 | (nanoseconds >> (60 - 4 * nibble)) as u8 & 0xf;
        }
        annex_b.into()
    }
}

/// Knows every frame of a film.
pub struct Recogniser {
    frames: HashMap<u64, usize>,
    count: usize,
}

impl Recogniser {
    /// Which frame this is, and when it was stamped; nothing when a byte of its slices is missing or wrong.
    pub fn recognise(&self, annex_b: &[u8]) -> Option<(usize, Duration)> {
        let (hash, stamp) = slices(annex_b)?;
        Some((*self.frames.get(&hash)?, stamp))
    }

    /// A viewer that misses nothing gets `next` after `last`.
    pub fn follows(&self, last: usize, next: usize) -> bool {
        next == 0 || (last + 1) % self.count == next
    }
}

/// Now, as frames are stamped: the clock by which the kernel, too, says when a packet arrived.
fn nanoseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// A hash of a frame's slices but for the stamp, and the stamp.
fn slices(annex_b: &[u8]) -> Option<(u64, Duration)> {
    let (mut hasher, mut stamp) = (DefaultHasher::new(), None);
    for slice in nal_units(annex_b).map(|nal| &annex_b[nal]).filter(|nal| is_slice(nal)) {
        if stamp.is_none() {
            let (before, rest) = slice.split_at_checked(STAMP_AT)?;
            let (nibbles, after) = rest.split_at_checked(STAMP_LEN)?;
            stamp = Some(nibbles.iter().fold(0, |time, byte| time << 4 | u64::from(byte & 0xf)));
            (before, after).hash(&mut hasher);
        } else {
            slice.hash(&mut hasher);
        }
    }
    Some((hasher.finish(), Duration::from_nanos(stamp?)))
}

fn is_slice(nal: &[u8]) -> bool {
    nal.first().is_some_and(|header| matches!(header & 0x1f, 1 | 5))
}

/// The NAL units of a byte stream (H.264 annex B), without start codes and trailing zeros.
pub(crate) fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let starts =
        annex_b.windows(3).enumerate().filter(|(_, bytes)| *bytes == [0, 0, 1]).map(|(at, _)| at + 3);
    let mut starts = starts.peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        let mut end = starts.peek().map_or(annex_b.len(), |next| next - 3);
        while end > start && annex_b[end - 1] == 0 {
            end -= 1;
        }
        Some(start..end)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn unit(key: bool, seed: u8) -> Unit {
        let mut annex_b = if key { vec![0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3] } else { Vec::new() };
        annex_b.extend([0, 0, 0, 1, if key { 0x65 } else { 0x41 }]);
        annex_b.extend((0..200).map(|i| (i ^ seed) | 0x80));
        Unit::new(annex_b, key).unwrap()
    }

    #[test]
    fn a_frame_is_recognised_with_the_time_it_was_stamped_and_not_when_a_byte_is_wrong() {
        let film = Film { units: vec![unit(true, 1), unit(false, 2), unit(false, 3)] };
        let recogniser = film.recogniser();
        let stamp = 0x1234_5678_9abc_def0;
        for (number, unit) in film.units.iter().enumerate() {
            let frame = unit.stamped(stamp);
            assert_eq!(recogniser.recognise(&frame), Some((number, Duration::from_nanos(stamp))));
            for at in [frame.len() - 1, unit.stamp - 1, unit.stamp + STAMP_LEN] {
                let mut broken = frame.to_vec();
                broken[at] ^= 0x40;
                assert_eq!(recogniser.recognise(&broken), None, "byte {at} of frame {number}");
            }
            assert_eq!(recogniser.recognise(&frame[..frame.len() - 1]), None);
        }
        let follows = |last, next| recogniser.follows(last, next);
        assert!(follows(0, 1) && follows(2, 0) && follows(1, 0), "a film may begin again at any time");
        assert!(!follows(0, 2) && !follows(1, 1));
    }

    #[test]
    fn a_film_that_was_written_is_read_again() {
        let film = Film { units: vec![unit(true, 1), unit(false, 2)] };
        let file = std::env::temp_dir().join(format!("wallcast-film-{}", std::process::id()));
        film.write(&file).unwrap();
        let read = Film::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let contents = |film: &Film| {
            film.units.iter().map(|unit| (unit.annex_b.clone(), unit.key, unit.stamp)).collect::<Vec<_>>()
        };
        assert_eq!(contents(&read), contents(&film));
    }

    #[test]
    fn what_is_held_comes_late_and_everything_comes() {
        let film = Film { units: vec![unit(true, 1), unit(false, 2)] };
        let recogniser = film.recogniser();
        let (is_over, mut frames, hold) = (AtomicBool::new(false), Vec::new(), Duration::from_millis(100));
        film.play_until(&is_over, hold, &AtomicBool::new(false), |frame| {
            let (number, stamped) = recogniser.recognise(&frame.annex_b).unwrap();
            frames.push((number, Duration::from_nanos(nanoseconds()).saturating_sub(stamped)));
            is_over.store(frames.len() >= 6, Ordering::Relaxed);
        });
        assert!(frames.iter().all(|(_, late)| *late >= hold), "{frames:?}");
        let numbers: Vec<_> = frames.iter().take(6).map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 1, 0, 1, 0, 1]);
    }
}
