//! What an encoder wrote, as an Annex B byte stream: ITU-T H.264, annex B and table 7-1.
//!
//! Encoders of drivers differ in what they put before an IDR and in what they declare; viewers are promised one thing:
//! SPS and PPS before every IDR, constrained baseline, the level that the answer to their offer names. What a parameter
//! set says beyond that is read by the tests alone, in `sps`.

use super::Level;

pub(super) const SLICE: u8 = 1;
pub(super) const IDR: u8 = 5;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
/// `profile_idc` of baseline.
const BASELINE: u8 = 66;
/// constraint_set0_flag and constraint_set1_flag: baseline, without what main does not have (section A.2.1.1).
const CONSTRAINED: u8 = 0xc0;

/// The NAL units of a byte stream: where each begins and ends, start codes and trailing zeros left out.
pub(super) fn nal_units(stream: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut at = next_start(stream, 0);
    std::iter::from_fn(move || {
        let begin = at?;
        at = next_start(stream, begin);
        let end = at.map_or(stream.len(), |next| next - 3);
        let last = stream[begin..end].iter().rposition(|&byte| byte != 0)?;
        Some(begin..begin + last + 1)
    })
}

/// What follows the next start code.
fn next_start(stream: &[u8], from: usize) -> Option<usize> {
    stream.get(from..)?.windows(3).position(|bytes| bytes == [0, 0, 1]).map(|at| from + at + 3)
}

/// `nal_unit_type` of a unit that is not empty.
pub(super) fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// What makes an access unit of one packet after another.
#[derive(Debug)]
pub(super) struct Repair {
    level: Level,
    /// SPS and PPS with their start codes, as they were last seen.
    parameter_sets: Vec<u8>,
}

/// A stream that viewers cannot be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamError {
    /// No viewer could begin with it.
    #[error("found an IDR without SPS and PPS, expected both before the first one at least")]
    NoParameterSets,
    /// It may use what players of constrained baseline do not know.
    #[error("found a stream of profile_idc {0}, expected 66, baseline")]
    Profile(u8),
}

impl Repair {
    /// For a stream that is to declare `level`.
    pub(super) fn new(level: Level) -> Repair {
        Repair { level, parameter_sets: Vec::new() }
    }

    /// A packet as an access unit, and whether it is an IDR. `None` if there is no picture in it: parameter sets alone,
    /// which are kept for the next IDR.
    pub(super) fn unit(&mut self, packet: &[u8]) -> Result<Option<(Vec<u8>, bool)>, StreamError> {
        let mut kinds = [false; 32];
        nal_units(packet).for_each(|nal| kinds[usize::from(kind(&packet[nal]))] = true);
        let has = |kind: u8| kinds[usize::from(kind)];
        let mut data = Vec::with_capacity(self.parameter_sets.len() + packet.len());
        if has(SPS) && has(PPS) {
            data.extend_from_slice(packet);
            self.declare(&mut data)?;
            self.keep_parameter_sets(&data);
        } else if has(IDR) {
            if self.parameter_sets.is_empty() {
                return Err(StreamError::NoParameterSets);
            }
            data.extend_from_slice(&self.parameter_sets);
            data.extend_from_slice(packet);
        } else {
            data.extend_from_slice(packet);
        }
        Ok((has(SLICE) || has(IDR)).then_some((data, has(IDR))))
    }

    /// Every SPS says constrained baseline and the level. Drivers leave flags out that are true of all they write: none has
    /// FMO, ASO or redundant slices. Some choose a level by their own lights, against which browsers hold the answer.
    fn declare(&self, data: &mut [u8]) -> Result<(), StreamError> {
        let units: Vec<_> = nal_units(data).collect();
        for nal in units {
            if let [header, profile, constraints, level, ..] = &mut data[nal]
                && *header & 0x1f == SPS
            {
                if *profile != BASELINE {
                    return Err(StreamError::Profile(*profile));
                }
                *constraints |= CONSTRAINED;
                *level = self.level.idc();
            }
        }
        Ok(())
    }

    fn keep_parameter_sets(&mut self, data: &[u8]) {
        self.parameter_sets.clear();
        for nal in nal_units(data).map(|nal| &data[nal]).filter(|nal| matches!(kind(nal), SPS | PPS)) {
            self.parameter_sets.extend_from_slice(&[0, 0, 0, 1]);
            self.parameter_sets.extend_from_slice(nal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Bitrate, CanvasSize, FrameRate};

    /// Start codes of four and of three bytes, in turn.
    fn stream(nals: &[&[u8]]) -> Vec<u8> {
        let codes: [&[u8]; 2] = [&[0, 0, 0, 1], &[0, 0, 1]];
        nals.iter().zip(codes.into_iter().cycle()).flat_map(|(nal, code)| [code, nal].concat()).collect()
    }

    fn repair() -> Repair {
        Repair::new(Level::of(CanvasSize::FULL_HD, FrameRate::DEFAULT, Bitrate::DEFAULT))
    }

    const MEAGRE_SPS: &[u8] = &[0x67, 66, 0, 51, 0xaa];
    const PROPER_SPS: &[u8] = &[0x67, 66, 0xc0, 40, 0xaa];
    const PICTURE_PPS: &[u8] = &[0x68, 0xce];

    #[test]
    fn nal_units_are_found_behind_start_codes_of_both_lengths() {
        let nals: [&[u8]; 3] = [MEAGRE_SPS, PICTURE_PPS, &[0x65, 0, 0, 3, 1, 9]];
        let stream = stream(&nals);
        let found: Vec<&[u8]> = nal_units(&stream).map(|nal| &stream[nal]).collect();
        assert_eq!(found, nals);
        assert_eq!(nal_units(&[]).count() + nal_units(&[0, 0]).count() + nal_units(&[0, 0, 1]).count(), 0);
    }

    #[test]
    fn an_sps_is_made_to_say_constrained_baseline_and_the_level() {
        let packet = stream(&[MEAGRE_SPS, PICTURE_PPS, &[0x65, 7]]);
        let (unit, key) = repair().unit(&packet).expect("a sound stream").expect("a picture");
        assert_eq!((unit, key), (stream(&[PROPER_SPS, PICTURE_PPS, &[0x65, 7]]), true));
    }

    #[test]
    fn an_idr_without_parameter_sets_gets_those_seen_before() {
        let mut repair = repair();
        let lonely = stream(&[&[0x65, 7]]);
        assert_eq!(repair.unit(&lonely), Err(StreamError::NoParameterSets));
        // As V4L2's encoders do: the headers are a packet of their own.
        assert_eq!(repair.unit(&stream(&[MEAGRE_SPS, PICTURE_PPS])), Ok(None));
        let (unit, key) = repair.unit(&lonely).expect("a sound stream").expect("a picture");
        let kinds: Vec<u8> = nal_units(&unit).map(|nal| kind(&unit[nal])).collect();
        assert_eq!((kinds, key), (vec![SPS, PPS, IDR], true));
        let (unit, key) = repair.unit(&stream(&[&[0x41, 9]])).expect("a sound stream").expect("a picture");
        assert_eq!((unit, key), (stream(&[&[0x41, 9]]), false), "what is no IDR stays as it is");
    }

    #[test]
    fn another_profile_is_refused() {
        let packet = stream(&[&[0x67, 100, 0, 40, 0xaa], PICTURE_PPS, &[0x65, 7]]);
        assert_eq!(repair().unit(&packet), Err(StreamError::Profile(100)));
    }
}
