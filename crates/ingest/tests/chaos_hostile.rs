//! Chaos rows about broken and hostile bytes, and about cameras that only look broken.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "support/chaos.rs"]
mod support;

use std::io::Result;
use std::time::Duration;

use futures::future::join_all;
use support::film::{Codec, Film};
use support::harness::{Ladder, Setting, Trial, never_black_again};
use support::hostile::{Hostile, Quirk, Request, Visit, interleaved};
use support::{jpeg, sps};
use wallcast_ingest::TileState;

/// A camera that plays but does this to its connection after every so many pictures.
async fn disturbed<S>(every: usize, disturb: S) -> Hostile
where
    S: Fn(&mut Visit, &Film) -> Vec<u8> + Send + Sync + Clone + 'static,
{
    Hostile::start(move |mut visit| {
        let disturb = disturb.clone();
        async move {
            let film = Film::h264();
            visit.open(&film).await?;
            loop {
                visit.show(&film, every).await?;
                let bytes = disturb(&mut visit, &film);
                visit.send_raw(&bytes).await?;
            }
        }
    })
    .await
}

/// The session goes on through all of this, and no more pictures are lost than those concerned.
async fn check_put_up_with(name: &str, camera: Hostile, at_least: f64) {
    let journal = camera.journal.clone();
    let trial = Trial::start(name, &camera).await;
    trial.until_live().await;
    trial.until("100 pictures sent", 20, |_| journal.pictures() >= 100).await;
    let (stats, sent) = (trial.stats(), journal.pictures() as f64);
    assert_eq!(stats.reconnects, 0, "{name}: {stats:?}");
    assert!(stats.frames_decoded as f64 >= at_least * sent, "{name}: {} of {sent}", stats.frames_decoded);
    let looks = trial.finish(&camera).await;
    assert!(never_black_again(&looks), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_11_c11_junk_between_interleaved_frames_is_skipped() {
    let junk: [&'static [u8]; 4] = [
        b"\r\n\r\n",
        b"\x80\x60\xff\x01 no dollar in it \x00\x00\x00",
        // Looks like interleaved data on a channel that nobody agreed on, longer than what follows.
        b"$\x99\xff\xff",
        b"[  123.456] rtsp-server: watchdog $$$ kicked\n",
    ];
    let trials = junk.into_iter().enumerate().map(|(number, junk)| async move {
        let camera = disturbed(10, move |_, _| junk.to_vec()).await;
        check_put_up_with(&format!("r11-{number}"), camera, 0.5).await;
    });
    join_all(trials).await;
}

/// live555 writes as much as fits into the socket's buffer, and then the next thing.
#[tokio::test(flavor = "multi_thread")]
async fn row_11_c11_a_partial_write_costs_a_few_pictures() {
    let camera = disturbed(30, |visit, film| {
        let packets = visit.rtp.picture(film);
        let whole = interleaved(0, &packets[0]);
        whole[..whole.len() / 2].to_vec()
    })
    .await;
    check_put_up_with("r11p", camera, 0.4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_11_c11_an_rtsp_reply_inside_rtp_costs_a_few_pictures() {
    const REPLY: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 7\r\nSession: 12345678\r\n\r\n";
    let inside = disturbed(30, |visit, film| {
        let packets = visit.rtp.picture(film);
        let whole = interleaved(0, &packets[0]);
        let (first, rest) = whole.split_at(whole.len() / 2);
        [first, REPLY, rest].concat()
    });
    let between = disturbed(10, |_, _| REPLY.to_vec());
    let (inside, between) = (inside.await, between.await);
    tokio::join!(check_put_up_with("r11i", inside, 0.4), check_put_up_with("r11b", between, 0.95));
}

/// The bytes in many small writes, as from a camera with a slow radio.
#[tokio::test(flavor = "multi_thread")]
async fn row_11_bytes_that_come_one_by_one_are_read_all_the_same() {
    let camera = Hostile::start(|mut visit| async move {
        let film = Film::h264();
        visit.open(&film).await?;
        loop {
            visit.stay(film.every, &film).await?;
            for packet in visit.rtp.picture(&film) {
                for piece in interleaved(0, &packet).chunks(97) {
                    visit.send_raw(piece).await?;
                    tokio::task::yield_now().await;
                }
            }
        }
    })
    .await;
    let trial = Trial::start("r11o", &camera).await;
    trial.until_live().await;
    trial.until_frames(50, 20).await;
    assert_eq!((trial.stats().reconnects, trial.stats().decode_errors), (0, 0));
    trial.finish(&camera).await;
}

/// A camera that does this in its first visit, from the first request on, and is good afterwards.
async fn attacking<S, F>(attack: S) -> Hostile
where
    S: Fn(Visit) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    Hostile::start(move |mut visit| {
        let attack = attack.clone();
        async move {
            if visit.number == 0 {
                return attack(visit).await;
            }
            let film = Film::h264();
            visit.open(&film).await?;
            visit.show_on(&film).await
        }
    })
    .await
}

/// The attack ends by itself or is ended by Wallcast, within the time, and the picture is back after it.
async fn check_survives(name: &str, camera: Hostile) {
    let setting = Setting { max_growth_mib: 100, ladder: Ladder::BetweenConnections, ..Setting::default() };
    let trial = Trial::start_with(name, &camera, setting).await;
    trial.until_live_in_visit(&camera, 2, 30).await;
    assert_eq!(trial.stats().panics, 0, "{name}");
    trial.finish(&camera).await;
}

const MIB: usize = 1 << 20;

/// So many MiB of this, as fast as they are read; ends early when nobody reads them any more.
async fn pour(visit: &mut Visit, bytes: &[u8], mib: usize) -> Result<()> {
    let piece = bytes.repeat((64 << 10) / bytes.len() + 1);
    for _ in 0..mib * MIB / piece.len() {
        tokio::time::timeout(Duration::from_secs(20), visit.send_raw(&piece)).await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_17_a_content_length_of_4_gb_is_refused() {
    let camera = attacking(|mut visit| async move {
        visit.request().await?;
        visit.send_raw(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4294967295\r\n\r\n").await?;
        pour(&mut visit, b"v=0\r\n", 200).await
    })
    .await;
    check_survives("r17a", camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_17_a_hundred_thousand_headers_are_refused() {
    let camera = attacking(|mut visit| async move {
        visit.request().await?;
        visit.send_raw(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n").await?;
        for number in 0..100_000 {
            visit.send_raw(format!("X-Header-{number}: {number}\r\n").as_bytes()).await?;
        }
        pour(&mut visit, b"X: y\r\n", 200).await
    })
    .await;
    let line = attacking(|mut visit| async move {
        visit.request().await?;
        visit.send_raw(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nX: ").await?;
        pour(&mut visit, b"endless line ", 200).await
    })
    .await;
    tokio::join!(check_survives("r17b", camera), check_survives("r17c", line));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_17_a_description_of_many_megabytes_is_refused() {
    let camera = attacking(|mut visit| async move {
        visit.sdp = Some(Film::h264().sdp() + &"a=x:y\r\n".repeat(MIB / 2));
        visit.open(&Film::h264()).await?;
        visit.show(&Film::h264(), 5).await
    })
    .await;
    let media = attacking(|mut visit| async move {
        visit.sdp = Some(Film::h264().sdp() + &"m=audio 0 RTP/AVP 0\r\na=control:track2\r\n".repeat(100_000));
        visit.open(&Film::h264()).await?;
        visit.show(&Film::h264(), 5).await
    })
    .await;
    tokio::join!(check_survives("r17d", camera), check_survives("r17e", media));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_17_an_endless_picture_is_refused() {
    // FU-A after FU-A, all at one time, none of them the last.
    let fragments = attacking(|mut visit| async move {
        let film = Film::h264();
        visit.open(&film).await?;
        visit.show(&film, 5).await?;
        let mut fragment = [&[0x7c, 0x85][..], &[0x55; 1_300]].concat();
        for _ in 0..200 * MIB / 1_300 {
            let packet = visit.rtp.packet(&film, false, &fragment);
            visit.send_raw(&interleaved(0, &packet)).await?;
            fragment[1] = 0x05;
        }
        Ok(())
    })
    .await;
    // Small NAL units without end, all at one time: more of them than bytes in them.
    let units = attacking(|mut visit| async move {
        let film = Film::h264();
        visit.open(&film).await?;
        visit.show(&film, 5).await?;
        let aggregate = [&[0x78][..], &[0, 1, 0x06].repeat(430)].concat();
        for _ in 0..200 * MIB / aggregate.len() {
            let packet = visit.rtp.packet(&film, false, &aggregate);
            visit.send_raw(&interleaved(0, &packet)).await?;
        }
        Ok(())
    })
    .await;
    tokio::join!(check_survives("r17f", fragments), check_survives("r17g", units));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_17_an_endless_jpeg_is_refused() {
    let camera = attacking(|mut visit| async move {
        let film = Film { codec: Codec::Jpeg, pictures: Vec::new(), ..Film::h264().with_fmtp("") };
        visit.open(&film).await?;
        let tables = [&[0, 0, 0, 128][..], &[16; 128]].concat();
        for offset in (0..64 * MIB as u32).step_by(1_300) {
            let tables = if offset == 0 { &tables[..] } else { &[] };
            let header = jpeg::header(offset & 0x00ff_ffff, 1, 2_040, 2_040);
            let packet = visit.rtp.packet(&film, false, &[&header, tables, &[0x55; 1_300]].concat());
            visit.send_raw(&interleaved(0, &packet)).await?;
        }
        Ok(())
    })
    .await;
    check_survives("r17h", camera).await;
}

/// Larger than 16 megapixels: said in words, and nothing is allocated for it.
#[tokio::test(flavor = "multi_thread")]
async fn row_17_a_picture_of_16384x16384_is_refused_in_words() {
    let huge = sps::h264(1_024, 1_024);
    let in_stream = {
        let mut film = Film::h264();
        film.pictures
            .iter_mut()
            .flatten()
            .filter(|nal| nal[0] & 0x1f == 7)
            .for_each(|nal| nal.clone_from(&huge));
        film
    };
    let in_sdp = in_stream.clone().with_parameters_in_sdp_only();
    let trials = [in_stream, in_sdp].into_iter().enumerate().map(|(number, film)| async move {
        let name = format!("r17s{number}");
        let camera = Hostile::showing(film).await;
        let trial = Trial::start(&name, &camera).await;
        let words = "picture of 16384x16384 is larger than 16 megapixels";
        trial.until("refused", 10, |look| look.reason.as_deref() == Some(words)).await;
        let stats = trial.stats();
        assert_eq!((stats.frames_decoded, stats.panics), (0, 0), "{stats:?}");
        trial.finish(&camera).await;
    });
    join_all(trials).await;
}

/// RTP packets with nonsense in every field that says how long something is.
#[tokio::test(flavor = "multi_thread")]
async fn row_17_packets_whose_lengths_lie_are_skipped() {
    let lies: [&'static [u8]; 12] = [
        b"",
        b"\x80",
        b"\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00",
        // 15 contributing sources, an extension of 65535 words, 255 bytes of padding: none of them there
        b"\x8f\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x90\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\xbe\xde\xff\xff",
        b"\xa0\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\xff",
        // No payload; empty NAL unit; STAP-A with a length past the end; FU-A without a body
        b"\x80\xe0\x00\x01\x00\x00\x00\x00\xca\xfe\x00\x01",
        b"\x80\xe0\x00\x01\x00\x00\x00\x00\xca\xfe\x00\x01\x00",
        b"\x80\xe0\x00\x01\x00\x00\x00\x00\xca\xfe\x00\x01\x78\xff\xff\x41",
        b"\x80\xe0\x00\x01\x00\x00\x00\x00\xca\xfe\x00\x01\x78\x00\x00",
        b"\x80\xe0\x00\x01\x00\x00\x00\x00\xca\xfe\x00\x01\x7c",
        // Version 0
        b"\x00\xe0\x00\x01\x00\x00\x00\x00\xca\xfe\x00\x01\x41\x9a",
    ];
    let camera = disturbed(5, move |visit, _| {
        let lie = lies[(visit.rtp.next / 5) % lies.len()];
        let channel = u8::from(visit.rtp.next % 2 == 0);
        interleaved(channel, lie)
    })
    .await;
    check_put_up_with("r17l", camera, 0.5).await;
}

/// An old live555 server sends the packets of a session that is over into the next connection.
#[tokio::test(flavor = "multi_thread")]
async fn row_18_c12_packets_of_a_stale_session_are_not_ours() {
    let stale = |channel: u8| {
        move |visit: &mut Visit, film: &Film| {
            let mut other = visit.rtp.clone();
            (other.ssrc, other.sequence, other.time) = (0xdead_beef, visit.rtp.next as u16, 77);
            other.picture(film).iter().flat_map(|packet| interleaved(channel, packet)).collect()
        }
    };
    let (unassigned, ours) = (disturbed(1, stale(6)).await, disturbed(1, stale(0)).await);
    // And already before anything is answered.
    let early = Hostile::start(move |mut visit| async move {
        let film = Film::h264();
        let mut other = visit.rtp.clone();
        other.ssrc = 0xdead_beef;
        for _ in 0..3 {
            let packets = other.picture(&film);
            let bytes: Vec<u8> = packets.iter().flat_map(|packet| interleaved(0, packet)).collect();
            visit.send_raw(&bytes).await?;
            visit.answer_next(&film).await?;
        }
        visit.show_on(&film).await
    })
    .await;
    tokio::join!(
        check_put_up_with("r18a", unassigned, 0.95),
        check_put_up_with("r18b", ours, 0.95),
        check_put_up_with("r18c", early, 0.95),
    );
}

fn in_text(answer: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(answer).unwrap().replace(from, to).into_bytes()
}

/// Head lines that begin so are put in the place of those of this name, in this answer only.
fn with_line(request: &Request, answer: Vec<u8>, method: &str, name: &str, line: &str) -> Vec<u8> {
    if request.method != method {
        return answer;
    }
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let kept = head.split("\r\n").filter(|known| !known.starts_with(name));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    format!("{head}{line}\r\n{body}").into_bytes()
}

/// Each from retina's changelog (0.3.1 to 0.4.20) and its collection of answers of real cameras; named after the
/// camera or the server where that is known.
const QUIRKS: &[(&str, Quirk)] = &[
    ("schemeless Content-Base (Anjvision)", |r, a| {
        with_line(r, a, "DESCRIBE", "Content-Base", "Content-Base: 192.168.1.10:554/stream0/\r\n")
    }),
    ("relative Content-Base", |r, a| with_line(r, a, "DESCRIBE", "Content-Base", "Content-Base: /live/\r\n")),
    ("no Content-Base", |r, a| with_line(r, a, "DESCRIBE", "Content-Base", "")),
    ("no Content-Type (libavformat)", |r, a| with_line(r, a, "DESCRIBE", "Content-Type", "")),
    ("Content-Type with a charset", |_, a| in_text(a, "application/sdp", "application/sdp; charset=utf-8")),
    ("no origin line (macro-video)", |_, a| resized(a, "o=- 1 1 IN IP4 127.0.0.1\r\n", "")),
    ("an origin line with too many fields (TP-Link)", |_, a| {
        resized(a, "o=- 1 1 ", "o=- 14665860 31787219 1 ")
    }),
    ("no timing line (Geovision)", |_, a| resized(a, "t=0 0\r\n", "")),
    ("unparseable media (TP-Link)", |_, a| {
        resized(
            a,
            "a=control:track1\r\n",
            "a=control:track1\r\nm=application/TP-LINK 0 RTP/AVP smart/1/90000\r\na=rtpmap:95 TP-LINK/90000\r\na=control:track3\r\n",
        )
    }),
    ("a space after the clock rate (H264DVR)", |_, a| resized(a, "H264/90000", "H264/90000 ")),
    ("attributes in another order (Reolink)", |_, a| {
        resized(
            a,
            "a=control:*\r\nm=",
            "a=control:*\r\na=tool:LIVE555 Streaming Media v2013.04.08\r\na=range:npt=0-\r\nm=",
        )
    }),
    ("trailing semicolon in fmtp (Anjvision)", |_, a| {
        resized(a, "packetization-mode=1", "packetization-mode=1;profile-level-id=4D401F;")
    }),
    ("config in fmtp (Anpviz)", |_, a| {
        resized(a, "packetization-mode=1", "packetization-mode=0;config=00000001674d401f")
    }),
    ("profile-level-id that is none (macro-video)", |_, a| {
        resized(a, "packetization-mode=1", "profile-level-id=TeAo;packetization-mode=1")
    }),
    ("sound before the picture (Ubiquiti)", |_, a| {
        resized(
            a,
            "m=video",
            "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/1\r\na=fmtp:97\r\na=control:trackID=0\r\nm=video",
        )
    }),
    ("line ends without carriage returns in the SDP", |_, a| {
        let text = String::from_utf8(a).unwrap();
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if body.starts_with("v=0") => {
                let body = body.replace("\r\n", "\n");
                let head: Vec<&str> =
                    head.split("\r\n").filter(|line| !line.starts_with("Content-Length")).collect();
                format!("{}\r\nContent-Length: {}\r\n\r\n{body}", head.join("\r\n"), body.len()).into_bytes()
            }
            _ => text.into_bytes(),
        }
    }),
    ("a space in the SSRC (Hikvision)", |r, a| {
        with_line(
            r,
            a,
            "SETUP",
            "Transport",
            "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc= d6d6627\r\n",
        )
    }),
    ("an SSRC with 0x (Rubetek)", |r, a| {
        with_line(
            r,
            a,
            "SETUP",
            "Transport",
            "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0x6f7c;mode=\"PLAY\"\r\n",
        )
    }),
    ("an SSRC of four digits", |r, a| {
        with_line(r, a, "SETUP", "Transport", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=A046\r\n")
    }),
    ("another SSRC than announced, no unicast (Luckfox)", |r, a| {
        with_line(r, a, "SETUP", "Transport", "Transport: RTP/AVP/TCP;ssrc=22345684;interleaved=0-1\r\n")
    }),
    ("destination and source in Transport (GW Security)", |r, a| {
        with_line(
            r,
            a,
            "SETUP",
            "Transport",
            "Transport: RTP/AVP/TCP;unicast;destination=192.168.1.210;source=192.168.1.110;interleaved=0-1\r\n",
        )
    }),
    ("spaces before the timeout (GW Security)", |_, a| in_text(a, ";timeout=60", "; timeout=60")),
    ("Cseq in other letters (H264DVR)", |_, a| in_text(a, "CSeq:", "Cseq:")),
    ("a space after the CSeq (Longse)", |_, a| in_text(a, "\r\nSession", " \r\nSession")),
    ("many spaces before the session (Hikvision)", |_, a| in_text(a, "Session: ", "Session:        ")),
    ("semicolon at the end of RTP-Info (LaureII)", |r, a| {
        with_line(
            r,
            a,
            "PLAY",
            "RTP-Info",
            "RTP-Info: url=rtsp://192.168.1.19:554/0/main/trackID=0;seq=0;rtptime=0;\r\n",
        )
    }),
    ("a decimal SSRC in RTP-Info (Dahua)", |r, a| {
        with_line(
            r,
            a,
            "PLAY",
            "RTP-Info",
            "RTP-Info: url=trackID=0;seq=13210;rtptime=1067824145;ssrc=4294962989\r\n",
        )
    }),
    ("an ampersand in RTP-Info (Hikvision)", |r, a| {
        with_line(
            r,
            a,
            "PLAY",
            "RTP-Info",
            "RTP-Info: url=rtsp://192.168.5.106:554/Streaming/Channels/101/trackID=1?transportmode=unicast&profile=Profile_1;seq=24104;rtptime=1270711678\r\n",
        )
    }),
    ("no session in the answer to PLAY", |r, a| with_line(r, a, "PLAY", "Session", "")),
    ("an empty line before each answer", |_, a| [&b"\r\n"[..], &a].concat()),
];

/// Replaces in the body and tells its new length.
fn resized(answer: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(answer).unwrap();
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if !body.is_empty() => {
            assert!(body.contains(from), "nothing to change: {from}");
            let body = body.replacen(from, to, 1);
            let lines: Vec<&str> =
                head.split("\r\n").filter(|line| !line.starts_with("Content-Length")).collect();
            format!("{}\r\nContent-Length: {}\r\n\r\n{body}", lines.join("\r\n"), body.len()).into_bytes()
        }
        _ => text.into_bytes(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c24_quirks_of_headers_and_descriptions_still_play() {
    let trials = QUIRKS.iter().enumerate().map(|(number, (_, quirk))| async move {
        let camera = Hostile::start(move |mut visit| async move {
            visit.quirk = Some(*quirk);
            visit.open(&Film::h264()).await?;
            visit.show_on(&Film::h264()).await
        })
        .await;
        let trial = Trial::start(&format!("c24-{number}"), &camera).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let stats = trial.stats();
        let plays = stats.frames_decoded > 25 && stats.reconnects == 0 && stats.state == TileState::Live;
        trial.finish(&camera).await;
        (!plays).then_some((QUIRKS[number].0, stats.reason))
    });
    let failed: Vec<_> = join_all(trials).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// What cannot be played is said, and leaves the camera alone as the ladder has it.
#[tokio::test(flavor = "multi_thread")]
async fn c07_a_stream_that_never_brings_its_parameter_sets_is_said_and_left_alone() {
    let camera = Hostile::showing(Film::h264().without(&[7, 8])).await;
    let setting = Setting {
        ladder: Ladder::Steps,
        change: |config| wallcast_ingest::CameraConfig {
            first_frame_budget: Duration::from_secs(10),
            ..config
        },
        ..Setting::default()
    };
    let trial = Trial::start_with("c07n", &camera, setting).await;
    let told = |words: &str| words.contains("could be decoded") || words.contains("sent no video");
    trial.until("said", 20, |look| look.reason.as_deref().is_some_and(told)).await;
    trial.finish(&camera).await;
}
