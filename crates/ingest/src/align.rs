//! Showing the cameras of a wall in step: every tile the picture nearest to one common instant.
//!
//! [`clock`] finds out when a picture was taken, [`ring`] keeps the last few pictures of a camera, [`group`] chooses
//! the instant that a wall shows. All three are told the time and never ask for it. A wall that does not align uses
//! nothing of this but the clock.

pub(crate) mod clock;
pub(crate) mod group;
pub(crate) mod ring;
