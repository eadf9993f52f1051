//! What is said on a tile about what it shows: whose picture it is, how old, and why there is none.

use crate::picture::PictureView;
use std::fmt;
use std::time::{Duration, SystemTime};

/// What a tile shows at one tick.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The picture; none is black.
    pub picture: Option<PictureView<'a>>,
    /// What may be said about it; none for a tile that says nothing whatever its overlay is.
    pub caption: Option<Caption<'a>>,
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

impl<'a> From<Option<PictureView<'a>>> for Shown<'a> {
    fn from(picture: Option<PictureView<'a>>) -> Shown<'a> {
        Shown { picture, caption: None }
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
            .finish()
    }
}
