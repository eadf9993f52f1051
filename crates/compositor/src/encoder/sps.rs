//! Reads a sequence parameter set as far as the tests ask: ITU-T H.264, sections 7.3.2.1.1 and E.1.1.

use super::annex_b;

/// What an SPS says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) profile_idc: u32,
    /// constraint_set0_flag is the first.
    pub(super) constraint_sets: [bool; 6],
    pub(super) level_idc: u32,
    pub(super) max_num_ref_frames: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// video_full_range_flag, colour_primaries, transfer_characteristics, matrix_coefficients.
    pub(super) colour: Option<(bool, u32, u32, u32)>,
    pub(super) max_num_reorder_frames: Option<u32>,
}

impl Sps {
    /// Of the first one in a byte stream.
    pub(super) fn first_of(stream: &[u8]) -> Sps {
        let mut nals = annex_b::nal_units(stream).map(|nal| &stream[nal]);
        Sps::parse(nals.find(|nal| annex_b::kind(nal) == annex_b::SPS).expect("has an SPS"))
    }

    /// Parses a baseline SPS, its NAL header included.
    fn parse(nal: &[u8]) -> Sps {
        assert_eq!(nal[0] & 0x1f, 7, "not an SPS");
        let mut rbsp = Vec::new();
        for (i, &byte) in nal.iter().enumerate().skip(1) {
            if !(byte == 3 && i > 2 && nal[i - 2..i] == [0, 0]) {
                rbsp.push(byte);
            }
        }
        let mut bits = Bits { bytes: &rbsp, at: 0 };
        let profile_idc = bits.u(8);
        let constraint_sets = [(); 6].map(|()| bits.flag());
        assert_eq!((profile_idc, bits.u(2)), (66, 0), "only baseline is read");
        let level_idc = bits.u(8);
        bits.ue(); // seq_parameter_set_id
        bits.ue(); // log2_max_frame_num_minus4
        assert_eq!(bits.ue(), 2, "pic_order_cnt_type: output order is decoding order");
        let max_num_ref_frames = bits.ue();
        bits.flag(); // gaps_in_frame_num_value_allowed_flag
        let (across, down) = (bits.ue() + 1, bits.ue() + 1);
        assert!(bits.flag(), "frame_mbs_only_flag");
        bits.flag(); // direct_8x8_inference_flag
        let crop = if bits.flag() { [(); 4].map(|()| bits.ue()) } else { [0; 4] };
        let (mut colour, mut max_num_reorder_frames) = (None, None);
        if bits.flag() {
            (colour, max_num_reorder_frames) = bits.vui();
        }
        Sps {
            profile_idc,
            constraint_sets,
            level_idc,
            max_num_ref_frames,
            width: across * 16 - 2 * (crop[0] + crop[1]),
            height: down * 16 - 2 * (crop[2] + crop[3]),
            colour,
            max_num_reorder_frames,
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> bool {
        let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
        self.at += 1;
        bit == 1
    }

    fn u(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0u32, |value, _| value.wrapping_shl(1) | u32::from(self.flag()))
    }

    fn ue(&mut self) -> u32 {
        let zeros = std::iter::repeat_with(|| self.flag()).take_while(|one| !one).count() as u32;
        (1 << zeros) - 1 + self.u(zeros)
    }

    #[allow(clippy::type_complexity, reason = "two fields of the one struct that reads it")]
    fn vui(&mut self) -> (Option<(bool, u32, u32, u32)>, Option<u32>) {
        assert!(!self.flag(), "aspect_ratio_info_present_flag");
        assert!(!self.flag(), "overscan_info_present_flag");
        let mut colour = None;
        if self.flag() {
            self.u(3); // video_format
            let full_range = self.flag();
            if self.flag() {
                colour = Some((full_range, self.u(8), self.u(8), self.u(8)));
            }
        }
        assert!(!self.flag(), "chroma_loc_info_present_flag");
        if self.flag() {
            self.u(32); // num_units_in_tick
            self.u(32); // time_scale
            self.flag(); // fixed_frame_rate_flag
        }
        assert_eq!(self.u(3), 0, "no HRD and no pic_struct");
        let mut reorder = None;
        if self.flag() {
            self.flag(); // motion_vectors_over_pic_boundaries_flag
            let _lengths = [(); 4].map(|()| self.ue()); // bytes, bits, motion vectors
            reorder = Some(self.ue());
        }
        (colour, reorder)
    }
}
