//! Session descriptions (RFC 8866; for RTSP, RFC 2326 appendix C) without the traps that cameras put into them.
//!
//! What a camera wrote is written anew: only the lines that say something about a stream, in the order of the
//! specification, with attributes kept whether known or not. Removed are parameter sets that are empty, cut off, or not
//! all there (`sprop-parameter-sets=,`), which would stand in the way of those that come with the pictures
//! (<https://github.com/bluenviron/gortsplib/issues/88>). Of several sets only the first of each kind is left, because
//! `retina` refuses all if there are more; the caller gets all of them and puts them before key frames itself.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Cameras leave out the padding, or have bits behind the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The Annex B mark before a NAL unit (ITU-T H.264 annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Encodings that are decoded.
const DECODED: [&str; 3] = ["H264", "H265", "JPEG"];
/// RFC 3551 section 6: this one needs no name.
const JPEG: u8 = 26;

/// A session description that is safe to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cleaned {
    pub(crate) sdp: String,
    /// The first video stream that can be decoded.
    pub(crate) video: Option<Video>,
}

/// What is known of the stream that will be asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Video {
    pub(crate) payload_type: u8,
    /// Annex B, if it has more than one parameter set of a kind.
    pub(crate) parameter_sets: Option<Vec<u8>>,
}

/// Writes a session description anew, without the traps.
pub(crate) fn clean(body: &[u8]) -> Cleaned {
    let text = String::from_utf8_lossy(body);
    let mut session = Vec::new();
    let mut media: Vec<Media> = Vec::new();
    let mut is_skipped = false;
    for line in text.split(['\r', '\n']).map(str::trim) {
        let Some((kind, value)) = line.split_once('=') else { continue };
        match kind.trim() {
            "m" => {
                let parsed = Media::parse(value);
                is_skipped = parsed.is_none();
                media.extend(parsed);
            }
            "a" if !is_skipped => {
                let attributes = media.last_mut().map_or(&mut session, |media| &mut media.attributes);
                attributes.extend(attribute(value));
            }
            _ => {}
        }
    }
    // `retina` reads the server's name there, and for some ends a session at data that we drop.
    session.retain(|(name, _)| name != "tool");

    let mut sdp = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned();
    print(&session, &mut sdp);
    let mut video = None;
    for media in &mut media {
        let cleaned = media.clean();
        video = video.or(cleaned);
        sdp += &format!("m={} 0 {} {}\r\n", media.kind, media.protocol, media.formats.join(" "));
        print(&media.attributes, &mut sdp);
    }
    Cleaned { sdp, video }
}

type Attribute = (String, Option<String>);

/// A section that begins with `m=`.
struct Media {
    kind: String,
    protocol: String,
    formats: Vec<String>,
    attributes: Vec<Attribute>,
}

impl Media {
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace().map(str::to_owned);
        let (kind, _port, protocol) = (words.next()?, words.next()?, words.next()?);
        let formats: Vec<String> = words.collect();
        (!formats.is_empty()).then(|| Self { kind, protocol, formats, attributes: Vec::new() })
    }

    /// Repairs what belongs to the first format, the only one that is read.
    fn clean(&mut self) -> Option<Video> {
        self.kind.make_ascii_lowercase();
        let format = self.formats.first()?.clone();
        let of_format = |name: &str, wanted: &str, value: &Option<String>| {
            let rest = value.as_deref().and_then(|value| value.strip_prefix(format.as_str()));
            (name == wanted)
                .then_some(rest)
                .flatten()
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace()))
                .map(|rest| rest.trim().to_owned())
        };
        let find = |attributes: &[Attribute], wanted: &str| {
            attributes.iter().find_map(|(name, value)| of_format(name, wanted, value))
        };
        let fmtp = find(&self.attributes, "fmtp").unwrap_or_default();
        let rtpmap = find(&self.attributes, "rtpmap").map_or_else(|| guess(&format, &fmtp), Some);
        let encoding = rtpmap.as_deref().unwrap_or_default().split('/').next().unwrap_or_default().trim();
        let (fmtp, sets) = clean_parameters(&fmtp, encoding);
        let is_video = self.kind == "video";
        let is_decoded = is_video && DECODED.iter().any(|known| known.eq_ignore_ascii_case(encoding));
        let payload_type = format.parse().ok().filter(|number: &u8| *number < 128);
        // RFC 6184, RFC 7798, RFC 2435: always 90 kHz, whatever the camera says.
        let rtpmap = if is_decoded { Some(format!("{encoding}/90000")) } else { rtpmap.clone() };
        let video = is_decoded || is_video && payload_type == Some(JPEG);
        self.attributes.retain(|(name, _)| name != "rtpmap" && name != "fmtp");
        let written = [("fmtp", Some(fmtp).filter(|fmtp| !fmtp.is_empty())), ("rtpmap", rtpmap)];
        for (name, value) in written {
            if let Some(value) = value {
                self.attributes.insert(0, (name.to_owned(), Some(format!("{format} {value}"))));
            }
        }
        payload_type.filter(|_| video).map(|payload_type| Video { payload_type, parameter_sets: sets })
    }
}

/// `name`, or `name:value`.
fn attribute(text: &str) -> Option<Attribute> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim()).filter(|value| !value.is_empty())),
        None => (text.trim(), None),
    };
    // These mean nothing without a value, and are an error to some.
    let is_empty = value.is_none() && matches!(name, "control" | "rtpmap" | "fmtp" | "framerate");
    (!name.is_empty() && !is_empty).then(|| (name.to_ascii_lowercase(), value.map(str::to_owned)))
}

fn print(attributes: &[Attribute], sdp: &mut String) {
    for (name, value) in attributes {
        *sdp += "a=";
        *sdp += name;
        if let Some(value) = value {
            *sdp += ":";
            *sdp += value;
        }
        *sdp += "\r\n";
    }
}

/// What a dynamic payload type without `rtpmap` must be, by its parameters.
fn guess(format: &str, fmtp: &str) -> Option<String> {
    let is_dynamic = format.parse().is_ok_and(|number: u8| (96..128).contains(&number));
    let fmtp = fmtp.to_ascii_lowercase();
    let has = |name: &str| fmtp.contains(name);
    match is_dynamic {
        true if has("sprop-vps") || has("sprop-sps") => Some("H265/90000".into()),
        true if has("sprop-parameter-sets") || has("packetization-mode") || has("profile-level-id") => {
            Some("H264/90000".into())
        }
        _ => None,
    }
}

/// Parameter sets beyond the first of each kind that are believed in: so many, of so many bytes in all.
const MAX_SETS: usize = 16;
const MAX_SETS_BYTES: usize = 8 * 1024;

/// Format parameters with a value, with parameter sets that are whole or none.
fn clean_parameters(fmtp: &str, encoding: &str) -> (String, Option<Vec<u8>>) {
    let is_h265 = encoding.eq_ignore_ascii_case("h265");
    let names: &[&str] = match is_h265 {
        true => &["sprop-vps", "sprop-sps", "sprop-pps"],
        false => &["sprop-parameter-sets"],
    };
    let mut kept = Vec::new();
    let mut nals: Vec<Vec<u8>> = Vec::new();
    for parameter in fmtp.split(';') {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        let (name, value) = (name.trim(), value.trim());
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            nals.extend(value.trim_matches('"').split(',').flat_map(decode));
        } else if !name.is_empty() {
            kept.push(format!("{name}={value}"));
        }
    }
    // ITU-T H.264 table 7-1: SPS, PPS. ITU-T H.265 table 7-1: VPS, SPS, PPS.
    let wanted: &[u8] = if is_h265 { &[32, 33, 34] } else { &[7, 8] };
    let of_type = |wanted: u8| {
        nals.iter().filter(move |nal| {
            let head = nal.first().copied().unwrap_or_default();
            wanted == if is_h265 { head >> 1 & 0x3f } else { head & 0x1f }
        })
    };
    let firsts: Vec<String> =
        wanted.iter().filter_map(|kind| of_type(*kind).next()).map(|nal| STANDARD.encode(nal)).collect();
    if firsts.len() != wanted.len() {
        return (kept.join(";"), None);
    }
    match is_h265 {
        true => kept.extend(names.iter().zip(&firsts).map(|(name, set)| format!("{name}={set}"))),
        false => kept.push(format!("sprop-parameter-sets={}", firsts.join(","))),
    }
    let all: Vec<&Vec<u8>> = wanted.iter().flat_map(|kind| of_type(*kind)).collect();
    // They go before every key frame: more than any encoder has is left out.
    let is_sane = all.len() <= MAX_SETS && all.iter().map(|nal| nal.len()).sum::<usize>() <= MAX_SETS_BYTES;
    let annex_b = || all.iter().flat_map(|nal| START_CODE.into_iter().chain(nal.iter().copied())).collect();
    (kept.join(";"), (all.len() > wanted.len() && is_sane).then(annex_b))
}

/// The NAL units in one piece of base64; some cameras leave Annex B marks around them.
fn decode(text: &str) -> Vec<Vec<u8>> {
    let Ok(bytes) = LENIENT.decode(text.trim()) else { return Vec::new() };
    let mut nals = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, &START_CODE[1..]).unwrap_or(rest.len());
        let trailing_zeros = rest[..end].iter().rev().take_while(|byte| **byte == 0).count();
        nals.push(rest[..end - trailing_zeros].to_vec());
        rest = rest.get(end + 3..).unwrap_or_default();
    }
    // A parameter set of less than these has only its header.
    nals.retain(|nal| nal.len() > 2);
    nals
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &str = "Z2QAHqwsaoLA9puCgIKgAAADACAAAAMD0IA=";
    const PPS: &str = "aO4xshs=";

    /// The lines of the video section that remain of these.
    fn video(lines: &str) -> Vec<String> {
        let text = format!("v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n{lines}");
        let sdp = clean(text.as_bytes()).sdp;
        let section = sdp.split("m=video").nth(1).unwrap_or_default();
        section.lines().skip(1).map(str::to_owned).collect()
    }

    #[track_caller]
    fn check_fmtp(fmtp: &str, cleaned: &str) {
        let expected = match cleaned {
            "" => vec!["a=rtpmap:96 H264/90000".to_owned()],
            _ => vec!["a=rtpmap:96 H264/90000".to_owned(), format!("a=fmtp:96 {cleaned}")],
        };
        assert_eq!(video(&format!("a=fmtp:{fmtp}")), expected);
    }

    #[test]
    fn lines_that_are_missing_or_wrong_are_no_trap() {
        let expected = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\n\
                        a=rtpmap:96 H264/90000\r\na=control:track1\r\na=x-odd\r\n";
        for text in [
            "v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\na=x-odd\r\n",
            "v=1\nv=2\no=x\nb=AS\nt=now\na=control:* \nm=Video 49170/2 RTP/AVP 96 \nc=\na=control: track1\na=fmtp:96\n\
             a=x-odd\nnonsense\na=\na=control:\na=rtpmap: 96 H264\nk=\n",
            "a=tool:LIVE555 Streaming Media v2013.01.01\na=control:*\nm=video 0 RTP/AVP 96\na=RTPMAP:96 H264/8000/1\n\
             a=control:track1\na=x-odd",
        ] {
            let video = Some(Video { payload_type: 96, parameter_sets: None });
            assert_eq!(clean(text.as_bytes()), Cleaned { sdp: expected.into(), video }, "{text}");
        }
        assert_eq!(clean(b"\xff\xfe=\nnonsense").sdp.lines().count(), 4);
        let broken = clean(b"m=video\na=control:lost\nm=audio 0 RTP/AVP 0\na=\xff\xfe").sdp;
        assert!(!broken.contains("lost") && broken.contains("m=audio 0 RTP/AVP 0"), "{broken}");
    }

    #[test]
    fn parameter_sets_are_left_only_if_they_are_whole() {
        let good = format!("packetization-mode=1;sprop-parameter-sets={SPS},{PPS}");
        check_fmtp(&format!("96 {good}"), &good);
        check_fmtp(&format!("96 packetization-mode=1; sprop-parameter-sets=\"{SPS},{PPS}\"; ;"), &good);
        check_fmtp(&format!("96 packetization-mode=1;flag;sprop-parameter-sets={PPS},{SPS};"), &good);
        for broken in ["", ",", SPS, "Z2QA,,", "!!!!,aO4xshs=", "AAAA,AAAA"] {
            check_fmtp(
                &format!("96 packetization-mode=1;sprop-parameter-sets={broken}"),
                "packetization-mode=1",
            );
        }
        check_fmtp("96", "");
        check_fmtp("97 sprop-parameter-sets=x", "");
    }

    #[test]
    fn of_several_parameter_sets_the_first_is_left_and_all_are_told() {
        let text = format!(
            "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets={SPS},{PPS},aO48gA=="
        );
        let cleaned = clean(text.as_bytes());
        assert!(cleaned.sdp.contains(&format!("sprop-parameter-sets={SPS},{PPS}\r\n")), "{}", cleaned.sdp);
        let sets = cleaned.video.and_then(|video| video.parameter_sets).unwrap_or_default();
        assert_eq!(memchr::memmem::find_iter(&sets, &START_CODE).count(), 3);
        assert!(sets.ends_with(&[0, 0, 0, 1, 0x68, 0xee, 0x3c, 0x80]), "{sets:?}");
    }

    #[test]
    fn annex_b_marks_around_a_parameter_set_are_removed() {
        // From retina's tests: a camera that ends its parameter sets with such a mark.
        let fmtp = "96 sprop-parameter-sets=Z00AHpWoLQ9puAgICBAAAAAB,aO48gAAAAAE=";
        check_fmtp(fmtp, "sprop-parameter-sets=Z00AHpWoLQ9puAgICBA=,aO48gA==");
    }

    #[test]
    fn h265_parameter_sets_are_left_only_if_all_three_are_there() {
        let [vps, sps, pps] = [
            "QAEMAf//AWAAAAMAsAAAAwAAAwBarAwAAAMABAAAAwAyqA==",
            "QgEBAWAAAAMAsAAAAwAAAwBaoAWCAeFja5JFL83BQYFBAAADAAEAAAMADKE=",
            "RAHA8saNA7NA",
        ];
        let sdp = |fmtp: String| {
            clean(format!("m=video 0 RTP/AVP 97\na=rtpmap:97 H265/90000\na=fmtp:97 {fmtp}").as_bytes()).sdp
        };
        let all = sdp(format!("sprop-sps={sps}; sprop-pps={pps};sprop-vps={vps}"));
        assert!(
            all.contains(&format!("a=fmtp:97 sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}\r\n")),
            "{all}"
        );
        assert!(!sdp(format!("sprop-sps={sps};sprop-vps={vps}")).contains("fmtp"));
        assert!(!sdp(format!("sprop-sps={sps};sprop-vps={vps};sprop-pps={vps}")).contains("fmtp"));
    }

    #[test]
    fn a_dynamic_format_without_a_name_is_known_by_its_parameters() {
        let named = |fmtp: &str| clean(format!("m=video 0 RTP/AVP 96\na=fmtp:96 {fmtp}").as_bytes()).sdp;
        assert!(named("packetization-mode=1").contains("a=rtpmap:96 H264/90000"));
        assert!(named("sprop-vps=x").contains("a=rtpmap:96 H265/90000"));
        assert!(!named("x=y").contains("rtpmap"));
        let jpeg = clean(b"m=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 26");
        assert!(!jpeg.sdp.contains("rtpmap"));
        assert_eq!(jpeg.video.map(|video| video.payload_type), Some(26));
        assert_eq!(clean(b"m=video 0 RTP/AVP 32").video, None);
    }
}
