//! `auto` with encoders that work, fail and hang as told.

use super::*;
use crate::geometry::{CanvasSize, FrameRate};
use bytes::Bytes;
use std::sync::Mutex;

/// What an encoder does with every canvas.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Works,
    Fails,
    Nothing,
}

struct Scripted(EncoderChoice, Does);

impl Encode for Scripted {
    fn encode(&mut self, _: &Canvas, _: bool, time: CanvasTime) -> Result<Option<Encoded>, EncodeError> {
        match self.1 {
            Does::Works => Ok(Some(Encoded { data: Bytes::from_static(b"unit"), key: true })),
            Does::Nothing => Ok(None),
            Does::Fails => Err(EncodeError::Failed {
                encoder: self.0.as_str(),
                tick: time.tick(),
                source: "as the test wants".into(),
            }),
        }
    }

    fn set_bitrate(&mut self, _: Bitrate) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        self.0.as_str()
    }
}

fn config() -> EncoderConfig {
    let size = CanvasSize::new(64, 64).expect("a valid size");
    EncoderConfig { size, fps: FrameRate::DEFAULT, bitrate: Bitrate::DEFAULT }
}

type Tried = Arc<Mutex<Vec<EncoderChoice>>>;

/// An opener on a machine that has `there`, all of which do the same. Says in which order they were tried.
fn auto(there: &'static [EncoderChoice], does: Does) -> (Opener, Tried) {
    let tried = Tried::default();
    let noted = Arc::clone(&tried);
    let open = move |choice, config| -> Result<Box<dyn Encode>, OpenError> {
        noted.lock().expect("no test panics in here").push(choice);
        if choice == EncoderChoice::OpenH264 {
            Ok(Box::new(Scripted(choice, Does::Works)))
        } else if there.contains(&choice) {
            Ok(Box::new(Scripted(choice, does)))
        } else {
            Err(OpenError { encoder: choice.as_str(), config, source: "not on this machine".into() })
        }
    };
    (Opener::with(EncoderChoice::Auto, Box::new(open)), tried)
}

/// Opens an encoder and gives it canvases; its name.
fn run(opener: &mut Opener, canvases: u64) -> &'static str {
    let mut encoder = opener.open(config()).expect("opens");
    let canvas = Canvas::black(config().size);
    for tick in 0..canvases {
        if encoder.encode(&canvas, false, CanvasTime::new(tick, FrameRate::DEFAULT)).is_err() {
            break;
        }
    }
    encoder.name()
}

#[test]
fn auto_takes_the_first_hardware_that_opens() {
    let (mut opener, tried) = auto(&[EncoderChoice::Vaapi, EncoderChoice::Qsv], Does::Works);
    assert_eq!(run(&mut opener, 3), "h264_vaapi");
    assert_eq!(*tried.lock().expect("no panic"), [EncoderChoice::Nvenc, EncoderChoice::Vaapi]);
    assert_eq!(run(&mut opener, 3), "h264_vaapi");
    assert_eq!(tried.lock().expect("no panic").len(), 3, "what did not open is not tried again");
}

#[test]
fn auto_takes_software_where_no_hardware_opens() {
    let (mut opener, tried) = auto(&[], Does::Works);
    assert_eq!(run(&mut opener, 3), "openh264");
    assert_eq!(tried.lock().expect("no panic")[..5], HARDWARE);
    assert_eq!(run(&mut opener, 3), "openh264");
    assert_eq!(tried.lock().expect("no panic").len(), 7);
}

#[test]
fn hardware_that_fails_twice_in_a_row_is_passed_over() {
    for does in [Does::Fails, Does::Nothing] {
        let (mut opener, _) = auto(&[EncoderChoice::Nvenc, EncoderChoice::Rkmpp], does);
        let names: Vec<_> = (0..6).map(|_| run(&mut opener, 3)).collect();
        assert_eq!(names[..4], ["h264_nvenc", "h264_nvenc", "h264_rkmpp", "h264_rkmpp"]);
        assert_eq!(names[4..], ["openh264"; 2]);
    }
}

#[test]
fn hardware_that_is_left_in_the_middle_of_a_call_has_failed() {
    let (mut opener, _) = auto(&[EncoderChoice::Vaapi], Does::Works);
    for _ in 0..2 {
        assert_eq!(run(&mut opener, 3), "h264_vaapi");
        // As the wall leaves one that stalls.
        opener.watched.as_ref().expect("watched").failed.store(true, Ordering::Relaxed);
    }
    assert_eq!(run(&mut opener, 3), "openh264");
}

#[test]
fn hardware_that_worked_is_given_another_chance() {
    let (mut opener, _) = auto(&[EncoderChoice::Vaapi], Does::Works);
    for _ in 0..5 {
        assert_eq!(run(&mut opener, u64::from(HAS_WORKED)), "h264_vaapi");
        opener.watched.as_ref().expect("watched").failed.store(true, Ordering::Relaxed);
    }
    for _ in 0..5 {
        assert_eq!(run(&mut opener, 3), "h264_vaapi", "as at a change of the frame rate");
    }
}

#[test]
fn an_encoder_that_is_asked_for_by_name_and_not_there_says_what_is_missing() {
    // No machine has all of these: one that has a Raspberry Pi's has no NVIDIA's.
    let mut refusals = 0;
    for choice in HARDWARE {
        let Err(error) = super::super::open(choice, config()) else { continue };
        let text = format!("{error}: {}", std::error::Error::source(&error).expect("has a reason"));
        assert!(text.starts_with(&format!("{choice} does not open for 64x64 at 25 fps")), "{text}");
        assert!(text.contains("found ") || text.contains("built without"), "{text}");
        assert!(text.contains("expected "), "{text}");
        refusals += 1;
    }
    assert!(refusals > 0);
}

#[test]
fn auto_opens_something_on_every_machine_and_it_encodes() {
    let mut encoder = Opener::new(EncoderChoice::Auto).open(config()).expect("opens");
    let canvas = Canvas::black(config().size);
    let first = (0..4).find_map(|tick| {
        encoder.encode(&canvas, false, CanvasTime::new(tick, FrameRate::DEFAULT)).expect("encodes")
    });
    assert!(first.expect("an access unit").key, "{}", encoder.name());
}
