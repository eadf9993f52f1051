//! Tiles in step on real records: what is handed out, and that the life of a tile stays what it is.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::decode::{Decoder, Hardware};
use crate::frame::Frame;
use crate::queue::Codec;
use crate::record::{CameraRecord, Output, Record, Stream};
use crate::tile::Moment;

const BLACK_AFTER: Duration = Duration::from_secs(10);
const TILE: TileSize = TileSize::new(640, 360);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn moment(mono: Instant) -> Moment {
    Moment { mono, wall: SystemTime::UNIX_EPOCH }
}

/// A camera of 25 frames a second whose pictures are decoded so much later than they are taken.
struct Camera {
    record: Arc<CameraRecord>,
    main: Arc<Record>,
    tile: AlignedTile,
    start: Instant,
    next: u64,
    delay: u64,
}

impl Camera {
    fn on(alignment: &Arc<Alignment>, start: Instant, delay: u64) -> Self {
        let record = CameraRecord::with(None, false, moment(start));
        let main = Record::new(record.clone(), Stream::Main);
        main.session_began(1, false);
        let tile = alignment.tile_of(record.clone());
        Self { record, main, tile, start, next: 0, delay }
    }

    fn frame(&mut self) -> Arc<Frame> {
        let stream = include_bytes!("../../tests/fixtures/small.h264");
        let (taken, mut sequence) = (self.start + ms(40 * self.next), self.main.next_sequence());
        let mut decoder = Decoder::open(Codec::H264, Hardware::None).unwrap();
        let frame = decoder.decode(stream, taken, &mut sequence).frames.swap_remove(0);
        self.main.used_sequences_below(sequence);
        self.next += 1;
        frame
    }

    /// Everything up to `at`; of three pictures that come at once the first two are overtaken.
    fn play(&mut self, at: u64, in_threes: bool) {
        while 40 * self.next + self.delay + if in_threes { 80 } else { 0 } <= at {
            let decoded = moment(self.start + ms(at));
            if in_threes {
                for _ in 0..2 {
                    let overtaken = self.frame();
                    self.main.overtaken(decoded.mono, &overtaken);
                }
            }
            let frame = self.frame();
            self.main.decoded(1, decoded, Output { frames: 1, ..Output::default() });
            self.main.published(1, decoded, frame, false);
        }
    }

    /// When the picture was taken that the tile shows.
    fn look(&mut self, at: u64) -> Option<u64> {
        let tile = self.tile.tile(self.start + ms(at), BLACK_AFTER, TILE);
        // Frames keep whole microseconds.
        tile.frame.map(|frame| ((frame.captured_at() - self.start).as_micros() as u64).div_ceil(1_000))
    }
}

#[test]
fn tiles_show_what_was_taken_at_the_same_time_also_of_cameras_whose_pictures_come_in_bursts() {
    let (alignment, start) = (Alignment::new(ms(200), ms(40)), Instant::now());
    let mut quick = Camera::on(&alignment, start, 20);
    let mut late = Camera::on(&alignment, start, 150);
    let mut in_bursts = Camera::on(&alignment, start, 20);
    for at in (0..8_000).step_by(40) {
        quick.play(at, false);
        late.play(at, false);
        in_bursts.play(at, true);
        let shown = [quick.look(at), late.look(at), in_bursts.look(at)];
        if at > 2_000 {
            assert!(shown[0].is_some() && shown.iter().all(|other| *other == shown[0]), "{at}: {shown:?}");
        }
    }
    let stats = alignment.stats(start + ms(7_960));
    assert!(stats.skew_ms.p99 < 0.1 && (200.0..250.0).contains(&stats.delay_ms), "{stats:?}");
    assert_eq!(in_bursts.record.stats(start + ms(8_000), BLACK_AFTER).frames_overwritten, 0);
}

#[test]
fn a_tile_in_step_is_black_ten_seconds_after_the_last_decoded_picture_like_any_other() {
    let (alignment, start) = (Alignment::new(ms(200), ms(40)), Instant::now());
    let mut camera = Camera::on(&alignment, start, 0);
    for at in (0..=2_000).step_by(40) {
        camera.play(at, false);
        camera.look(at);
    }
    for at in (2_040..12_000).step_by(40) {
        // It goes on to its last picture, and stays there.
        let shown = camera.look(at).unwrap();
        assert!(shown.abs_diff((at - 200).min(2_000)) <= 60, "{at}: {shown}");
    }
    assert_eq!(camera.look(11_999), Some(2_000));
    assert_eq!(camera.look(12_000), None);
}
