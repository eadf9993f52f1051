//! Chaos rows about what a camera sends while the connection is well: times, numbers, parameter sets, orders, rates.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "support/chaos.rs"]
mod support;

use std::io::Result;
use std::time::{Duration, Instant};

use futures::future::join_all;
use support::film::{B_FRAMES, B_FRAMES_H265, Codec, Film, Marks, SMALL};
use support::harness::{Ladder, Look, SCALED, Setting, Trial, never_black_again};
use support::hostile::{Hostile, Visit, What};
use support::server::base64;
use tokio::net::UdpSocket;
use wallcast_ingest::{TileState, Transport};

/// Live at the first try and from then on for so many frames, without an error and without ever being black.
async fn check_plays(name: &str, camera: Hostile, frames: u64, setting: Setting) -> Vec<Look> {
    let trial = Trial::start_with(name, &camera, setting).await;
    trial.until_live().await;
    trial.until_frames(frames, 20).await;
    let stats = trial.stats();
    assert_eq!((stats.reconnects, stats.panics), (0, 0), "{name}: {stats:?}");
    let looks = trial.finish(&camera).await;
    assert!(never_black_again(&looks), "{name}: black after the first picture");
    looks
}

/// A camera that opens properly and then does this in every visit.
async fn playing<S, F>(film: Film, script: S) -> Hostile
where
    S: Fn(Visit, Film) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    Hostile::start(move |mut visit| {
        let (film, script) = (film.clone(), script.clone());
        async move {
            visit.open(&film).await?;
            script(visit, film).await
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_06_c09_a_new_picture_size_in_mid_stream_and_back_never_turns_the_tile_black() {
    let film = Film::h264().cut(0..25).then(Film::of(Codec::H264, SMALL));
    let looks = check_plays("r06a", Hostile::showing(film).await, 90, Setting::default()).await;
    let mut sizes: Vec<(u32, u32)> = looks.iter().filter_map(|look| look.size).collect();
    sizes.dedup();
    assert!(sizes.len() >= 4, "{sizes:?}");
    let (large, small) = ((320, 180), (160, 90));
    assert!(
        sizes.iter().enumerate().all(|(i, size)| *size == if i % 2 == 0 { large } else { small }),
        "{sizes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn row_06_c09_another_codec_after_a_reconnect_is_decoded() {
    let camera = Hostile::start(|mut visit| async move {
        let film = if visit.number == 1 { Film::h265() } else { Film::h264() };
        visit.open(&film).await?;
        match visit.number {
            0 | 1 => visit.show(&film, 40).await,
            _ => visit.show_on(&film).await,
        }
    })
    .await;
    let trial = Trial::start("r06b", &camera).await;
    for (visit, codec) in [(1, "h264"), (2, "h265"), (3, "h264")] {
        trial.until_live_in_visit(&camera, visit, 10).await;
        assert_eq!(trial.stats().codec, Some(codec), "visit {visit}");
    }
    let looks = trial.finish(&camera).await;
    assert!(never_black_again(&looks));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_c04_c05_timestamps_that_wrap_jump_run_backwards_or_stand_still_change_nothing() {
    const HOUR: u32 = 3_600 * 90_000;
    const MS_61: u32 = 61 * 90;
    let prepare: [fn(&mut Visit, usize); 6] = [
        // Wraps at 2³² after a second.
        |visit, at| {
            if at == 0 {
                visit.rtp.time = 0_u32.wrapping_sub(90_000)
            }
        },
        |visit, at| {
            if at == 2 {
                visit.rtp.time = visit.rtp.time.wrapping_sub(MS_61)
            }
        },
        |visit, at| {
            if at == 30 {
                visit.rtp.time = visit.rtp.time.wrapping_add(HOUR)
            }
        },
        |visit, at| {
            if at == 30 {
                visit.rtp.time = visit.rtp.time.wrapping_sub(HOUR)
            }
        },
        |visit, _| visit.rtp.step = Some(0),
        // Half the pace, as of a camera whose clock is wrong: 16 s of drift are reported.
        |visit, _| visit.rtp.step = Some(1_800),
    ];
    let trials = prepare.into_iter().enumerate().map(|(number, prepare)| async move {
        let camera = playing(Film::h264(), move |mut visit, film| async move {
            for at in 0.. {
                prepare(&mut visit, at);
                visit.show(&film, 1).await?;
            }
            Ok(())
        })
        .await;
        check_all_shown(&format!("r08-{number}"), camera, 90).await;
    });
    join_all(trials).await;
}

/// Like [`check_plays`], and next to no picture is missing.
async fn check_all_shown(name: &str, camera: Hostile, frames: u64) {
    let journal = camera.journal.clone();
    let trial = Trial::start(name, &camera).await;
    trial.until_live().await;
    trial.until_frames(frames, 20).await;
    let (stats, sent) = (trial.stats(), journal.pictures());
    assert_eq!((stats.reconnects, stats.decode_errors), (0, 0), "{name}: {stats:?}");
    assert!(
        stats.frames_decoded as f64 >= 0.95 * sent as f64 - 2.0,
        "{name}: {} of {sent}",
        stats.frames_decoded
    );
    let looks = trial.finish(&camera).await;
    assert!(never_black_again(&looks), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_rtp_info_that_is_absent_or_wrong_changes_nothing() {
    let infos = [
        None,
        Some("url=track1;seq=0;rtptime=0"),
        Some("url=track1;seq=1;rtptime=-1"),
        Some("url=rtsp://10.0.0.1/other/track1;seq=40000;rtptime=4294967295;"),
        Some("nonsense"),
    ];
    let trials = infos.into_iter().enumerate().map(|(number, info)| async move {
        let camera = Hostile::start(move |mut visit| async move {
            visit.rtp_info = info.map(str::to_owned);
            visit.open(&Film::h264()).await?;
            visit.show_on(&Film::h264()).await
        })
        .await;
        check_all_shown(&format!("r08i{number}"), camera, 60).await;
    });
    join_all(trials).await;
}

fn plain_description(fmtp: &str) -> Film {
    Film::h264().with_fmtp(fmtp)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_09_c07_parameter_sets_absent_from_sdp() {
    let (sps, pps) = (base64(Film::h264().nal(7)), base64(Film::h264().nal(8)));
    let films = [
        Film::h264().with_fmtp(""),
        plain_description("packetization-mode=1;sprop-parameter-sets="),
        plain_description("packetization-mode=1;sprop-parameter-sets=,"),
        // A missing PPS, and then a missing SPS.
        plain_description(&format!("packetization-mode=1;sprop-parameter-sets={sps}")),
        plain_description(&format!("packetization-mode=1;sprop-parameter-sets={sps},")),
        plain_description(&format!("packetization-mode=1;sprop-parameter-sets=,{pps}")),
        plain_description("packetization-mode=1;sprop-parameter-sets=!!!,???"),
        plain_description("packetization-mode=1;sprop-parameter-sets=AAAA,AAAA"),
        Film::h265(),
        Film::h265().with_fmtp("sprop-vps=;sprop-sps=;sprop-pps="),
    ];
    let trials = films.into_iter().enumerate().map(|(number, film)| async move {
        check_all_shown(&format!("r09-{number}"), Hostile::showing(film).await, 30).await;
    });
    join_all(trials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_09_c08_parameter_sets_only_in_sdp() {
    let films = [Film::h264(), Film::h265()].map(Film::with_parameters_in_sdp_only);
    let trials = films.into_iter().enumerate().map(|(number, film)| async move {
        check_all_shown(&format!("r09s{number}"), Hostile::showing(film).await, 30).await;
    });
    join_all(trials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_09_the_size_in_the_stream_counts_whatever_the_sdp_says() {
    let film = Film::h264().with_fmtp(Film::of(Codec::H264, SMALL).sprop());
    let looks = check_plays("r09w", Hostile::showing(film).await, 30, Setting::default()).await;
    assert!(looks.iter().filter_map(|look| look.size).all(|size| size == (320, 180)));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_10_c10_pictures_in_another_order_than_they_are_shown_in_cost_nothing() {
    let films = [Film::of(Codec::H264, B_FRAMES), Film::of(Codec::H265, B_FRAMES_H265)];
    let trials = films.into_iter().enumerate().map(|(number, film)| async move {
        // Display times, as a camera with B-frames sends them: they run backwards and forwards in sending order.
        let camera = playing(film, |mut visit, film| async move {
            let begin = visit.rtp.time;
            for at in 0_u32.. {
                let shown = at + [0, 2, 0, 0][at as usize % 4];
                visit.rtp.time = begin.wrapping_add(shown * 3_600);
                visit.show(&film, 1).await?;
            }
            Ok(())
        })
        .await;
        check_all_shown(&format!("r10-{number}"), camera, 90).await;
    });
    join_all(trials).await;
}

/// Loses or reorders what a camera sends by UDP.
#[derive(Debug, Clone, Copy)]
enum Network {
    Losing { percent: u32 },
    Reordering { by: usize },
    Dead,
}

/// Sends a film over this network, as long as it is by UDP.
async fn show_over(network: Network, mut visit: Visit, film: Film) -> Result<()> {
    let mut seed = 4_711_u32;
    let mut held: Vec<Vec<u8>> = Vec::new();
    if !matches!(network, Network::Dead) {
        // Whoever joins cannot know what came before the first packet that he got.
        visit.show(&film, 25).await?;
    }
    loop {
        visit.stay(film.every, &film).await?;
        let mut packets = visit.rtp.picture(&film);
        match network {
            _ if visit.udp.is_none() => {}
            Network::Dead => packets.clear(),
            Network::Losing { percent } => packets.retain(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) % 100 >= percent
            }),
            Network::Reordering { by } => {
                held.append(&mut packets);
                while held.len() > by {
                    let mut group: Vec<_> = held.drain(..=by).collect();
                    group.reverse();
                    packets.append(&mut group);
                }
            }
        }
        visit.send_packets(&packets).await?;
    }
}

fn by_udp() -> Setting {
    // Falling back to TCP is no failure and waits for nothing.
    Setting {
        ladder: Ladder::Own,
        change: |config| wallcast_ingest::CameraConfig { transport: Transport::Udp, ..config },
        ..Setting::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_c18_udp_losses_never_turn_the_tile_black_and_end_in_tcp_when_they_are_many() {
    let trials = [1, 5, 10].into_iter().map(|percent| async move {
        let name = format!("r14-{percent}");
        let network = Network::Losing { percent };
        let camera = playing(Film::h264(), move |visit, film| show_over(network, visit, film)).await;
        let trial = Trial::start_with(&name, &camera, by_udp()).await;
        trial.until_live().await;
        trial.until_frames(150, 20).await;
        let by_tcp = || camera.journal.asked("SETUP").iter().any(|head| head.contains("interleaved"));
        if percent == 10 {
            trial.until("over TCP", 20, |_| by_tcp()).await;
            trial.until_frames(50, 10).await;
        }
        assert_eq!(trial.stats().transport, Some(if by_tcp() { "tcp" } else { "udp" }), "{name}");
        let looks = trial.finish(&camera).await;
        assert!(never_black_again(&looks), "{name}");
    });
    join_all(trials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_c18_udp_packets_out_of_order_by_five_are_put_in_order() {
    // Several packets a picture, so that the order matters within one and between two.
    let network = Network::Reordering { by: 5 };
    let camera = playing(Film::h264(), move |visit, film| show_over(network, visit, film)).await;
    let trial = Trial::start_with("r14r", &camera, by_udp()).await;
    trial.until_live().await;
    trial.until_frames(75, 20).await;
    let stats = trial.stats();
    assert_eq!((stats.reconnects, stats.decode_errors), (0, 0), "{stats:?}");
    trial.finish(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_c18_udp_from_a_port_that_changes_goes_on() {
    let camera = playing(Film::h264(), |mut visit, film| async move {
        visit.show(&film, 50).await?;
        if let Some(udp) = &mut visit.udp {
            udp.rtp = UdpSocket::bind("127.0.0.1:0").await?;
        }
        visit.show_on(&film).await
    })
    .await;
    check_plays("r14p", camera, 100, by_udp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_c18_udp_that_never_arrives_ends_in_tcp() {
    let camera = playing(Film::h264(), |visit, film| show_over(Network::Dead, visit, film)).await;
    let trial = Trial::start_with("r14d", &camera, by_udp()).await;
    let look = trial.until_live().await;
    assert_eq!((trial.stats().transport, look.reason), (Some("tcp"), None));
    // Ten seconds after PLAY, which is what a camera has to start its encoder.
    let asked = camera.journal.times(|what| matches!(what, What::Asked(method, _) if method == "SETUP"));
    let waited = asked[1] - asked[0];
    assert!((Duration::from_secs(10)..Duration::from_secs(13)).contains(&waited), "{waited:?}");
    trial.finish(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_16_a_flood_of_200_pictures_a_second_shows_the_newest_and_slows_nobody() {
    let camera = Hostile::showing(Film::h264().at(Duration::from_millis(5))).await;
    let journal = camera.journal.clone();
    let trial = Trial::start("r16a", &camera).await;
    trial.until_live().await;
    let look = trial.until_frames(600, 20).await;
    let behind = journal.pictures() as u64 - look.sequence.unwrap();
    let dropped = trial.stats().access_units_dropped;
    assert!(behind <= 60 + dropped, "{behind} pictures behind, {dropped} dropped");
    trial.finish(&camera).await;
}

/// From 1 Mb/s to 100 Mb/s by filler data (NAL unit type 12), which decoders skip.
#[tokio::test(flavor = "multi_thread")]
async fn row_16_a_bit_rate_that_grows_a_hundredfold_is_shown_on_time() {
    let camera = playing(Film::h264(), |mut visit, film| async move {
        visit.show(&film, 50).await?;
        let mut heavy = film.clone();
        let filler = [&[12][..], &[0xff; 500_000], &[0x80]].concat();
        heavy.pictures.iter_mut().for_each(|picture| picture.insert(picture.len() - 1, filler.clone()));
        visit.show(&heavy, 75).await?;
        visit.show_on(&film).await
    })
    .await;
    let journal = camera.journal.clone();
    let trial = Trial::start("r16b", &camera).await;
    trial.until("125 pictures sent", 20, |_| journal.pictures() >= 150).await;
    let look = trial.until_frames(1, 5).await;
    let missing = journal.pictures() as u64 - look.sequence.unwrap();
    assert!(missing <= 15 + 50, "{missing} pictures missing or late");
    assert_eq!(trial.stats().reconnects, 0);
    let looks = trial.finish(&camera).await;
    assert!(never_black_again(&looks));
}

/// As when a camera's process is stopped for 3 s and everything that it filmed comes at once.
#[tokio::test(flavor = "multi_thread")]
async fn row_24_a_burst_after_a_pause_shows_the_newest_picture_and_no_slideshow() {
    const PAUSE: Duration = Duration::from_millis(1_500);
    let camera = playing(Film::h264(), |mut visit, film| async move {
        visit.show(&film, 50).await?;
        // Half of the 3 s, because the silence is scaled, too. Twice as many pictures make up for it.
        tokio::time::sleep(PAUSE).await;
        for _ in 0..75 {
            visit.send_picture(&film).await?;
        }
        visit.show_on(&film).await
    })
    .await;
    let journal = camera.journal.clone();
    let trial = Trial::start("r24", &camera).await;
    trial.until("the burst is sent", 20, |_| journal.pictures() >= 125).await;
    let burst = Instant::now();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let (first, began) = (trial.stats().frames_decoded, Instant::now());
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let second = trial.stats();
    // A slideshow would still be running: more pictures a second than are sent.
    let rate = (second.frames_decoded - first) as f64 / began.elapsed().as_secs_f64();
    assert!((20.0..=30.0).contains(&rate), "{rate} pictures a second, {:?} after the burst", burst.elapsed());
    assert_eq!(second.reconnects, 0);
    let looks = trial.finish(&camera).await;
    assert!(never_black_again(&looks));
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_the_same_picture_again_and_again_is_a_frozen_camera() {
    // The key frame alone, for ever: bytes flow, everything decodes, nothing is new.
    let film = Film::h264();
    let frozen = film.clone().cut(0..1);
    let camera = playing(film, move |mut visit, film| {
        let frozen = frozen.clone();
        async move {
            visit.show(&film, 30).await?;
            match visit.number {
                0 => visit.show_on(&frozen).await,
                _ => visit.show_on(&film).await,
            }
        }
    })
    .await;
    let trial = Trial::start("c02a", &camera).await;
    trial.until_live_in_visit(&camera, 2, 15).await;
    trial.until_frames(60, 10).await;
    assert_eq!(trial.stats().reconnects, 1);
    trial.finish(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_a_scene_without_any_motion_is_no_frozen_camera() {
    let film = Film::of(Codec::H264, include_bytes!("fixtures/static.h264"));
    check_plays("c02b", Hostile::showing(film).await, 25 * 6, Setting::default()).await;
}

/// The same JPEG again and again for 4 s, and then the next one: slides, by a clock that goes on. The first one costs a
/// session, as long as it cannot be told from a frozen camera, and the others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn c02_slides_are_connected_to_anew_once_and_not_at_every_slide() {
    let slides = support::jpeg::files(include_bytes!("fixtures/small.mjpeg"));
    let shown = |slide: &Vec<Vec<u8>>| std::iter::repeat_n(slide.clone(), 40);
    let film = Film {
        codec: Codec::Jpeg,
        pictures: slides.iter().take(4).flat_map(shown).collect(),
        every: Duration::from_millis(100),
        fmtp: String::new(),
    };
    let camera = Hostile::showing(film).await;
    // Black later than a slide lasts: B1 goes by new pictures, of which there are none in between.
    let change = |config| wallcast_ingest::CameraConfig { silence: SCALED, ..config };
    let setting = Setting { black_after: Duration::from_secs(10), change, ..Setting::default() };
    let trial = Trial::start_with("c02c", &camera, setting).await;
    trial.until_live_in_visit(&camera, 2, 15).await;
    let began = Instant::now();
    trial.until("five slides", 30, |_| began.elapsed() > Duration::from_secs(20)).await;
    let stats = trial.stats();
    assert_eq!((stats.reconnects, camera.journal.visits()), (1, 2), "{stats:?}");
    assert!(stats.frames_duplicate > 150 && stats.frames_decoded <= 8, "{stats:?}");
    let looks = trial.finish(&camera).await;
    let since_then: Vec<_> = looks.into_iter().filter(|look| look.at >= began).collect();
    assert!(never_black_again(&since_then) && since_then.iter().all(|look| look.state == TileState::Live));
}

/// The camera joins in the middle of a long group of pictures: nothing can be decoded before the next key frame.
#[tokio::test(flavor = "multi_thread")]
async fn c03_a_long_group_of_pictures_has_its_own_budget() {
    let film = Film::h264().with_parameters_in_sdp_only();
    let middle = film.clone().cut(1..25);
    let camera = playing(film, move |mut visit, film| {
        let middle = middle.clone();
        async move {
            visit.show(&middle, 24 * 5).await?;
            visit.rtp.next = 0;
            visit.show_on(&film).await
        }
    })
    .await;
    let trial = Trial::start("c03", &camera).await;
    trial.until_live().await;
    assert_eq!(
        (trial.stats().reconnects, camera.journal.visits()),
        (0, 1),
        "{:?} are no silence here",
        SCALED
    );
    trial.finish(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c06_marker_bits_in_the_wrong_place_cost_no_picture() {
    let with_sei = || {
        let mut film = Film::h264();
        // User data, unregistered: before the picture and after it.
        let sei = [&[6, 5, 20][..], &[0x42; 20], &[0x80]].concat();
        film.pictures.iter_mut().for_each(|picture| picture.push(sei.clone()));
        film
    };
    let cases =
        [(Film::h264(), Marks::Nowhere), (Film::h264(), Marks::OnEveryNal), (with_sei(), Marks::OnEveryNal)];
    let trials = cases.into_iter().enumerate().map(|(number, (film, marks))| async move {
        let camera = playing(film, move |mut visit, film| async move {
            visit.rtp.marks = marks;
            visit.show_on(&film).await
        })
        .await;
        check_plays(&format!("c06-{number}"), camera, 75, Setting::default()).await;
    });
    join_all(trials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c13_a_session_id_that_changes_between_answers_is_put_up_with() {
    let camera = Hostile::start(|mut visit| async move {
        let mut answers = 0;
        visit.hook = Some(Box::new(move |request| {
            answers += 1;
            let headers = format!("Session: {answers:08}\r\n");
            (request.method == "PLAY").then(|| request.answer("200 OK", &headers, ""))
        }));
        let mut film = Film::h264();
        film.fmtp += "\r\na=x-with:sound";
        visit.sdp = Some(film.sdp() + "m=audio 0 RTP/AVP 0\r\na=control:track2\r\n");
        visit.open(&film).await?;
        visit.show_on(&film).await
    })
    .await;
    check_plays("c13", camera, 30, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c20_frame_rates_that_are_told_wrong_are_measured_instead() {
    let told_200 = Film::of(Codec::H264, include_bytes!("fixtures/fps200.h264"));
    let lines = ["a=framerate:200\r\n", "a=framerate:0\r\n", "a=framerate:0S\r\n", "a=framerate:often\r\n"];
    let trials = lines.into_iter().enumerate().map(|(number, line)| {
        let film = told_200.clone();
        async move {
            let camera = Hostile::start(move |mut visit| {
                let film = film.clone();
                async move {
                    visit.sdp = Some(film.sdp() + line);
                    visit.open(&film).await?;
                    visit.show_on(&film).await
                }
            })
            .await;
            let trial = Trial::start(&format!("c20-{number}"), &camera).await;
            trial.until_live().await;
            trial.until_frames(125, 20).await;
            let fps = trial.stats().fps;
            assert!((20.0..=30.0).contains(&fps), "{fps} measured");
            trial.finish(&camera).await;
        }
    });
    join_all(trials).await;
}

/// Parameter sets as told by a Tenda CP3 Pro, a Xiaomi Yi Pro 2K and an Anjvision camera (the tests of retina 0.4.21
/// and <https://github.com/scottlamb/moonfire-nvr/issues/333>); what is in the stream is well.
#[tokio::test(flavor = "multi_thread")]
async fn c21_c22_h265_plays_whatever_its_sdp_tells() {
    let told = [
        "profile-space=0;profile-id=1;tier-flag=0;level-id=63;interop-constraints=900000000000;\
         sprop-vps=QAEMAf//AWAAAAMAkAAAAwAAAwA/LAwAAgAAAwAoAAIAAgACgA==;\
         sprop-sps=QgEBAWAAAAMAkAAAAwAAAwA/oAUCAXFlLkkyS7I=;sprop-pps=RAHA8vAzJA==",
        "profile-space=0;profile-id=1;tier-flag=0;level-id=186;interop-constraints=000000000000;\
         sprop-vps=QAEMAf//AWAAAAMAAAMAAAMAAAMAuqwJ;\
         sprop-sps=QgEBAWAAAAMAAAMAAAMAAAMAuqABICAFEf5a7kSIi/Lc1AQEBAI=;sprop-pps=RAHA8oSJAzJA",
        "packetization-mode=0;profile-space=0;profile-id=1;tier-flag=0;level-id=153;\
         sprop-vps=QAEMAf//AUAAAAMAAAMAAAMAAAMAmawJ;\
         sprop-sps=QgEBAUAAAAMAAAMAAAMAAAMAmaACgIAsH+Wu5Gwa5VE1BQYFAIA=;sprop-pps=RAHAc8BBgwk=;config=00000001",
        // The SPS says nothing that makes sense.
        "sprop-vps=QAEMAf//;sprop-sps=QgEB/////w==;sprop-pps=RAE=",
    ];
    let trials = told.into_iter().enumerate().map(|(number, fmtp)| async move {
        let film = Film::h265().with_fmtp(fmtp);
        let looks =
            check_plays(&format!("c22-{number}"), Hostile::showing(film).await, 30, Setting::default()).await;
        assert!(looks.iter().filter_map(|look| look.size).all(|size| size == (320, 180)));
    });
    join_all(trials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c31_a_picture_is_decoded_before_the_next_one_is_sent() {
    for film in [Film::h264(), Film::h265()] {
        let codec = film.codec;
        let camera = playing(film.at(Duration::from_millis(400)), |mut visit, film| async move {
            visit.show_on(&film).await
        })
        .await;
        let journal = camera.journal.clone();
        let trial = Trial::start("c31", &camera).await;
        for _ in 0..8 {
            let before = journal.pictures();
            trial.until("the next picture is sent", 5, |_| journal.pictures() > before).await;
            // Long before the next one.
            let sent = Instant::now();
            trial.until("it is shown", 5, |look| look.sequence == Some(before as u64)).await;
            assert!(sent.elapsed() < Duration::from_millis(200), "{codec:?}: {:?}", sent.elapsed());
        }
        assert_eq!(trial.last().unwrap().state, TileState::Live);
        trial.finish(&camera).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn motion_jpeg_over_rtsp_plays() {
    let film = Film {
        codec: Codec::Jpeg,
        pictures: support::jpeg::files(include_bytes!("fixtures/small.mjpeg")),
        every: Duration::from_millis(40),
        fmtp: String::new(),
    };
    let looks = check_plays("jpeg", Hostile::showing(film).await, 30, Setting::default()).await;
    assert!(looks.iter().filter_map(|look| look.size).all(|size| size == (160, 96)));
}
