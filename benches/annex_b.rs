//! Cuts an H.264 byte stream (Annex B, with access unit delimiters) into access units.

use bytes::Bytes;

/// One encoded frame.
pub(crate) struct AccessUnit {
    /// Annex B, without the delimiter's meaning changed.
    pub(crate) data: Bytes,
    /// Whether it holds an IDR slice.
    pub(crate) key: bool,
}

/// The access units of `stream`, each beginning with its delimiter (NAL unit type 9).
pub(crate) fn access_units(stream: &Bytes) -> Vec<AccessUnit> {
    let nal_units = nal_unit_offsets(stream);
    let delimiters: Vec<usize> =
        nal_units.iter().filter(|(_, nal_type)| *nal_type == 9).map(|(offset, _)| *offset).collect();
    let ends = delimiters.iter().skip(1).copied().chain([stream.len()]);
    delimiters
        .iter()
        .zip(ends)
        .map(|(&start, end)| AccessUnit {
            data: stream.slice(start..end),
            key: nal_units.iter().any(|&(offset, nal_type)| nal_type == 5 && (start..end).contains(&offset)),
        })
        .collect()
}

/// Where each NAL unit's start code begins, and its type.
fn nal_unit_offsets(stream: &[u8]) -> Vec<(usize, u8)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 3 < stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            let start = if at > 0 && stream[at - 1] == 0 { at - 1 } else { at };
            found.push((start, stream[at + 3] & 0x1f));
            at += 3;
        } else {
            at += 1;
        }
    }
    found
}
