//! Offers as browsers make them (`fixtures/`: Chromium 156 recorded; Firefox and Safari written after their own form),
//! and as nobody should.

use super::*;
use crate::dtls::Role;
use crate::path::Protocol;
use crate::sdp::{Ours, answer};
use crate::track::TrackIds;

const CHROMIUM: &str = include_str!("fixtures/chromium-156.sdp");
const FIREFOX: &str = include_str!("fixtures/firefox.sdp");
const SAFARI: &str = include_str!("fixtures/safari.sdp");

fn wall() -> ProfileLevelId {
    ProfileLevelId::constrained_baseline(40)
}

fn parse(text: &str) -> Offer {
    Offer::parse(text, wall()).unwrap()
}

fn refusal(text: &str) -> OfferError {
    Offer::parse(text, wall()).err().unwrap()
}

#[track_caller]
fn check_format(offer: &str, payload_type: u8, rtx: Option<u8>, profile: &str) {
    let expected =
        Format { payload_type, rtx_payload_type: rtx, profile: ProfileLevelId::parse(profile).unwrap() };
    assert_eq!(parse(offer).format(), expected);
}

#[test]
fn browsers_get_the_payload_type_whose_fmtp_fits_best() {
    check_format(CHROMIUM, 108, Some(109), "42e01f");
    check_format(FIREFOX, 126, Some(127), "42e01f");
    check_format(SAFARI, 98, Some(99), "42e01f");
}

#[test]
fn without_constrained_baseline_the_nearest_profile_serves() {
    check_format(&CHROMIUM.replace("42e01f", "f4001f"), 102, Some(103), "42001f");
    check_format(&SAFARI.replace("42e01f", "f4001f"), 96, Some(97), "640c1f");
}

#[test]
fn a_format_in_mode_0_is_passed_over_and_one_that_states_nothing_is_taken() {
    let mode_0 = SAFARI.replace("packetization-mode=1", "packetization-mode=0");
    assert!(matches!(refusal(&mode_0), OfferError::NoH264 { .. }));
    let bare = SAFARI.lines().filter(|line| !line.starts_with("a=fmtp:98")).collect::<Vec<_>>().join("\r\n");
    check_format(&bare.replace("640c1f", "f4001f"), 98, Some(99), "42000a");
}

#[test]
fn extensions_keep_the_ids_of_the_offer() {
    assert_eq!(parse(CHROMIUM).extensions(), [(Extension::PlayoutDelay, 5), (Extension::TransportCc, 4)]);
    assert_eq!(parse(FIREFOX).extensions(), [(Extension::PlayoutDelay, 8)]);
    assert_eq!(parse(SAFARI).extensions(), [(Extension::PlayoutDelay, 4), (Extension::AbsCaptureTime, 13)]);
    let without = CHROMIUM.replace("extmap:5 ", "extmap:15 ");
    assert_eq!(parse(&without).extensions(), [(Extension::TransportCc, 4)]);
    let unreported = CHROMIUM.replace("rtcp-fb:108 transport-cc", "rtcp-fb:108 x");
    assert_eq!(parse(&unreported).extensions(), [(Extension::PlayoutDelay, 5)]);
    assert_eq!(parse(&unreported).feedback().collect::<Vec<_>>(), ["nack", "nack pli", "ccm fir"]);
}

#[test]
fn what_describes_the_transport_is_found_where_the_browser_wrote_it() {
    let offer = parse(FIREFOX);
    assert_eq!(offer.credentials().ufrag, "5d1c2b3a");
    assert!(offer.fingerprint().starts_with("9C:0E"), "from the session level");
    let sha_1_first = FIREFOX.replacen("a=fingerprint:", "a=fingerprint:sha-1 00:11\r\na=fingerprint:", 1);
    assert!(parse(&sha_1_first).fingerprint().starts_with("9C:0E"));
    let only_sha_1 = FIREFOX.replace("fingerprint:sha-256", "fingerprint:sha-1");
    assert!(matches!(refusal(&only_sha_1), OfferError::Unreadable { .. }));
    let all = ["nack", "nack pli", "ccm fir", "transport-cc"];
    assert_eq!(parse(CHROMIUM).feedback().collect::<Vec<_>>(), all);
    assert_eq!(
        parse(&CHROMIUM.replace("rtcp-fb:108 nack", "rtcp-fb:108 x")).feedback().collect::<Vec<_>>(),
        ["ccm fir", "transport-cc"]
    );
}

#[test]
fn the_viewer_begins_the_handshake_unless_it_waits_for_us() {
    assert!(!parse(CHROMIUM).waits_for_dtls());
    assert!(parse(&CHROMIUM.replace("setup:actpass", "setup:passive")).waits_for_dtls());
}

#[test]
fn an_offer_that_is_dear_to_read_is_refused_at_once_and_in_few_words() {
    let formats = CHROMIUM.replacen(
        "m=video 9 UDP/TLS/RTP/SAVPF",
        &format!("m=video 9 UDP/TLS/RTP/SAVPF{}", " 9".repeat(13_000)),
        1,
    );
    let attributes = CHROMIUM.to_owned() + &"a=rtpmap:1 x\r\n".repeat(2_000);
    let names: String = (0..60).map(|i| format!("a=rtpmap:{i} \u{1}{}/90000\r\n", "n".repeat(500))).collect();
    let list: String = (0..60).map(|i| format!(" {i}")).collect();
    let codecs = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF{list}\r\na=mid:0\r\n{names}"
    );
    for text in [formats, attributes, codecs] {
        let begun = std::time::Instant::now();
        let error = Offer::parse(&text, ProfileLevelId::constrained_baseline(40)).err().unwrap().to_string();
        assert!(begun.elapsed() < std::time::Duration::from_millis(500), "{:?}", begun.elapsed());
        assert!(error.len() < 1_000, "{} bytes: {}", error.len(), &error[..200]);
    }
}

fn answer_text(offer: &Offer) -> String {
    let format = offer.format();
    let (credentials, ids) =
        (Credentials::random(), TrackIds::random(format.payload_type, format.rtx_payload_type));
    let ours = Ours {
        credentials: &credentials,
        fingerprint: "sha-256 00:11".to_owned(),
        role: Role::Server,
        ice_lite: false,
        candidates: &[
            (Protocol::Udp, "127.0.0.1:8082".parse().unwrap()),
            (Protocol::Tcp, "127.0.0.1:8082".parse().unwrap()),
        ],
        ids,
        stream: wall(),
    };
    answer(offer, &ours)
}

pub(super) fn answered(text: &str) -> SessionDescription {
    SessionDescription::unmarshal(&mut Cursor::new(answer_text(&parse(text)).as_bytes())).unwrap()
}

#[track_caller]
fn check_sections(answer: &SessionDescription, bundle: &str, expected: &[(&str, bool, &str, usize)]) {
    let sections: Vec<_> = answer
        .media_descriptions
        .iter()
        .map(|section| {
            let candidates =
                section.attributes.iter().filter(|attribute| attribute.key == "candidate").count();
            let name = &section.media_name;
            (name.media.as_str(), name.port.value != 0, value(section, "mid").unwrap(), candidates)
        })
        .collect();
    assert_eq!(sections, expected);
    let group = answer.attributes.iter().find(|attribute| attribute.key == "group").unwrap();
    assert_eq!(group.value.as_deref(), Some(bundle));
}

#[test]
fn sections_that_are_not_ours_are_rejected_in_their_place_and_leave_the_bundle() {
    let answer = answered(&FIREFOX.replace("BUNDLE 0 1 2", "BUNDLE 1 0 2"));
    let expected = [("audio", false, "0", 0), ("video", true, "1", 2), ("application", false, "2", 0)];
    check_sections(&answer, "BUNDLE 1", &expected);
    let video = &answer.media_descriptions[1];
    assert!(fmtp_of(video, 126).unwrap().contains("profile-level-id=42e028"), "{video:?}");
    assert!(video.has_attribute("end-of-candidates"));
}

#[test]
fn a_section_whose_transport_we_need_is_answered_inactive() {
    let answer = answered(FIREFOX);
    let expected = [("audio", true, "0", 2), ("video", true, "1", 0), ("application", false, "2", 0)];
    check_sections(&answer, "BUNDLE 0 1", &expected);
    let audio = &answer.media_descriptions[0];
    assert_eq!(audio.media_name.formats, ["109"]);
    for key in ["inactive", "rtcp-mux", "ice-ufrag", "ice-pwd", "setup", "end-of-candidates"] {
        assert!(audio.has_attribute(key), "{key}");
    }
}

#[test]
fn an_offer_without_h264_says_what_it_has() {
    let error = refusal(&CHROMIUM.replace("H264", "H263"));
    assert!(matches!(&error, OfferError::NoH264 { .. }), "{error}");
    assert!(error.to_string().contains("VP8/90000"), "{error}");
    for direction in ["sendonly", "inactive"] {
        assert!(matches!(
            refusal(&CHROMIUM.replace("a=recvonly", &format!("a={direction}"))),
            OfferError::NoH264 { .. }
        ));
    }
}

#[test]
fn rubbish_is_refused_with_what_was_found() {
    let found = |found: &str| OfferError::Unreadable {
        found: found.to_owned(),
        expected: "an SDP offer to receive one video".to_owned(),
    };
    assert_eq!(refusal("v=0"), found("\"v=0\""), "no word of the library's");
    let html = refusal("<html>\u{1b}[31mhello</html>").to_string();
    assert!(html.contains("hello") && !html.contains('\u{1b}'), "{html}");
    for rubbish in ["", "{}", "v=0", "v=0\r\n", "\0\0\0\0"] {
        let error = refusal(rubbish);
        assert!(
            matches!(error, OfferError::Unreadable { .. } | OfferError::NoH264 { .. }),
            "{rubbish:?}: {error}"
        );
    }
    for missing in ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=mid"] {
        let without: String = CHROMIUM
            .lines()
            .filter(|line| !line.starts_with(missing))
            .map(|line| format!("{line}\r\n"))
            .collect();
        assert!(matches!(refusal(&without), OfferError::Unreadable { .. }), "{missing}");
    }
}

#[test]
fn oversized_offers_are_refused() {
    let long = format!("{CHROMIUM}a=x:{}\r\n", "x".repeat(MAX_BYTES));
    assert!(matches!(refusal(&long), OfferError::Unreadable { .. }));
    let section = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\n";
    assert!(matches!(
        refusal(&format!("{CHROMIUM}{}", section.repeat(MAX_SECTIONS))),
        OfferError::Unreadable { .. }
    ));
}

#[test]
fn names_that_are_too_long_are_refused() {
    let text = include_str!("fixtures/chromium-156.sdp");
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap();
    for (key, most) in [("a=ice-ufrag:", 256), ("a=ice-pwd:", 256), ("a=mid:", 64)] {
        let with = |len: usize| text.replace(line(key), &format!("{key}{}", "x".repeat(len)));
        let wall = ProfileLevelId::constrained_baseline(40);
        assert!(Offer::parse(&with(most), wall).is_ok(), "{key}");
        let refused = Offer::parse(&with(most + 1), wall).err();
        assert!(matches!(refused, Some(OfferError::Unreadable { .. })), "{key} {refused:?}");
    }
}

#[test]
fn mutated_offers_are_answered_or_refused_and_nothing_else() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut answered = 0;
    for round in 0..3000 {
        let mut bytes = [CHROMIUM, FIREFOX, SAFARI][round % 3].as_bytes().to_vec();
        for _ in 0..=random(8) {
            let at = random(bytes.len().max(1));
            match random(4) {
                0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = random(128) as u8),
                1 => drop(bytes.drain(at..(at + random(200)).min(bytes.len()))),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let from = random(bytes.len().max(1));
                    let piece = bytes[from..(from + random(200)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if let Ok(offer) = Offer::parse(&text, wall()) {
            assert!(answer_text(&offer).starts_with("v=0"));
            answered += 1;
        }
    }
    assert!((300..2700).contains(&answered), "{answered} of 3000 tell little");
}

#[test]
fn candidates_over_tcp_come_after_those_over_udp_and_wait_for_the_viewer() {
    let answer = answered(CHROMIUM);
    let candidates: Vec<_> = answer.media_descriptions[0]
        .attributes
        .iter()
        .filter(|attribute| attribute.key == "candidate")
        .filter_map(|attribute| attribute.value.clone())
        .collect();
    assert_eq!(
        candidates,
        [
            "1 1 udp 2130706431 127.0.0.1 8082 typ host",
            "2 1 tcp 1526726399 127.0.0.1 8082 typ host tcptype passive"
        ]
    );
}
