//! Bits of a raw byte sequence payload (ITU-T H.264 section 7.3.1 and 9.1; the same in H.265), read from the NAL unit
//! with its emulation prevention bytes still in place. `None` at the end of the data.

pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Of `bytes`, the next one to be read.
    next: usize,
    /// Zero bytes just before `next`.
    zeros: u8,
    byte: u8,
    /// Of `byte`, not read yet.
    left: u8,
}

impl<'a> Bits<'a> {
    /// Begins behind the NAL unit's header.
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { bytes: payload, next: 0, zeros: 0, byte: 0, left: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.byte = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.byte >> self.left & 1 == 1)
    }

    /// An unsigned number of at most 32 bits.
    pub(super) fn number(&mut self, bits: u8) -> Option<u32> {
        (0..bits).try_fold(0u32, |number, _| Some(number << 1 | u32::from(self.flag()?)))
    }

    pub(super) fn skip(&mut self, bits: u32) -> Option<()> {
        (0..bits).try_for_each(|_| self.flag().map(drop))
    }

    /// ue(v): Exp-Golomb, below 2^32 - 1.
    pub(super) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.number(zeros)?;
        Some(((1u64 << zeros) - 1) as u32 + rest)
    }

    /// ue(v) that the specification bounds.
    pub(super) fn at_most(&mut self, limit: u32) -> Option<u32> {
        self.unsigned().filter(|&number| number <= limit)
    }

    /// se(v): the same, signs alternating.
    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = i64::from(self.unsigned()?);
        Some(if number % 2 == 0 { -number / 2 } else { number / 2 + 1 })
    }

    fn next_byte(&mut self) -> Option<u8> {
        let mut byte = *self.bytes.get(self.next)?;
        if self.zeros >= 2 && byte == 3 {
            self.next += 1;
            self.zeros = 0;
            byte = *self.bytes.get(self.next)?;
        }
        self.next += 1;
        self.zeros = if byte == 0 { (self.zeros + 1).min(2) } else { 0 };
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_numbers_are_read_in_order() {
        // 1 | 010 | 011 | 00100 | 00111 | 0001000 → 0 1 2 3 6 7
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0011, 0b1000_1000]);
        let numbers: Vec<u32> = (0..6).map_while(|_| bits.unsigned()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 6, 7]);
        assert_eq!(bits.unsigned(), None);
        let mut bits = Bits::new(&[0b0100_1100, 0b1000_0101, 0b1000_0000]);
        assert_eq!((0..4).map_while(|_| bits.signed()).collect::<Vec<_>>(), [1, -1, 2, -2]);
    }

    #[test]
    fn emulation_prevention_bytes_are_not_read() {
        let mut bits = Bits::new(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 3, 3]);
        let bytes: Vec<u32> = (0..12).map_while(|_| bits.number(8)).collect();
        assert_eq!(bytes, [0, 0, 1, 0, 0, 0, 0, 3, 3]);
    }

    #[test]
    fn the_largest_number_does_not_overflow_and_larger_ones_are_refused() {
        let largest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Bits::new(&largest).unsigned(), Some(u32::MAX - 1));
        assert_eq!(Bits::new(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]).unsigned(), None);
        assert_eq!(Bits::new(&largest).at_most(16), None);
    }
}
