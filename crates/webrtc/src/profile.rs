//! H.264 profiles and levels as SDP writes them: `profile-level-id`, RFC 6184 section 8.1.

use std::fmt;

/// Six hex digits of SDP: `profile_idc`, the constraint flags and `level_idc` of the stream's SPS.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProfileLevelId {
    profile_idc: u8,
    constraints: u8,
    level_idc: u8,
}

/// The profiles WebRTC endpoints offer (RFC 6184 table 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    Other,
}

impl ProfileLevelId {
    /// What a decoder offers that names none: baseline, level 1 (RFC 6184 section 8.1).
    pub(crate) const UNSTATED: Self = Self { profile_idc: 0x42, constraints: 0, level_idc: 10 };

    /// Constrained baseline at `level_idc`, ten times the level's number: 40 is level 4.0.
    pub const fn constrained_baseline(level_idc: u8) -> Self {
        Self { profile_idc: 0x42, constraints: 0xe0, level_idc }
    }

    /// Reads exactly six hex digits, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let [_, profile_idc, constraints, level_idc] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        Some(Self { profile_idc, constraints, level_idc })
    }

    /// The same profile at another level. An answer keeps the offer's profile and states our level (RFC 6184
    /// section 8.2.2: the profile is symmetric, the level need not be).
    pub(crate) const fn at_level_of(self, stream: Self) -> Self {
        Self { level_idc: stream.level_idc, ..self }
    }

    /// How well a decoder that offers `decoder` suits this stream: 0 is the very profile, larger is a superset of it
    /// that is less exact, `None` is one that cannot decode it.
    pub(crate) fn fit(self, decoder: Self) -> Option<usize> {
        use Profile::{Baseline, ConstrainedBaseline, ConstrainedHigh, High, Main};
        let decodable_by: &[Profile] = match self.profile() {
            ConstrainedBaseline => &[ConstrainedBaseline, Baseline, Main, ConstrainedHigh, High],
            Baseline => &[Baseline],
            Main => &[Main, High],
            ConstrainedHigh => &[ConstrainedHigh, High],
            High => &[High],
            Profile::Other => &[],
        };
        decodable_by.iter().position(|&profile| profile == decoder.profile())
    }

    fn profile(self) -> Profile {
        // `constraint_set1_flag` is 0x40; table 5 of RFC 6184 gives the patterns.
        match (self.profile_idc, self.constraints) {
            (0x42, c) if c & 0x40 != 0 => Profile::ConstrainedBaseline,
            (0x4d, c) if c & 0x80 != 0 => Profile::ConstrainedBaseline,
            (0x58, c) if c & 0xc0 == 0xc0 => Profile::ConstrainedBaseline,
            (0x42, _) => Profile::Baseline,
            (0x4d, _) => Profile::Main,
            (0x64, c) if c & 0x0c == 0x0c => Profile::ConstrainedHigh,
            (0x64, _) => Profile::High,
            _ => Profile::Other,
        }
    }
}

impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.profile_idc, self.constraints, self.level_idc)
    }
}

impl fmt::Debug for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn id(text: &str) -> ProfileLevelId {
        ProfileLevelId::parse(text).unwrap()
    }

    #[test]
    fn constrained_baseline_at_level_4_is_written_42e028() {
        assert_eq!(ProfileLevelId::constrained_baseline(40).to_string(), "42e028");
    }

    #[test]
    fn what_is_not_six_hex_digits_is_no_profile() {
        for text in ["", "42e0", "42e01f00", "42e01g", "+2e01f", "42é01"] {
            assert_eq!(ProfileLevelId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_browser_profile_decodes_constrained_baseline_the_exact_one_best() {
        let wall = ProfileLevelId::constrained_baseline(40);
        let fits = ["42e01f", "42001f", "4d001f", "640c1f", "64001f"].map(|text| wall.fit(id(text)));
        assert_eq!(fits, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(wall.fit(id("f4001f")), None);
    }

    #[test]
    fn a_baseline_decoder_is_not_given_a_high_stream() {
        assert_eq!(id("640028").fit(id("42e01f")), None);
        assert_eq!(id("640028").fit(id("64001f")), Some(0));
    }

    #[test]
    fn an_answer_keeps_the_offered_profile_and_states_our_level() {
        assert_eq!(id("42001f").at_level_of(id("42e028")).to_string(), "420028");
        assert_eq!(id("640c1f").at_level_of(id("42e028")).to_string(), "640c28");
    }
}
