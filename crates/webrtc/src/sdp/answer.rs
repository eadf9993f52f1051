//! Writing the answer.

use rtc::sdp::SessionDescription;
use rtc::sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc::sdp::description::media::MediaDescription;

use super::offer::{Format, Offer, attribute, property, value};
use crate::profile::ProfileLevelId;

/// The answer to the whole of `offer`, made from the core's answer to [`Offer::reduced`]: the video section with the
/// level of the stream, every other section rejected (RFC 3264 section 6), each at its place.
pub(crate) fn answer(
    offer: &Offer,
    core_answer: SessionDescription,
    stream: ProfileLevelId,
) -> Option<String> {
    let mut session = core_answer;
    let mut video =
        Some(session.media_descriptions.pop()?).filter(|video| video.media_name.port.value != 0)?;
    if !session.media_descriptions.is_empty() {
        return None;
    }
    finish(&mut video, offer.format(), stream);
    let tag = tag_section(offer).map(|index| (index, inactive(&offer.sections()[index], &mut video)));
    let members = tag.iter().filter_map(|(_, section)| value(section, "mid")).chain([offer.mid()]);
    let group = format!("BUNDLE {}", members.collect::<Vec<_>>().join(" "));
    session.attributes.retain(|found| found.key != "group");
    if offer.is_bundled() {
        session.attributes.push(attribute("group", &group));
    }
    session.media_descriptions = offer.sections().iter().map(rejected).collect();
    session.media_descriptions[offer.video()] = video;
    if let Some((index, section)) = tag {
        session.media_descriptions[index] = section;
    }
    Some(session.marshal())
}

/// Corrects what the core writes otherwise.
fn finish(video: &mut MediaDescription, offered: Format, stream: ProfileLevelId) {
    let ours = Format { profile: offered.profile.at_level_of(stream), ..offered };
    for found in &mut video.attributes {
        let format = found.value.as_deref().and_then(|value| value.split(' ').next()).unwrap_or("");
        if found.key == "fmtp" && format.parse() == Ok(ours.payload_type) {
            // The core repeats the offer's level; ours is what the viewer will have to decode.
            *found = attribute("fmtp", &format!("{} {}", ours.payload_type, ours.fmtp()));
        }
    }
    // The core writes every candidate for RTCP too; with rtcp-mux there is no such component.
    video.attributes.retain(|found| {
        let component = found.value.as_deref().and_then(|value| value.split(' ').nth(1));
        found.key != "candidate" || component == Some("1")
    });
    if !video.has_attribute("end-of-candidates") {
        video.attributes.push(property("end-of-candidates"));
    }
}

/// The section that tags the bundle, its transport being the bundle's, when it is another one than ours. Rejecting it
/// would end the bundle for Chromium under `max-bundle`, and nothing in an offer tells that policy from others.
fn tag_section(offer: &Offer) -> Option<usize> {
    let tag = offer.bundle_tag().filter(|tag| *tag != offer.mid())?;
    let index = offer.sections().iter().position(|section| value(section, "mid") == Some(tag))?;
    let name = &offer.sections()[index].media_name;
    (name.port.value != 0 && name.protos.iter().any(|proto| proto == "RTP")).then_some(index)
}

/// Accepted without media flowing either way (RFC 3264 section 6.1); takes over the candidates of `video`, which
/// belong to the section that tags the bundle (RFC 9143 section 7.1.3).
fn inactive(offered: &MediaDescription, video: &mut MediaDescription) -> MediaDescription {
    let mut section = rejected(offered);
    section.media_name.port.value = video.media_name.port.value;
    section.media_name.formats.truncate(1);
    let format = section.media_name.formats.first().cloned().unwrap_or_default();
    let describes_format = |found: &&Attribute| {
        let value = found.value.as_deref().unwrap_or("");
        matches!(found.key.as_str(), "rtpmap" | "fmtp") && value.split(' ').next() == Some(format.as_str())
    };
    section.attributes.extend(offered.attributes.iter().filter(describes_format).cloned());
    section.attributes.push(property("rtcp-mux"));
    let is_transport = |key: &str| matches!(key, "setup" | "ice-ufrag" | "ice-pwd" | "fingerprint");
    section.attributes.extend(video.attributes.iter().filter(|found| is_transport(&found.key)).cloned());
    let is_candidate =
        |found: &mut Attribute| matches!(found.key.as_str(), "candidate" | "end-of-candidates");
    section.attributes.extend(video.attributes.extract_if(.., is_candidate));
    section
}

/// Port 0, and the rest as offered. The `c=` line is there because Firefox refuses a section without.
fn rejected(offered: &MediaDescription) -> MediaDescription {
    let mut section =
        MediaDescription { media_name: offered.media_name.clone(), ..MediaDescription::default() };
    section.media_name.port.value = 0;
    section.media_name.port.range = None;
    section.connection_information = Some(ConnectionInformation {
        network_type: "IN".to_owned(),
        address_type: "IP4".to_owned(),
        address: Some(Address { address: "0.0.0.0".to_owned(), ttl: None, range: None }),
    });
    section.attributes.extend(value(offered, "mid").map(|mid| attribute("mid", mid)));
    section.attributes.push(property("inactive"));
    section
}
