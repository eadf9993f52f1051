//! NAL units and access units of a byte stream (ITU-T H.264 and H.265, annex B; sections 7.4.1.2 and 7.4.2.4).
//!
//! Cameras behind RTSP deliver whole access units. [`Splitter`] is the seam for sources that deliver a byte stream cut anywhere
//! (programs that push, doorbells); until there is one, it serves tests, fuzzing and the benches.

use crate::queue::{Codec, MAX_BYTES};

pub(crate) const H264_SPS: u8 = 7;
pub(crate) const H265_SPS: u8 = 33;

/// The NAL units of a piece of byte stream, without start codes and padding.
pub(crate) fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(stream, 0).map(|at| &stream[at + 3..]);
    std::iter::from_fn(move || {
        loop {
            let from = rest?;
            let end = start_code(from, 0);
            rest = end.map(|end| &from[end + 3..]);
            let nal = &from[..end.unwrap_or(from.len())];
            let length = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if length > 0 {
                return Some(&nal[..length]);
            }
        }
    })
}

/// `nal_unit_type`.
pub(crate) fn kind(codec: Codec, nal: &[u8]) -> Option<u8> {
    let first = *nal.first()?;
    Some(if codec == Codec::H265 { first >> 1 & 0x3f } else { first & 0x1f })
}

/// Whether this is a slice of a picture that needs none before it.
pub(crate) fn is_key(codec: Codec, nal: &[u8]) -> bool {
    match (codec, kind(codec, nal)) {
        (Codec::H264, Some(kind)) => kind == 5,
        (Codec::H265, Some(kind)) => (16..=21).contains(&kind),
        (Codec::Jpeg, _) | (_, None) => false,
    }
}

/// Where the next start code begins, at or after `from`.
fn start_code(stream: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 2;
    while let Some(&byte) = stream.get(at) {
        match byte {
            // Most bytes are neither 0 nor 1, and rule out three places at once.
            2.. => at += 3,
            1 if stream[at - 2] == 0 && stream[at - 1] == 0 => return Some(at - 2),
            1 => at += 3,
            0 => at += 1,
        }
    }
    None
}

/// What a NAL unit means for the boundaries of access units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Begins an access unit when it comes after a slice: delimiter, parameter sets, SEI.
    Leads,
    /// First slice of a picture (or field).
    BeginsPicture,
    /// Belongs to the access unit before it.
    Follows,
}

/// `head` is a NAL unit's first three bytes (fewer at the end of a stream).
fn role(codec: Codec, head: &[u8]) -> Role {
    let begins = |first_of_slice: Option<&u8>| match first_of_slice {
        // H.264: first_mb_in_slice is 0; H.265: first_slice_segment_in_pic_flag. Both are one bit.
        Some(byte) if byte & 0x80 != 0 => Role::BeginsPicture,
        _ => Role::Follows,
    };
    match (codec, kind(codec, head)) {
        (Codec::H264, Some(1 | 2 | 5)) => begins(head.get(1)),
        // Prefix NAL units (14, of scalable streams) stand before every slice, and so tell nothing.
        (Codec::H264, Some(6..=9)) => Role::Leads,
        (Codec::H265, Some(0..=31)) if head[0] & 1 == 0 && head.get(1).is_some_and(|byte| byte >> 3 == 0) => {
            begins(head.get(2))
        }
        (Codec::H265, Some(32..=35 | 39 | 41..=44 | 48..=55)) => Role::Leads,
        _ => Role::Follows,
    }
}

/// Puts access units together from an H.264 or H.265 byte stream cut anywhere. Each is complete when the next one begins, so
/// the newest one waits for its successor (or for [`Splitter::flush`]). What is longer than 8 MiB is dropped and counted.
///
/// Call [`Splitter::handle`] with what came, then [`Splitter::poll`] until `None`.
#[derive(Debug)]
pub(crate) struct Splitter {
    codec: Codec,
    bytes: Vec<u8>,
    /// Of `bytes`, where the access unit being put together begins; what is before it has been handed out.
    start: usize,
    /// Of `bytes`, up to here all start codes are known.
    scanned: usize,
    /// A start code has been seen; what is before the first one belongs to nothing.
    synchronised: bool,
    /// The access unit has a slice.
    has_picture: bool,
    /// The access unit was too long; the next one is waited for.
    skipping: bool,
    dropped: u64,
}

impl Splitter {
    pub(crate) fn new(codec: Codec) -> Self {
        Self {
            codec,
            bytes: Vec::new(),
            start: 0,
            scanned: 0,
            synchronised: false,
            has_picture: false,
            skipping: false,
            dropped: 0,
        }
    }

    /// Takes a piece of the stream.
    pub(crate) fn handle(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The next access unit, with its start codes.
    pub(crate) fn poll(&mut self) -> Option<Vec<u8>> {
        while let Some(at) = start_code(&self.bytes, self.scanned) {
            // Until its first bytes are there, nobody knows whether this NAL unit begins an access unit.
            let Some(head) = self.bytes.get(at + 3..at + 6) else {
                self.scanned = at;
                self.forget();
                return None;
            };
            let role = role(self.codec, head);
            self.scanned = at + 3;
            if self.synchronised && !(self.has_picture && role != Role::Follows) {
                self.has_picture |= role == Role::BeginsPicture;
                continue;
            }
            // A zero before the start code belongs to it.
            let end = if at > self.start && self.bytes[at - 1] == 0 { at - 1 } else { at };
            let begin = std::mem::replace(&mut self.start, end);
            self.has_picture = role == Role::BeginsPicture;
            let belongs_to_nothing = !std::mem::replace(&mut self.synchronised, true);
            if std::mem::take(&mut self.skipping) || belongs_to_nothing {
                continue;
            }
            if end - begin <= MAX_BYTES {
                return Some(self.bytes[begin..end].to_vec());
            }
            self.dropped += 1;
        }
        // The last two bytes may be the beginning of a start code.
        self.scanned = self.scanned.max(self.bytes.len().saturating_sub(2));
        self.forget();
        None
    }

    /// The last access unit, when the source says that it is complete.
    pub(crate) fn flush(&mut self) -> Option<Vec<u8>> {
        let unit = self.bytes.split_off(self.start);
        let is_whole = self.has_picture && !self.skipping && unit.len() <= MAX_BYTES;
        *self = Self { dropped: self.dropped, ..Self::new(self.codec) };
        is_whole.then_some(unit)
    }

    /// How many access units were too long.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes waiting for the rest of their access unit.
    pub(crate) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Lets go of what was handed out, and of what cannot become an access unit any more.
    fn forget(&mut self) {
        if self.synchronised && !self.skipping && self.bytes.len() - self.start > MAX_BYTES {
            self.skipping = true;
            self.dropped += 1;
        }
        // A zero just before `scanned` may belong to the start code there.
        let is_useless = self.skipping || !self.synchronised;
        let keep_from = if is_useless { self.scanned.saturating_sub(1).max(self.start) } else { self.start };
        self.bytes.drain(..keep_from);
        self.scanned -= keep_from;
        self.start = 0;
    }
}
