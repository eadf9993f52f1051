//! Who is where on a wall at a moment: the arrangement that was asked for, cameras that are large for a while
//! (promotions), and whose turn it is (tours).
//!
//! Pure: told the time and how the cameras are, it says what is to be shown and when to ask again. It is told with the
//! `handle_` methods, then asked with [`Director::poll`], then with the others. Putting it on the wall is
//! [`crate::stage`]'s.

mod plan;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wallcast_compositor::{Layout, Presentation};

use self::plan::Plan;
use self::turns::Turns;
use crate::arrangement::Arrangement;

/// How a camera is, as far as showing it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It has a picture.
    Ready,
    /// It has none yet.
    Coming,
    /// It has had none for so long that its tile is black.
    Gone,
}

/// What a wall shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Where, and how.
    pub layout: Layout,
    /// The camera of each place, in their order; places that are left over show the background.
    pub cameras: Vec<String>,
}

/// A camera that is large for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Its name.
    pub camera: String,
    /// When it goes back.
    pub until: Instant,
}

/// One wall's. Everything it knows is here; nothing of it blocks.
#[derive(Debug)]
pub struct Director {
    base: Arc<Arrangement>,
    version: u64,
    /// How cameras are shown that have no tile on this wall.
    elsewhere: HashMap<String, Presentation>,
    /// The one that was promoted last stands first.
    promotions: Vec<Promotion>,
    plan: Plan,
    /// Of the plan's contents, in their order.
    turns: Vec<Turns>,
    /// Counts what it was told that may change what is shown.
    revision: u64,
}

impl Director {
    /// Begins with `base`. `elsewhere`: how cameras without a tile on this wall are shown when they are promoted.
    pub fn new(base: Arrangement, elsewhere: HashMap<String, Presentation>, now: Instant) -> Director {
        let plan = Plan::of(&base);
        let turns = plan.contents.iter().map(|_| Turns::begin(now)).collect();
        let base = Arc::new(base);
        Director { base, version: 1, elsewhere, promotions: Vec::new(), plan, turns, revision: 1 }
    }

    /// The arrangement without promotions.
    pub fn base(&self) -> &Arc<Arrangement> {
        &self.base
    }

    /// Counts the arrangements, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Counts what it was told: what is shown for this revision, or a later one, has all of it in it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Who is large for a while, the camera that was promoted last first.
    pub fn promotions(&self) -> &[Promotion] {
        &self.promotions
    }

    /// Another arrangement; promotions stay, and go back to it.
    pub fn handle_arrangement(&mut self, now: Instant, base: Arrangement) {
        self.base = Arc::new(base);
        self.version += 1;
        self.replan(now);
    }

    /// `camera` is large until `length` from now, and longer if that was said before; never shorter. Returns until when. A
    /// camera that is promoted already keeps its place: two alarms in turns are no reason to exchange two pictures in turns.
    pub fn handle_promotion(&mut self, now: Instant, camera: &str, length: Duration) -> Instant {
        let until = now + length;
        if let Some(known) = self.promotions.iter_mut().find(|promotion| promotion.camera == camera) {
            known.until = known.until.max(until);
            return known.until;
        }
        self.promotions.insert(0, Promotion { camera: camera.to_owned(), until });
        self.replan(now);
        until
    }

    /// Ends the promotion of `camera`, or of all. Returns how many ended.
    pub fn handle_end(&mut self, now: Instant, camera: Option<&str>) -> usize {
        self.end(now, |promotion| camera.is_none_or(|camera| promotion.camera == camera))
    }

    /// What is to be shown now. `readiness` is asked about cameras that take turns.
    pub fn poll(&mut self, now: Instant, readiness: &dyn Fn(&str) -> Readiness) -> Scene {
        self.end(now, |promotion| promotion.until <= now);
        for (turns, content) in self.turns.iter_mut().zip(&self.plan.contents) {
            turns.advance(now, content, readiness);
        }
        let on = || self.turns.iter().zip(&self.plan.contents).map(|(turns, content)| turns.of(content));
        let presentations: Vec<Presentation> = on().map(|seen| seen.presentation.clone()).collect();
        Scene {
            layout: self.plan.layout.clone().with_presentations(presentations),
            cameras: on().map(|seen| seen.camera.clone()).collect(),
        }
    }

    /// Cameras whose turn is about to come, with the number of their place: time to have a picture of them.
    pub fn upcoming(&self, now: Instant, readiness: &dyn Fn(&str) -> Readiness) -> Vec<(String, usize)> {
        let tiles = self.turns.iter().zip(&self.plan.contents).enumerate();
        let next = tiles.filter_map(|(place, (turns, content))| {
            turns.upcoming(now, content, readiness).map(|camera| (camera.to_owned(), place))
        });
        next.collect()
    }

    /// Cameras that take turns, with the number of their place: to be kept ready.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, usize)> {
        let tours = self.plan.contents.iter().enumerate().filter(|(_, content)| content.is_tour());
        tours.flat_map(|(place, content)| content.seen.iter().map(move |seen| (seen.camera.as_str(), place)))
    }

    /// When to poll again at the latest, if nothing is told before.
    pub fn poll_at(&self, now: Instant) -> Option<Instant> {
        let back = self.promotions.iter().map(|promotion| promotion.until);
        let tours = self.turns.iter().zip(&self.plan.contents);
        back.chain(tours.filter_map(|(turns, content)| turns.poll_at(now, content))).min()
    }

    fn end(&mut self, now: Instant, ends: impl Fn(&Promotion) -> bool) -> usize {
        let before = self.promotions.len();
        self.promotions.retain(|promotion| !ends(promotion));
        let ended = before - self.promotions.len();
        if ended > 0 {
            self.replan(now);
        }
        ended
    }

    /// Tours go on where they were.
    fn replan(&mut self, now: Instant) {
        self.revision += 1;
        let plan = Plan::with(&self.base, &self.promotions, &self.elsewhere);
        let before = self.turns.iter().zip(&self.plan.contents).filter(|(_, content)| content.is_tour());
        let before: Vec<(&Turns, &str)> =
            before.map(|(turns, content)| (turns, turns.of(content).camera.as_str())).collect();
        let turns = plan.contents.iter().map(|content| {
            let going_on = before.iter().filter(|_| content.is_tour()).find_map(|(turns, camera)| {
                let at = content.seen.iter().position(|seen| seen.camera == *camera)?;
                Some(turns.going_on_at(at))
            });
            going_on.unwrap_or(Turns::begin(now))
        });
        self.turns = turns.collect();
        self.plan = plan;
    }
}

#[cfg(test)]
mod tests;
