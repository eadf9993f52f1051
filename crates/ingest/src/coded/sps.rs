//! Picture sizes from sequence parameter sets: ITU-T H.264 section 7.3.2.1.1, H.265 section 7.3.2.2.1. Reading stops
//! where the size is known. Scaling lists, long-term references and usability information, which cameras get wrong most
//! often (<https://github.com/scottlamb/moonfire-nvr/issues/333>), come after that in H.265 and are never looked at.

use super::PictureSize;
use super::bits::Bits;

/// Profiles whose parameter sets begin with the sampling and the scaling lists.
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// The size in an H.264 sequence parameter set, with its NAL header.
pub(super) fn h264(nal: &[u8]) -> Option<PictureSize> {
    let mut bits = Bits::new(nal.get(1..)?);
    let profile = bits.number(8)?;
    bits.skip(16)?; // constraints, level
    bits.at_most(31)?; // which set
    let mut sampling = Sampling::YUV420;
    if HIGH_PROFILES.contains(&profile) {
        sampling = Sampling::read(&mut bits)?;
        bits.at_most(6)?; // depths
        bits.at_most(6)?;
        bits.skip(1)?;
        if bits.flag()? {
            let lists = if sampling == Sampling::YUV444 { 12 } else { 8 };
            (0..lists).try_for_each(|list| scaling_list(&mut bits, if list < 6 { 16 } else { 64 }))?;
        }
    }
    bits.at_most(12)?; // length of frame numbers
    match bits.at_most(2)? {
        0 => drop(bits.at_most(12)?),
        1 => {
            bits.skip(1)?;
            bits.signed()?;
            bits.signed()?;
            let cycle = bits.at_most(255)?;
            (0..cycle).try_for_each(|_| bits.signed().map(drop))?;
        }
        _ => {}
    }
    bits.unsigned()?; // reference pictures
    bits.skip(1)?;
    let width = (u64::from(bits.unsigned()?) + 1) * 16;
    let map_height = u64::from(bits.unsigned()?) + 1;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let crop = Crop::read(&mut bits)?.in_units_of(sampling.width, sampling.height * fields);
    crop.of(width, map_height * 16 * fields)
}

/// The size in an H.265 sequence parameter set, with its NAL header.
pub(super) fn h265(nal: &[u8]) -> Option<PictureSize> {
    let header = u16::from_be_bytes([*nal.first()?, *nal.get(1)?]);
    if header >> 3 & 0x3f != 0 {
        return None; // a set of another layer has another syntax, and is for nobody here
    }
    let mut bits = Bits::new(&nal[2..]);
    bits.skip(4)?;
    let sub_layers = bits.number(3)?;
    bits.skip(1)?;
    bits.skip(88 + 8)?; // profile, tier, level
    let present: Vec<(bool, bool)> =
        (0..sub_layers).map(|_| Some((bits.flag()?, bits.flag()?))).collect::<Option<_>>()?;
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    bits.at_most(15)?; // which set
    let sampling = Sampling::read(&mut bits)?;
    let (width, height) = (bits.unsigned()?, bits.unsigned()?);
    Crop::read(&mut bits)?.in_units_of(sampling.width, sampling.height).of(width.into(), height.into())
}

/// How many luma samples one chroma sample stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sampling {
    width: u64,
    height: u64,
    separate_planes: bool,
}

impl Sampling {
    const YUV420: Self = Self { width: 2, height: 2, separate_planes: false };
    const YUV444: Self = Self { width: 1, height: 1, separate_planes: true };

    /// `chroma_format_idc`, and the flag behind it.
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        Some(match bits.at_most(3)? {
            0 => Self { width: 1, height: 1, separate_planes: false },
            1 => Self::YUV420,
            2 => Self { width: 2, height: 1, separate_planes: false },
            _ => {
                bits.skip(1)?;
                Self::YUV444
            }
        })
    }
}

/// Left, right, top, bottom.
struct Crop([u64; 4]);

impl Crop {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let mut crop = Self([0; 4]);
        if bits.flag()? {
            for side in &mut crop.0 {
                *side = bits.unsigned()?.into();
            }
        }
        Some(crop)
    }

    fn in_units_of(self, width: u64, height: u64) -> Self {
        let [left, right, top, bottom] = self.0;
        Self([left * width, right * width, top * height, bottom * height])
    }

    /// A crop that leaves nothing is not believed, as in libavcodec.
    fn of(self, width: u64, height: u64) -> Option<PictureSize> {
        let [left, right, top, bottom] = self.0;
        let narrow = |size: u64| u32::try_from(size).ok().filter(|&size| size > 0);
        let coded = (narrow(width)?, narrow(height)?);
        let shown = (width.saturating_sub(left + right), height.saturating_sub(top + bottom));
        let shown = narrow(shown.0).zip(narrow(shown.1)).unwrap_or(coded);
        Some(PictureSize { coded, shown })
    }
}

/// H.264 section 7.3.2.1.1.1: as many differences as the list has entries, or fewer once an entry would be 0.
fn scaling_list(bits: &mut Bits<'_>, entries: u32) -> Option<()> {
    if !bits.flag()? {
        return Some(());
    }
    let mut last: i64 = 8;
    for _ in 0..entries {
        last = (last + bits.signed()?).rem_euclid(256);
        if last == 0 {
            break;
        }
    }
    Some(())
}
