//! `walls.{name}.renditions`: what good ones mean, and what is said of others.
#![allow(clippy::unwrap_used, reason = "tests")]

use wallcast::config::{self, Overrides, WallEntry};

fn parse(wall: &str) -> Result<WallEntry, Vec<String>> {
    let yaml = format!("cameras: {{ left: rtsp://a/ }}\nwalls:\n  wall: {{ {wall} }}\n");
    match config::parse_with("wall.yaml", &yaml, &Overrides::default(), &|_| None) {
        Ok(mut config) => Ok(config.walls.remove(0)),
        Err(problems) => Err(problems.list().iter().map(ToString::to_string).collect()),
    }
}

/// The wall's own rendition first.
#[track_caller]
fn good(wall: &str, expected: &[&str]) {
    let entry = parse(wall).unwrap_or_else(|problems| panic!("{wall}: {problems:?}"));
    let own = format!("{}x{} {}", entry.size.width(), entry.size.height(), entry.bitrate.bps());
    let smaller = entry.renditions.iter().map(|small| {
        assert_eq!(small.name, format!("{}p", small.size.height()));
        format!("{}x{} {}", small.size.width(), small.size.height(), small.bitrate.bps())
    });
    assert_eq!(std::iter::once(own).chain(smaller).collect::<Vec<_>>(), expected, "{wall}");
}

#[track_caller]
fn bad(wall: &str, expected: &[&str]) {
    let problems = parse(wall).map(|entry| entry.renditions).expect_err(wall);
    assert_eq!(problems, expected, "{wall}");
}

#[test]
fn a_wall_has_half_of_itself_with_a_quarter_of_its_bitrate_by_default() {
    good("", &["1920x1080 4000000", "960x540 1000000"]);
    good("bitrate: 6M", &["1920x1080 6000000", "960x540 1500000"]);
    good("size: 1080x1920", &["1080x1920 4000000", "540x960 1000000"]);
    good("size: 1366x766", &["1366x766 4000000", "682x382 1000000"]);
    let plain = config::parse("wall.yaml", "cameras: { left: rtsp://a/ }", &Overrides::default()).unwrap();
    assert_eq!(plain.walls[0].renditions[0].name, "540p");
}

#[test]
fn a_wall_whose_half_is_of_no_use_has_none_by_default() {
    good("size: 640x358", &["640x358 4000000"]);
    good("size: 640x360", &["640x360 4000000", "320x180 1000000"]);
    good("size: 64x720", &["64x720 4000000"]);
    good("bitrate: 199k", &["1920x1080 199000"]);
}

#[test]
fn a_list_says_the_walls_own_bitrate_and_what_else_there_is() {
    good("renditions: [1080p 4M, 540p 1M]", &["1920x1080 4000000", "960x540 1000000"]);
    good("renditions: [1080p 6M]", &["1920x1080 6000000"]);
    good("bitrate: 6M, renditions: [1080p 6000k]", &["1920x1080 6000000"]);
    good(
        "size: 1280x720, renditions: ['720p   2.5M', 480p 1200k, 270p 300k, 90p 50k]",
        &["1280x720 2500000", "854x480 1200000", "480x270 300000", "160x90 50000"],
    );
}

#[test]
fn none_switches_the_smaller_ones_off() {
    good("renditions: none", &["1920x1080 4000000"]);
    good("bitrate: 5M, renditions: none", &["1920x1080 5000000"]);
}

#[test]
fn what_is_no_list_of_heights_and_bitrates_is_a_problem() {
    bad(
        "renditions: 540p",
        &[
            "walls.wall.renditions: found a single value, expected a list of heights with their bitrates, best first, such as [1080p 4M, 540p 1M], or `none`",
        ],
    );
    bad(
        "renditions: []",
        &["walls.wall.renditions: found an empty list, expected at least the wall's own height, or `none`"],
    );
    bad(
        "renditions: [1080p, 540 1M, 540p 1G, [540p]]",
        &[
            "walls.wall.renditions[0]: found 1080p, expected a height and bits a second, such as 540p 1M",
            "walls.wall.renditions[1]: found `540 1M`, expected a height and bits a second, such as 540p 1M",
            "walls.wall.renditions[2]: found `540p 1G`, expected a height and bits a second, such as 540p 1M",
            "walls.wall.renditions[3]: found a list, expected a height and bits a second, such as 540p 1M",
        ],
    );
    bad(
        "renditions: [1080p 4M, 540p 49k]",
        &["walls.wall.renditions[1]: found `540p 49k`, expected 50000 to 100000000 b/s"],
    );
    bad(
        "renditions: [1080p 5M, 720p 4M, 540p 3M, 360p 2M, 180p 1M]",
        &["walls.wall.renditions: found 5 renditions, expected at most 4"],
    );
}

#[test]
fn the_first_is_the_walls_own_and_agrees_with_its_bitrate() {
    bad(
        "size: 1280x720, renditions: [1080p 4M, 540p 1M]",
        &["walls.wall.renditions[0]: found `1080p 4M`, expected 720p, the wall's own height, first"],
    );
    bad(
        "bitrate: 4M, renditions: [1080p 6M]",
        &[
            "walls.wall.renditions[0]: found `1080p 6M`, expected 4000000 b/s as `bitrate` says, or no `bitrate`",
        ],
    );
}

#[test]
fn each_is_smaller_than_the_one_before_in_height_and_in_bitrate() {
    bad(
        "renditions: [1080p 4M, 1080p 1M, 2160p 500k]",
        &[
            "walls.wall.renditions[1]: found `1080p 1M`, expected a height below 1080p: the best comes first",
            "walls.wall.renditions[2]: found `2160p 500k`, expected a height below 1080p: the best comes first",
        ],
    );
    bad(
        "renditions: [1080p 4M, 540p 4M]",
        &["walls.wall.renditions[1]: found `540p 4M`, expected less than 4000000 b/s, which 1080p has"],
    );
    for height in ["541", "0", "62", "34"] {
        bad(
            &format!("renditions: [1080p 4M, {height}p 1M]"),
            &[&format!(
                "walls.wall.renditions[1]: found `{height}p 1M`, expected an even height of which the picture is 64x64 at least"
            )],
        );
    }
}

#[test]
fn a_wall_whose_size_cannot_be_read_is_told_of_that_alone() {
    bad(
        "size: 1921x1080, renditions: [540p 1M]",
        &["walls.wall.size: found 1921x1080, expected even numbers from 64x64 to 3840x2160 or 2160x3840"],
    );
}
