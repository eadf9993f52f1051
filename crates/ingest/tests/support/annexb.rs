//! Takes the fixtures apart: Annex B byte stream → access units → NAL units. The fixtures have one slice a picture,
//! so a slice ends its access unit.

/// NAL units without start codes, grouped into access units.
pub(crate) fn access_units(stream: &[u8], is_h265: bool) -> Vec<Vec<&[u8]>> {
    let mut units = vec![Vec::new()];
    for nal in nal_units(stream) {
        units.last_mut().expect("never empty").push(nal);
        if is_slice(nal, is_h265) {
            units.push(Vec::new());
        }
    }
    units.pop();
    units
}

/// One access unit as an Annex B byte stream.
pub(crate) fn join(unit: &[&[u8]]) -> Vec<u8> {
    unit.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect()
}

pub(crate) fn nal_type(nal: &[u8], is_h265: bool) -> u8 {
    if is_h265 { nal[0] >> 1 & 0x3f } else { nal[0] & 0x1f }
}

fn is_slice(nal: &[u8], is_h265: bool) -> bool {
    let nal_type = nal_type(nal, is_h265);
    if is_h265 { nal_type < 32 } else { (1..=5).contains(&nal_type) }
}

fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = (0..stream.len() - 3).filter(|&at| stream[at..at + 3] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let trim = |nal: &'_ [u8]| nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &stream[start + 3..][..trim(&stream[start + 3..end])])
        .collect()
}
