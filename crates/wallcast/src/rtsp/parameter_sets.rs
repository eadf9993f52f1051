//! The sequence and picture parameter sets of a stream, as SDP tells them (RFC 6184 section 8.1).
//!
//! Nothing here reads what is inside of them but the three bytes that `profile-level-id` repeats.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

const SLICES: std::ops::RangeInclusive<u8> = 1..=5;
const SPS: u8 = 7;
const PPS: u8 = 8;

/// Every SPS and PPS of one key access unit, in the order they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParameterSets {
    sets: Vec<Bytes>,
    profile_level_id: [u8; 3],
}

impl ParameterSets {
    /// Finds them in an access unit in Annex B form; `None` unless there is at least one of each.
    pub(super) fn find(access_unit: &[u8]) -> Option<Self> {
        let kind = |nal: &[u8]| nal[0] & 0x1f;
        // Parameter sets come before the slices; a slice is long, and there is nothing in it to look for.
        let heads = nal_units(access_unit).take_while(|nal| !SLICES.contains(&kind(nal)));
        let sets: Vec<&[u8]> = heads.filter(|nal| matches!(kind(nal), SPS | PPS)).collect();
        let profile_level_id =
            sets.iter().filter(|nal| kind(nal) == SPS).find_map(|sps| sps.get(1..4)?.try_into().ok())?;
        sets.iter().find(|nal| kind(nal) == PPS)?;
        let sets = sets.into_iter().map(Bytes::copy_from_slice).collect();
        Some(Self { sets, profile_level_id })
    }

    /// `profile_idc`, the constraint flags and `level_idc`, in hexadecimal.
    pub(super) fn profile_level_id(&self) -> String {
        let [profile, constraints, level] = self.profile_level_id;
        format!("{profile:02X}{constraints:02X}{level:02X}")
    }

    /// The value of `sprop-parameter-sets`.
    pub(super) fn sprop(&self) -> String {
        let encoded: Vec<String> = self.sets.iter().map(|set| BASE64_STANDARD.encode(set)).collect();
        encoded.join(",")
    }
}

/// The NAL units of an Annex B byte stream (H.264 annex B.1), without start codes and trailing zeros.
pub(super) fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let nal = rest?;
        let (end, next) = match find_start_code(nal) {
            Some(at) => (at, Some(&nal[at + 3..])),
            None => (nal.len(), None),
        };
        rest = next;
        let end = nal[..end].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        Some(&nal[..end])
    })
    .filter(|nal| !nal.is_empty())
}

fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    find_start_code(stream).map(|at| &stream[at + 3..])
}

fn find_start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_found_before_and_after_other_nal_units() {
        let unit = b"\0\0\0\x01\x09\x10\0\0\0\x01\x67\x42\xc0\x28\xaa\0\0\x01\x68\xce\0\0\0\x01\x65\x88\x01";
        let sets = ParameterSets::find(unit).unwrap();
        assert_eq!(sets.profile_level_id(), "42C028");
        assert_eq!(sets.sprop(), "Z0LAKKo=,aM4=");
    }

    #[test]
    fn a_unit_without_both_kinds_has_none() {
        for unit in [
            &b"\0\0\x01\x67\x42\xc0\x28"[..],
            b"\0\0\x01\x68\xce",
            b"\0\0\x01\x41\x9a",
            b"",
            b"\0\0\x01\x67\x42\0\0\x01\x68\x01",
        ] {
            assert_eq!(ParameterSets::find(unit), None, "{unit:?}");
        }
    }
}
