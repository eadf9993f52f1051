//! Rows 9, C13, C20 to C22: what a camera tells of its stream, or does not.

use super::*;

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
