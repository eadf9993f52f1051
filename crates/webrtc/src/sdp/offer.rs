//! Reading an offer: hostile until proven otherwise.

use std::io::Cursor;

use rtc::sdp::SessionDescription;
use rtc::sdp::description::common::Attribute;
use rtc::sdp::description::media::MediaDescription;

use crate::error::OfferError;
use crate::ice::Credentials;
use crate::profile::ProfileLevelId;
use crate::track::Extension;
use crate::transport_cc;

const MAX_BYTES: usize = 64 * 1024;
const MAX_SECTIONS: usize = 20;
/// Payload types an m-line may list; there are 128 at all, and browsers list about 40.
const MAX_FORMATS: usize = 64;
/// Attributes a section may have; browsers have about 150. Reading is quadratic in the two.
const MAX_ATTRIBUTES: usize = 1000;
/// Bytes of a section's name; browsers number them.
const MAX_MID: usize = 64;
/// Codecs that a refusal names for a section.
const MAX_NAMED_CODECS: usize = 8;

/// An offer with a video section that takes our stream.
pub(crate) struct Offer {
    session: SessionDescription,
    /// Which m-line.
    video: usize,
    mid: String,
    /// The mids of the bundle our section is in; empty when it is in none. The first is its tag: the bundle uses that
    /// section's transport.
    bundle: Vec<String>,
    format: Format,
    extensions: Vec<(Extension, u8)>,
}

/// The payload type we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) payload_type: u8,
    /// Of retransmissions, RFC 4588; without one, lost packets are sent again as they were.
    pub(crate) rtx_payload_type: Option<u8>,
    /// As offered; the level is the viewer's.
    pub(crate) profile: ProfileLevelId,
}

impl Format {
    /// The `a=fmtp` parameters.
    pub(crate) fn fmtp(&self) -> String {
        format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={}", self.profile)
    }
}

impl Offer {
    /// Reads `text` and chooses the section and payload type for a stream of `profile`.
    pub(crate) fn parse(text: &str, profile: ProfileLevelId) -> Result<Self, OfferError> {
        if text.len() > MAX_BYTES {
            return Err(unreadable(format!("{} bytes", text.len()), format!("at most {MAX_BYTES}")));
        }
        let session = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
            .map_err(|_| unreadable(excerpt(text), "an SDP offer to receive one video"))?;
        let sections = session.media_descriptions.len();
        if sections > MAX_SECTIONS {
            return Err(unreadable(format!("{sections} m-lines"), format!("at most {MAX_SECTIONS}")));
        }
        for section in &session.media_descriptions {
            let (formats, attributes) = (section.media_name.formats.len(), section.attributes.len());
            if formats > MAX_FORMATS || attributes > MAX_ATTRIBUTES {
                return Err(unreadable(
                    format!("an m-line of {formats} formats and {attributes} attributes"),
                    format!("at most {MAX_FORMATS} and {MAX_ATTRIBUTES}"),
                ));
            }
        }
        let (video, format) = choose(&session, profile)?;
        let section = &session.media_descriptions[video];
        let mid = value(section, "mid")
            .ok_or_else(|| unreadable("no a=mid", "one in the video section"))?
            .to_owned();
        let bundle = bundles(&session).find(|members| members.contains(&mid.as_str())).unwrap_or_default();
        let bundle = bundle.into_iter().map(str::to_owned).collect();
        let mut extensions = extensions(section);
        // Numbers that nobody reports on would be so many bytes for nothing; and without a stream for them copies cannot
        // have any of their own.
        if format.rtx_payload_type.is_none()
            || !names_feedback(section, &format.payload_type.to_string(), transport_cc::FEEDBACK)
        {
            extensions.retain(|&(extension, _)| extension != Extension::TransportCc);
        }
        let offer = Self { session, video, mid, bundle, format, extensions };
        for required in ["ice-ufrag", "ice-pwd"] {
            if offer.transport_attribute(required).is_none() {
                return Err(unreadable(format!("no a={required}"), "one for the video section"));
            }
        }
        if !offer.credentials().are_short_enough() {
            return Err(unreadable(
                "an a=ice-ufrag or a=ice-pwd that is longer",
                format!("at most {} characters", Credentials::MAX_LEN),
            ));
        }
        if let Some(long) = [offer.mid(), offer.transport_mid()].into_iter().find(|mid| mid.len() > MAX_MID) {
            return Err(unreadable(format!("a mid of {} bytes", long.len()), format!("at most {MAX_MID}")));
        }
        if offer.states("ice-lite") {
            return Err(unreadable(
                "a=ice-lite",
                "a viewer that checks its paths itself: this side is controlled",
            ));
        }
        // RTCP on a port of its own is not to be had: there is one port for everything (RFC 8834 section 4.5 allows it).
        if !offer.transport_lines().any(|found| found.key == "rtcp-mux") {
            return Err(unreadable("no a=rtcp-mux", "one for the video section: RTP and RTCP share a port"));
        }
        if !offer.transport_attributes("fingerprint").any(|found| sha_256(found).is_some()) {
            return Err(unreadable("no a=fingerprint:sha-256", "one for the video section"));
        }
        Ok(offer)
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn extensions(&self) -> &[(Extension, u8)] {
        &self.extensions
    }

    pub(crate) fn sections(&self) -> &[MediaDescription] {
        &self.session.media_descriptions
    }

    pub(crate) fn video(&self) -> usize {
        self.video
    }

    pub(crate) fn mid(&self) -> &str {
        &self.mid
    }

    pub(crate) fn is_bundled(&self) -> bool {
        !self.bundle.is_empty()
    }

    pub(crate) fn bundle_tag(&self) -> Option<&str> {
        self.bundle.first().map(String::as_str)
    }

    /// The section whose transport is used: the one that tags the bundle, or ours.
    pub(crate) fn transport_mid(&self) -> &str {
        self.bundle_tag().unwrap_or(&self.mid)
    }

    /// The viewer insists on being the DTLS server (RFC 8842); all others let us choose.
    pub(crate) fn waits_for_dtls(&self) -> bool {
        self.transport_attribute("setup") == Some("passive")
    }

    /// The viewer's half of ICE.
    pub(crate) fn credentials(&self) -> Credentials {
        let value = |key| self.transport_attribute(key).unwrap_or_default().to_owned();
        Credentials { ufrag: value("ice-ufrag"), password: value("ice-pwd") }
    }

    /// SHA-256 of the viewer's certificate, as written in the offer.
    pub(crate) fn fingerprint(&self) -> &str {
        self.transport_attributes("fingerprint").find_map(sha_256).unwrap_or_default()
    }

    /// The kinds of RTCP feedback that we heed, of those the offer names for our format.
    pub(crate) fn feedback(&self) -> impl Iterator<Item = &'static str> {
        let payload_type = self.format.payload_type.to_string();
        let section = &self.session.media_descriptions[self.video];
        let numbered = self.extensions.iter().any(|&(extension, _)| extension == Extension::TransportCc);
        let heeded =
            ["nack", "nack pli", "ccm fir"].into_iter().chain(numbered.then_some(transport_cc::FEEDBACK));
        heeded.filter(move |feedback| names_feedback(section, &payload_type, feedback))
    }

    /// For the whole session, or for our section.
    pub(crate) fn states(&self, property: &str) -> bool {
        let section = &self.session.media_descriptions[self.video];
        section.has_attribute(property) || self.session.attributes.iter().any(|found| found.key == property)
    }

    fn transport_attribute(&self, key: &str) -> Option<&str> {
        self.transport_attributes(key).next()
    }

    fn transport_attributes(&self, key: &str) -> impl Iterator<Item = &str> {
        self.transport_lines()
            .filter(move |found| found.key == key)
            .filter_map(|found| found.value.as_deref())
    }

    /// What describes the transport stands in the section, or for the whole session, or (RFC 9143: a bundle-only
    /// section may leave it out) in the section the bundle is tagged by.
    fn transport_lines(&self) -> impl Iterator<Item = &Attribute> {
        let sections = &self.session.media_descriptions;
        let tagged = self
            .bundle_tag()
            .and_then(|tag| sections.iter().find(|section| value(section, "mid") == Some(tag)));
        let places = [
            Some(&sections[self.video].attributes),
            Some(&self.session.attributes),
            tagged.map(|section| &section.attributes),
        ];
        places.into_iter().flatten().flatten()
    }
}

/// The value of `a=fingerprint` when it is of the one kind that every WebRTC client has (RFC 8122, RFC 8827).
fn sha_256(fingerprint: &str) -> Option<&str> {
    let (kind, value) = fingerprint.split_once(' ')?;
    kind.eq_ignore_ascii_case("sha-256").then(|| value.trim())
}

/// The mids of each `a=group:BUNDLE` (RFC 9143).
fn bundles(session: &SessionDescription) -> impl Iterator<Item = Vec<&str>> {
    let groups = session.attributes.iter().filter(|attribute| attribute.key == "group");
    groups.filter_map(|group| {
        let mut words = group.value.as_deref()?.split(' ');
        (words.next() == Some("BUNDLE")).then(|| words.collect())
    })
}

/// The first video section that receives and has a fitting format; in it the format that fits best.
fn choose(session: &SessionDescription, profile: ProfileLevelId) -> Result<(usize, Format), OfferError> {
    let mut refusals = Vec::new();
    for (index, section) in session.media_descriptions.iter().enumerate() {
        if section.media_name.media != "video" {
            continue;
        }
        let bundle_only = section.has_attribute("bundle-only");
        if section.media_name.port.value == 0 && !bundle_only {
            refusals.push("a video section with port 0".to_owned());
        } else if section.has_attribute("sendonly") || section.has_attribute("inactive") {
            refusals.push("a video section that receives nothing".to_owned());
        } else if let Some(format) = best_format(section, profile) {
            return Ok((index, format));
        } else {
            let offered = rtpmaps(section)
                .map(|(_, name)| excerpt(name))
                .take(MAX_NAMED_CODECS)
                .collect::<Vec<_>>()
                .join(" ");
            refusals.push(format!(
                "a video section with {}",
                if offered.is_empty() { "no codec" } else { &offered }
            ));
        }
    }
    let found = if refusals.is_empty() {
        "no video section".to_owned()
    } else {
        refusals[..refusals.len().min(2)].join(", ")
    };
    let expected = format!(
        "a recvonly or sendrecv video section with H264/90000, packetization-mode=1, a profile that decodes {profile}"
    );
    Err(OfferError::NoH264 { found, expected })
}

fn best_format(section: &MediaDescription, stream: ProfileLevelId) -> Option<Format> {
    let h264 = |name: &str| name.to_ascii_uppercase().starts_with("H264/90000");
    let fits = rtpmaps(section).filter(|(_, name)| h264(name)).filter_map(|(payload_type, _)| {
        let fmtp = fmtp_of(section, payload_type).unwrap_or("");
        // Unstated means mode 0 by RFC 6184; clients that state nothing at all (GStreamer's whepsrc) take mode 1.
        // Whoever states 0 means it.
        if parameter(fmtp, "packetization-mode").is_some_and(|mode| mode != "1") {
            return None;
        }
        let stated = parameter(fmtp, "profile-level-id");
        let profile = stated.map_or(Some(ProfileLevelId::UNSTATED), ProfileLevelId::parse)?;
        Some((stream.fit(profile)?, payload_type, profile))
    });
    let (_, payload_type, profile) = fits.min_by_key(|&(fit, ..)| fit)?;
    let rtx = rtpmaps(section).filter(|(_, name)| name.to_ascii_lowercase().starts_with("rtx/90000"));
    let rtx_payload_type = rtx.map(|(rtx, _)| rtx).find(|&rtx| {
        let apt = fmtp_of(section, rtx).and_then(|fmtp| parameter(fmtp, "apt"));
        apt.is_some_and(|apt| apt.parse() == Ok(payload_type))
    });
    Some(Format { payload_type, rtx_payload_type, profile })
}

/// Payload types that the m-line lists, with their encoding names, in the order of the m-line.
fn rtpmaps(section: &MediaDescription) -> impl Iterator<Item = (u8, &str)> {
    section.media_name.formats.iter().filter_map(|format| {
        let payload_type: u8 = format.parse().ok().filter(|&payload_type| payload_type < 128)?;
        Some((payload_type, of_format(section, "rtpmap", payload_type)?))
    })
}

fn names_feedback(section: &MediaDescription, payload_type: &str, feedback: &str) -> bool {
    section.attributes.iter().any(|offered| {
        let value = offered.value.as_deref().filter(|_| offered.key == "rtcp-fb").unwrap_or("");
        [payload_type, "*"].iter().any(|pt| value == format!("{pt} {feedback}"))
    })
}

fn fmtp_of(section: &MediaDescription, payload_type: u8) -> Option<&str> {
    of_format(section, "fmtp", payload_type)
}

fn of_format<'a>(section: &'a MediaDescription, key: &str, payload_type: u8) -> Option<&'a str> {
    section.attributes.iter().filter(|attribute| attribute.key == key).find_map(|attribute| {
        let (format, rest) = attribute.value.as_deref()?.split_once(' ')?;
        (format.parse() == Ok(payload_type)).then(|| rest.trim())
    })
}

fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The extensions we write under the ids of the offer; ids past 14 would need two-byte headers (RFC 8285).
fn extensions(section: &MediaDescription) -> Vec<(Extension, u8)> {
    let offered = |extension: Extension| {
        section.attributes.iter().filter(|attribute| attribute.key == "extmap").find_map(|attribute| {
            let (id, rest) = attribute.value.as_deref()?.split_once(' ')?;
            let (id, direction) = id.split_once('/').unwrap_or((id, "recvonly"));
            let ours = rest.split(' ').next() == Some(extension.uri())
                && matches!(direction, "recvonly" | "sendrecv");
            id.parse().ok().filter(|id| ours && (1..=14).contains(id))
        })
    };
    Extension::ALL.into_iter().filter_map(|extension| Some((extension, offered(extension)?))).collect()
}

pub(super) fn value<'a>(section: &'a MediaDescription, key: &str) -> Option<&'a str> {
    section.attribute(key).flatten()
}

pub(super) fn attribute(key: &str, value: &str) -> Attribute {
    Attribute::new(key.to_owned(), Some(value.to_owned()))
}

pub(super) fn property(key: &str) -> Attribute {
    Attribute::new(key.to_owned(), None)
}

fn unreadable(found: impl Into<String>, expected: impl Into<String>) -> OfferError {
    OfferError::Unreadable { found: found.into(), expected: expected.into() }
}

/// The beginning of what a stranger sent, safe to show and short.
fn excerpt(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", start.escape_debug())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "offer_tests.rs"]
mod tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "foreign_tests.rs"]
mod foreign_tests;
