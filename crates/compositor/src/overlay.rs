//! What is said on a tile about what it shows: whose picture it is, how old, and why there is none.
//!
//! This file says what may be said; [`imprint`] decides what of it stands where on a tile, [`font`] sets it as text, and
//! [`sprite`] keeps the outcome, which is laid over the tile's picture whenever that is painted.

mod font;
mod imprint;
mod sprite;
mod words;

pub(crate) use self::imprint::{Content, Imprint};

use crate::picture::PictureView;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// What a tile shows at one tick.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The picture; none is black.
    pub picture: Option<PictureView<'a>>,
    /// What may be said about it; none for a tile that says nothing whatever its overlay is.
    pub caption: Option<Caption<'a>>,
    /// When the picture came to be had, where it is the newest of a source that gives them one by one: the wall's tick is
    /// moved to just after such moments. None for what is there at any time, or is held back on purpose.
    pub came: Option<Instant>,
}

/// What may be said about what a tile shows. What of it is, and where, is the overlay's to decide.
#[derive(Clone, Copy)]
pub struct Caption<'a> {
    /// The camera's name.
    pub name: &'a str,
    /// How the camera is.
    pub state: TileState,
    /// Why it is not live, in words; none where it is.
    pub reason: Option<&'a dyn fmt::Display>,
    /// How old what is shown is; none where there never was a picture.
    pub age: Option<Duration>,
    /// When what is shown came, on the wall clock; for showing only.
    pub taken: Option<SystemTime>,
    /// Seconds by which local clocks were ahead of UTC at `taken`; it changes with daylight saving.
    pub utc_offset_s: i32,
}

/// The life of a tile: connecting, live, holding, offline, and from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileState {
    /// There was no picture yet.
    Connecting,
    /// Pictures come.
    Live,
    /// The last picture is held; no new one has come.
    Holding,
    /// There has been none for so long that the tile is black.
    Offline,
}

/// What is written over a tile of what its caption says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Whose picture it is; on by default.
    pub label: bool,
    /// When the picture that is shown was taken, in local time; off by default. It stands still when the picture does.
    pub clock: bool,
    /// How the camera is where it is not live, with the age of a picture that is held; on by default.
    pub state: bool,
    /// Why a tile is black; on by default.
    pub reason: bool,
    /// A mark that moves once a second as long as new pictures are shown, and only then; on by default.
    pub tick: bool,
    /// What the label says instead of a camera's name.
    pub text: Option<LabelText>,
}

/// What a label says while the tile shows one camera. Another one that takes the tile for a while keeps its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelText {
    /// The camera's name, as in [`Caption::name`].
    pub camera: String,
    /// What stands there instead.
    pub text: String,
}

impl Overlay {
    /// The items by their names in configuration files and the API.
    pub const ITEMS: [&'static str; 5] = ["label", "clock", "state", "reason", "tick"];

    /// Nothing is written.
    pub const NONE: Overlay =
        Overlay { label: false, clock: false, state: false, reason: false, tick: false, text: None };

    /// The switch of an item, by its name out of [`Overlay::ITEMS`].
    pub fn item_mut(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "label" => Some(&mut self.label),
            "clock" => Some(&mut self.clock),
            "state" => Some(&mut self.state),
            "reason" => Some(&mut self.reason),
            "tick" => Some(&mut self.tick),
            _ => None,
        }
    }
}

impl Default for Overlay {
    fn default() -> Overlay {
        Overlay { label: true, clock: false, state: true, reason: true, tick: true, text: None }
    }
}

impl<'a> From<Option<PictureView<'a>>> for Shown<'a> {
    fn from(picture: Option<PictureView<'a>>) -> Shown<'a> {
        Shown { picture, caption: None, came: None }
    }
}

impl fmt::Debug for Caption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.map(ToString::to_string);
        f.debug_struct("Caption")
            .field("name", &self.name)
            .field("state", &self.state)
            .field("reason", &reason)
            .field("age", &self.age)
            .field("taken", &self.taken)
            .field("utc_offset_s", &self.utc_offset_s)
            .finish()
    }
}
