//! Writes sequence parameter sets that no camera should send (ITU-T H.264 section 7.3.2.1).

/// A baseline SPS for a picture of so many macroblocks.
pub(crate) fn h264(width_in_macroblocks: u32, height_in_macroblocks: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    // profile_idc 66, constraint flags, level_idc 6.2
    [66, 0xc0, 62].into_iter().for_each(|byte| bits.put(byte, 8));
    // seq_parameter_set_id, log2_max_frame_num_minus4, pic_order_cnt_type 2, max_num_ref_frames, no gaps
    [0, 0, 2, 1].into_iter().for_each(|value| bits.exp_golomb(value));
    bits.put(0, 1);
    bits.exp_golomb(width_in_macroblocks - 1);
    bits.exp_golomb(height_in_macroblocks - 1);
    // frame_mbs_only, direct_8x8_inference, no cropping, no VUI; then the stop bit
    bits.put(0b1_1_0_0_1, 5);
    [&[0x67], bits.bytes().as_slice()].concat()
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn exp_golomb(&mut self, value: u32) {
        let length = (value + 1).ilog2() + 1;
        self.put(0, length - 1);
        self.put(value + 1, length);
    }

    /// With emulation prevention.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for chunk in self.0.chunks(8) {
            let byte = (0..8).fold(0, |byte, i| byte << 1 | u8::from(chunk.get(i) == Some(&true)));
            if byte <= 3 && bytes.ends_with(&[0, 0]) {
                bytes.push(3);
            }
            bytes.push(byte);
        }
        bytes
    }
}
