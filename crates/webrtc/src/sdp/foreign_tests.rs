//! Offers of the clients that `scripts/clients` plays with, recorded by it, and what their makers could leave out or
//! write otherwise tomorrow.

use super::tests::answered;
use super::*;

const AIORTC: &str = include_str!("fixtures/aiortc-1.16.sdp");
const FIREFOX: &str = include_str!("fixtures/firefox-153.sdp");
const GSTREAMER: &str = include_str!("fixtures/gstreamer-1.22.sdp");
const LIBDATACHANNEL: &str = include_str!("fixtures/libdatachannel-0.33.sdp");
const WERIFT: &str = include_str!("fixtures/werift-0.24.sdp");
const ALL: [&str; 5] = [AIORTC, FIREFOX, GSTREAMER, LIBDATACHANNEL, WERIFT];

fn parse(text: &str) -> Result<Offer, OfferError> {
    Offer::parse(text, ProfileLevelId::constrained_baseline(40))
}

/// Without the lines that begin so.
fn without(text: &str, beginnings: &[&str]) -> String {
    let kept = |line: &&str| !beginnings.iter().any(|beginning| line.starts_with(beginning));
    text.lines().filter(kept).map(|line| format!("{line}\r\n")).collect()
}

fn video(answer: &SessionDescription) -> &MediaDescription {
    answer.media_descriptions.iter().find(|section| section.media_name.media == "video").unwrap()
}

#[test]
fn each_client_gets_its_own_payload_types_and_the_feedback_it_offers() {
    let (nack, fir) = (["nack", "nack pli"].as_slice(), ["nack", "nack pli", "ccm fir"].as_slice());
    for (text, payload_type, rtx, feedback) in [
        (AIORTC, 101, Some(102), nack),
        (FIREFOX, 126, Some(127), fir),
        (GSTREAMER, 96, Some(97), fir),
        (LIBDATACHANNEL, 96, None, nack),
        (WERIFT, 96, None, nack),
    ] {
        let offer = parse(text).unwrap();
        let profile = ProfileLevelId::parse("42e01f").unwrap();
        assert_eq!(offer.format(), Format { payload_type, rtx_payload_type: rtx, profile }, "{text}");
        let found: Vec<_> = offer.feedback().filter(|found| feedback.contains(found)).collect();
        assert_eq!(found, feedback, "{text}");
    }
}

#[test]
fn a_client_that_waits_for_the_handshake_is_told_that_we_begin_it() {
    for text in ALL {
        assert!(!parse(text).unwrap().waits_for_dtls());
        assert!(!parse(&text.replace("setup:actpass", "setup:active")).unwrap().waits_for_dtls());
        assert!(parse(&text.replace("setup:actpass", "setup:passive")).unwrap().waits_for_dtls());
    }
}

#[test]
fn an_offer_that_names_no_candidate_no_extension_and_no_feedback_is_answered_in_kind() {
    for text in ALL {
        let bare =
            without(text, &["a=candidate", "a=end-of-candidates", "a=extmap", "a=rtcp-fb", "a=rtcp-rsize"]);
        let answer = answered(&bare);
        let section = video(&answer);
        assert!(section.has_attribute("candidate") && section.has_attribute("end-of-candidates"));
        for absent in ["extmap", "rtcp-fb", "rtcp-rsize"] {
            assert!(!section.has_attribute(absent), "{absent}");
        }
    }
}

#[test]
fn without_retransmissions_in_the_offer_there_are_none_in_the_answer() {
    for text in ALL {
        let answer = answered(&text.replace(" rtx/90000", " x-rtx/90000"));
        let section = video(&answer);
        assert_eq!(section.media_name.formats.len(), 1, "{section:?}");
        assert!(!section.has_attribute("ssrc-group"));
    }
}

#[test]
fn rtcp_on_a_port_of_its_own_is_refused() {
    for text in ALL {
        let error = parse(&without(text, &["a=rtcp-mux"])).err().unwrap();
        assert!(matches!(&error, OfferError::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains("rtcp-mux"), "{error}");
    }
}

#[test]
fn a_client_outside_of_any_bundle_is_answered_without_one() {
    for text in ALL {
        let answer = answered(&without(text, &["a=group"]));
        assert!(answer.attributes.iter().all(|attribute| attribute.key != "group"));
        assert!(video(&answer).has_attribute("ice-ufrag"));
    }
}
