//! Writing the answer.

use rtc::sdp::SessionDescription;
use rtc::sdp::description::common::{Address, ConnectionInformation};
use rtc::sdp::description::media::MediaDescription;

use super::offer::{Format, Offer, attribute, property};
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
    let offered = offer.format();
    let ours = Format { profile: offered.profile.at_level_of(stream), ..offered };
    for found in &mut video.attributes {
        let value = found.value.as_deref().unwrap_or("");
        if found.key == "fmtp" && value.split(' ').next() == Some(ours.payload_type.to_string().as_str()) {
            // Not what the core writes, the offer's level: ours is what the viewer will have to decode.
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
    session.attributes.retain(|found| found.key != "group");
    if offer.is_bundled() {
        session.attributes.push(attribute("group", &format!("BUNDLE {}", offer.mid())));
    }
    for (index, offered) in offer.sections().iter().enumerate() {
        let section = if index == offer.video() { std::mem::take(&mut video) } else { rejected(offered) };
        session.media_descriptions.push(section);
    }
    Some(session.marshal())
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
    section.attributes.extend(offered.attributes.iter().find(|attribute| attribute.key == "mid").cloned());
    section.attributes.push(property("inactive"));
    section
}
