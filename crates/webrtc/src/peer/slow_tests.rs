//! Viewers whose path carries less than everything: the lines of the loss table, in virtual time.

use super::*;
use crate::congestion::Limit;
use crate::stats::FrameShare;

/// As the wall has it: where there is a smaller rendition, the first has no frame that could be left out.
const LADDER: Film = Film {
    renditions: 2,
    has_layers: [false, true],
    has_transport_cc: true,
    idr_every: Some(Duration::from_secs(4)),
};
const REPORTS_ONLY: Film = Film { has_transport_cc: false, ..LADDER };
/// What `tbf` is usually given.
const QUEUE: Duration = Duration::from_millis(400);

const HALF_OF_WHAT_HAS_NONE: Level = Level { rendition: 0, share: FrameShare::Half };

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    /// Sequence numbers without a gap where nothing is lost, and time that never steps back.
    fn check_stream(&self) {
        let mut last: Option<u32> = None;
        for &(_, time, _) in self.received.values() {
            assert!(last.is_none_or(|last| time.wrapping_sub(last).cast_signed() >= 0), "time steps back");
            last = Some(time);
        }
    }

    fn level(&self) -> (usize, FrameShare) {
        let level = self.counters.share().level;
        (level.rendition, level.share)
    }

    /// How much of the last `time` the viewer was sent just this.
    fn time_at(&self, level: (usize, FrameShare), time: Duration) -> f64 {
        let (mut held, mut since, mut sent) = (Duration::ZERO, self.now - time, (0, FrameShare::All));
        let changes = self.shares.iter().map(|(at, share)| (*at, (share.level.rendition, share.level.share)));
        for (at, next) in changes.chain([(self.now, level)]) {
            if sent == level {
                held += at.saturating_duration_since(since);
            }
            (since, sent) = (since.max(at), next);
        }
        held.as_secs_f64() / time.as_secs_f64()
    }

    #[allow(clippy::print_stdout, reason = "the figures of a line of the loss table")]
    fn print(&self, line: &str) {
        let stats = self.stats();
        println!(
            "{line}: {:.1} % of the frames in the last 30 s, longest freeze {:?}, {} key frames, {} again, {} changes, \
             {:?} {:?} {:?} b/s",
            self.shown_percent(seconds(30)),
            self.longest_freeze(self.connected_at.unwrap() + seconds(1)),
            self.key_frames(),
            stats.retransmitted,
            self.shares.len(),
            self.level(),
            stats.limited_by,
            stats.estimate_bps,
        );
        for (at, share) in &self.shares {
            println!("  {:6.2} s {share:?}", (*at - self.start).as_secs_f64());
        }
    }

    /// Runs, and says how long packets waited before the narrow place at most.
    fn watch_queue(&mut self, time: Duration) -> Duration {
        let (end, mut longest) = (self.now + time, Duration::ZERO);
        while self.now < end {
            self.run(Duration::from_millis(20));
            longest = longest.max(self.down.queued(self.now));
        }
        longest
    }
}

#[test]
fn loss_table_chance_up_to_ten_per_cent_is_no_reason_for_less() {
    for film in [LADDER, REPORTS_ONLY] {
        for (per_mille, bar) in [(0, 99.5), (10, 98.0), (50, 90.0), (100, 75.0)] {
            let mut world = World::showing(film, Link::losing(per_mille), Link::losing(per_mille));
            world.run(seconds(60));
            world.print(&format!("{per_mille} of a thousand lost"));
            assert_eq!((world.shares.len(), world.ended), (0, None));
            assert!(world.shown_percent(seconds(50)) >= bar, "{}", world.shown_percent(seconds(50)));
            assert!(world.longest_freeze(world.start + seconds(5)) < seconds(2));
            assert_eq!(world.stats().retransmitted > 0, per_mille > 0);
            world.check_stream();
        }
    }
}

#[test]
fn loss_table_bursts_are_recovered_from_within_a_second() {
    // 3 % in bursts of ten packets; then every half second or so twenty, as Wi-Fi does.
    for burst in [(3, 100), (5, 50)] {
        for film in [LADDER, REPORTS_ONLY] {
            let link = Link { burst: Some(burst), ..Link::GOOD };
            let mut world = World::showing(film, link, Link::GOOD);
            world.run(seconds(60));
            world.print(&format!("bursts {burst:?}"));
            assert!(world.down.lost > 300, "there were bursts: {}", world.down.lost);
            assert_eq!((world.shares.len(), world.ended), (0, None));
            assert!(world.longest_freeze(world.start + seconds(5)) < Duration::from_millis(1100));
        }
    }
}

#[test]
fn loss_table_after_an_outage_of_five_seconds_the_picture_is_back_within_two() {
    for film in [LADDER, REPORTS_ONLY, Film { idr_every: None, ..LADDER }] {
        let mut world = World::showing(film, Link::GOOD, Link::GOOD);
        world.run(seconds(20));
        (world.down.is_cut, world.up.is_cut) = (true, true);
        world.run(seconds(2));
        let lost = world.down.lost;
        world.run(seconds(3));
        let withheld = if film.has_transport_cc { world.down.lost - lost < 300 } else { true };
        assert!(withheld, "next to nothing is sent into silence: {}", world.down.lost - lost);
        (world.down.is_cut, world.up.is_cut) = (false, false);
        let back = world.now;
        world.run(seconds(10));
        let shown = world.shown.iter().map(|&(at, _)| at).find(|&at| at > back).unwrap();
        world.print(&format!("outage: picture back after {:?}", shown - back));
        assert!(shown - back < seconds(2), "{:?}", shown - back);
        assert!(world.shown_percent(seconds(5)) > 95.0, "and it stays: {}", world.shown_percent(seconds(5)));
        assert_eq!((world.stats().state, world.ended), (PeerState::Connected, None));
    }
}

#[test]
fn loss_table_duplicates_and_reordering_do_no_harm() {
    for film in [LADDER, REPORTS_ONLY] {
        let link = Link { jitter: Duration::from_millis(20), duplicated: 30, ..Link::GOOD };
        let mut world = World::showing(film, link, link);
        world.run(seconds(60));
        world.print("duplicates and reordering");
        assert_eq!((world.shares.len(), world.ended), (0, None));
        assert!(world.shown_percent(seconds(50)) > 98.0);
        assert!(world.longest_freeze(world.start + seconds(5)) < Duration::from_millis(200));
    }
}

/// A path of 1.5 Mb/s: the queue before it is short again within five seconds, the viewer gets the smaller picture and
/// stays with it; and gets everything again when the path is good again.
fn check_cap(film: Film, queue: Duration, expected: (usize, FrameShare)) -> World {
    let mut world = World::showing(film, Link::GOOD, Link::GOOD);
    world.run(seconds(20));
    world.down.link = Link::capped(1_500_000, queue);
    let capped = world.now;
    let worst = world.watch_queue(seconds(5));
    let after = world.watch_queue(seconds(85));
    world.print(&format!("capped, queue of {queue:?}: {worst:?} at the worst, then {after:?}"));
    assert!(after + 2 * Link::GOOD.delay <= Duration::from_millis(500), "the round trip: {after:?}");
    assert_eq!(world.ended, None);
    let held = world.time_at(expected, seconds(60));
    assert!(held > if film.has_transport_cc { 0.99 } else { 0.85 }, "{held} of the last minute");
    assert!(world.stats().limited_by.is_some());
    let tries = world.shares.iter().filter(|(at, _)| *at > capped + seconds(10)).count();
    assert!(tries <= if film.has_transport_cc { 2 } else { 8 }, "it flickers: {tries}");
    world
}

#[test]
fn loss_table_a_cap_of_1500_kbit_means_a_smaller_picture_and_no_queue() {
    for queue in [QUEUE, Duration::from_millis(100), seconds(2)] {
        let mut world = check_cap(LADDER, queue, (1, FrameShare::All));
        assert!(world.shown_percent(seconds(60)) > 97.0, "{}", world.shown_percent(seconds(60)));
        // Of a short queue the losses tell more than the delay.
        let told = if queue < QUEUE { Limit::Loss } else { Limit::Delay };
        assert_eq!(world.stats().limited_by, Some(told));
        assert_eq!(world.peer.renditions().iter().collect::<Vec<_>>(), [1], "the large one is not encoded");
        let estimate = world.stats().estimate_bps.unwrap();
        assert!((800_000..2_200_000).contains(&estimate), "{estimate}");
        world.down.link.cap = None;
        let lifted = world.now;
        world.run(seconds(75));
        world.print("lifted");
        let up = world.shares.iter().find(|(at, share)| *at > lifted && share.level == Level::BEST);
        assert!(up.is_some_and(|(at, _)| *at - lifted < seconds(70)), "everything again");
        assert_eq!((world.level(), world.stats().limited_by), ((0, FrameShare::All), None));
        assert!(world.shown_percent(seconds(5)) > 97.0);
        world.check_stream();
    }
}

#[test]
fn between_the_renditions_a_viewer_does_not_flap_and_nobody_pays_with_key_frames() {
    // b/s of the first minute, then of two more; what it is to end with; how many changes, and forced key frames of the
    // first rendition, there may be.
    let (small, large) = ((1, FrameShare::All), (0, FrameShare::All));
    for (at_first, bps, expected, most) in [
        (3_000_000, 3_000_000, small, 1),
        (3_600_000, 3_600_000, small, 1),
        (5_000_000, 5_000_000, large, 0),
        (3_600_000, 5_000_000, large, 2),
    ] {
        let film = Film { idr_every: None, ..LADDER };
        let mut world = World::showing(film, Link::capped(at_first, QUEUE), Link::GOOD);
        world.run(seconds(60));
        world.down.link = Link::capped(bps, QUEUE);
        world.run(seconds(120));
        world.print(&format!("{bps} b/s"));
        assert_eq!((world.level(), world.ended), (expected, None), "{bps} b/s");
        assert!(world.shares.len() <= most, "it flaps: {} changes at {bps} b/s", world.shares.len());
        assert!(world.key_frames() <= 1 + most, "{} key frames at {bps} b/s", world.key_frames());
        assert!(world.shares.iter().all(|(_, share)| share.level != HALF_OF_WHAT_HAS_NONE));
        assert!(world.shown_percent(seconds(60)) > 97.0, "{}", world.shown_percent(seconds(60)));
    }
}

#[test]
fn loss_table_a_viewer_that_joins_over_a_narrow_path_gets_a_picture_soon_and_goes_on() {
    for film in [LADDER, REPORTS_ONLY] {
        let mut world = World::showing(film, Link::capped(1_500_000, QUEUE), Link::GOOD);
        world.run(seconds(5));
        let after = world.watch_queue(seconds(20));
        world.print("narrow from the start");
        let first = world.shown[0].0 - world.start;
        assert!(first < seconds(2), "{first:?}");
        assert_eq!(world.ended, None);
        let held = world.time_at((1, FrameShare::All), seconds(15));
        assert!(held > if film.has_transport_cc { 0.99 } else { 0.5 }, "{held}");
        let shown = world.shown_percent(seconds(15));
        assert!(shown > if film.has_transport_cc { 95.0 } else { 50.0 }, "{shown}");
        assert!(after <= QUEUE);
    }
}

#[test]
fn loss_table_a_cap_is_found_by_receiver_reports_alone() {
    let mut world = check_cap(REPORTS_ONLY, QUEUE, (1, FrameShare::All));
    world.down.link.cap = None;
    world.run(seconds(100));
    world.print("lifted");
    assert_eq!(world.level(), (0, FrameShare::All));
}

#[test]
fn where_there_is_one_rendition_frames_are_left_out_and_at_last_all_but_key_frames() {
    let film = Film { renditions: 1, has_layers: [true, false], ..LADDER };
    let mut world = World::showing(film, Link::GOOD, Link::GOOD);
    world.run(seconds(10));
    world.down.link = Link::capped(3_300_000, QUEUE);
    world.run(seconds(30));
    world.print("capped at 3.3 Mb/s");
    assert_eq!(world.level(), (0, FrameShare::Half));
    let shown = world.shown_percent(seconds(20));
    assert!((48.0..56.0).contains(&shown), "{shown}");
    let world = check_cap(film, QUEUE, (0, FrameShare::KeyOnly));
    assert!(world.longest_freeze(world.now - seconds(60)) < seconds(6), "a slide show");
}

#[test]
fn machines_that_are_short_of_time_make_no_slide_show() {
    // Nobody, here or there, gets any time for so long, so often.
    for (stall, every) in [(300, 1000), (700, 2500), (1300, 5000), (2500, 10_000)] {
        for (link, least) in [(Link::GOOD, 90.0), (Link::capped(1_500_000, QUEUE), 33.0)] {
            let mut world = World::showing(LADDER, link, Link::GOOD);
            world.run(seconds(10));
            while world.elapsed() < seconds(100) {
                world.now += Duration::from_millis(stall);
                world.run(Duration::from_millis(every - stall));
            }
            world.print(&format!("no time for {stall} ms every {every} ms"));
            let slides = world.shares.iter().find(|(_, share)| share.level.share == FrameShare::KeyOnly);
            assert_eq!((slides, world.ended), (None, None));
            assert!(world.shown_percent(seconds(80)) > least, "{}", world.shown_percent(seconds(80)));
            let longest = world.longest_freeze(world.start + seconds(12));
            assert!(
                // What is there to be repaired, or a try for more that fails in between.
                longest < Duration::from_millis(stall + 800),
                "{longest:?} of which {stall} ms are not ours"
            );
        }
    }
}

#[test]
fn a_rendition_that_never_comes_is_not_waited_for_for_ever() {
    let mut world = World::showing(LADDER, Link::GOOD, Link::GOOD);
    world.run(seconds(10));
    world.film.renditions = 1;
    world.down.link = Link::capped(1_500_000, QUEUE);
    world.run(seconds(15));
    world.print("no second encoder");
    assert_eq!((world.level().0, world.shares[0].1.limited_by), (0, Some(Limit::Rendition)));
    assert_eq!(world.peer.renditions().iter().collect::<Vec<_>>(), [0]);
    world.film.renditions = 2;
    world.run(seconds(90));
    assert_eq!(world.level(), (1, FrameShare::All), "it is asked for again");
}

#[test]
fn a_viewer_that_asks_for_key_frames_all_the_time_gets_one_every_three_seconds() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(seconds(2));
    let before = world.key_frames();
    for _ in 0..3_000 {
        world.peer.ask_for_key_frame(world.now);
        world.run(Duration::from_millis(20));
    }
    let asked = world.key_frames() - before;
    assert!((15..=24).contains(&asked), "{asked} in a minute");
    world.run(seconds(20));
    let before = world.key_frames();
    world.peer.ask_for_key_frame(world.now);
    world.run(Duration::from_millis(100));
    assert_eq!(world.key_frames(), before + 1, "and at once when it asks rarely");
}
