//! RTP packets (RFC 3550 section 5.1) as cameras send them, made into what a depacketiser can rely on: one source,
//! numbers without jumps, one payload type. Timestamps stay as they are; what they mean is not decided here.
//!
//! Nothing here reads a clock or a socket, and nothing reorders: that is [`super::reorder`].

mod budget;

pub(crate) use budget::AccessUnitBudget;

/// Numbers so far ahead of the newest are taken for losses (`MAX_DROPOUT`, RFC 3550 appendix A.1).
pub(super) const MAX_DROPOUT: u16 = 3_000;
/// Numbers so far behind the newest are taken for late or doubled packets (`MAX_MISORDER`, the same place).
pub(super) const MAX_MISORDER: u16 = 100;
/// Packets in sequence after which a new source or a new numbering is believed (`MIN_SEQUENTIAL`, the same place).
const PROBATION_PACKETS: u32 = 2;
/// Pictures after which a source is believed that has been seen to speak between the packets of ours.
const PROBATION_PICTURES: u32 = 3;
/// Interlopers that are remembered.
const STRAYS: usize = 4;
/// Geovision cameras (GV-EBD4701) send packets of this type with the number of the video packet before, as the test
/// `geovision_pt50_packet` of retina 0.4.21 has recorded.
const GEOVISION: u8 = 50;

/// The fixed header of a packet whose lengths have been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    /// Without padding.
    pub(crate) payload_len: usize,
}

impl Header {
    /// `None` if version, CSRC list, extension or padding do not fit the packet.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let (fixed, mut rest) = packet.split_first_chunk::<12>()?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if first >> 6 != 2 {
            return None;
        }
        rest = rest.get(4 * usize::from(first & 0x0f)..)?;
        if first & 0x10 != 0 {
            let (&[_, _, l0, l1], behind) = rest.split_first_chunk::<4>()?;
            rest = behind.get(4 * usize::from(u16::from_be_bytes([l0, l1]))..)?;
        }
        let mut payload_len = rest.len();
        if first & 0x20 != 0 {
            let padding = usize::from(*rest.last()?);
            payload_len = payload_len.checked_sub(padding).filter(|_| padding > 0)?;
        }
        Some(Self {
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload_len,
        })
    }

    /// RTCP sent to the place of RTP looks like this (RFC 5761 section 4).
    fn is_rtcp(&self) -> bool {
        (64..96).contains(&self.payload_type)
    }

    pub(super) fn is_geovision_junk(&self) -> bool {
        self.payload_type == GEOVISION
    }
}

/// What is done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Goes on, renumbered.
    Pass,
    Drop(Dropped),
}

/// Why a packet does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Its header does not fit its length.
    NotRtp,
    /// RTCP in the place of RTP.
    Rtcp,
    /// Not the kind of payload that was agreed on.
    PayloadType,
    /// Nothing in it; some cameras keep NAT bindings open with such packets.
    Empty,
    /// Of a source that is not (yet) believed to be the stream's.
    StraySsrc,
    /// Its number lies far from the others, and is not (yet) believed.
    StrayNumber,
    Duplicate,
    /// Its place has been passed on as a gap.
    Late,
}

/// One stream of one session: call [`Continuity::handle`] with every packet in the order of arrival.
///
/// Whatever the camera does, what is passed on has one SSRC (that of the first packet), one payload type, and sequence
/// numbers that only ever grow, by more than one where packets are missing. A new SSRC (a reboot inside the connection,
/// <https://github.com/scottlamb/moonfire-nvr/issues/209>) and numbers that begin anew are adopted after
/// two packets in sequence, with a gap of one, so that the half picture in front of it is thrown away behind us.
///
/// A source that speaks between packets of ours is a stale session of an old live555 server
/// (<https://github.com/scottlamb/retina/issues/17>); it is adopted only when ours has been silent for some of its
/// pictures.
#[derive(Debug)]
pub(crate) struct Continuity {
    payload_type: u8,
    negotiated_type_seen: bool,
    announced: Option<u32>,
    source: Option<Source>,
    /// The source before this one.
    previous: Option<u32>,
    candidate: Option<Candidate>,
    strays: [Option<u32>; STRAYS],
    lost: u64,
    adopted: u64,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// The camera's newest number, and what it was passed on as.
    newest: u16,
    passed_as: u16,
    /// What all packets are passed on as.
    shown_ssrc: u32,
    /// Numbers after the newest that were used for something that is not passed on, and so are no losses.
    used_up: u16,
    recent: Recent,
}

impl Continuity {
    /// `payload_type` is the agreed one; `announced` the SSRC of the `Transport` header, if it named one. Neither is
    /// relied on: another dynamic type is accepted until the agreed one is seen, and any SSRC may come.
    pub(crate) fn new(payload_type: u8, announced: Option<u32>) -> Self {
        Self {
            payload_type,
            negotiated_type_seen: false,
            announced,
            source: None,
            previous: None,
            candidate: None,
            strays: [None; STRAYS],
            lost: 0,
            adopted: 0,
        }
    }

    /// Judges the packet, and if it passes writes type, number and SSRC into it.
    pub(crate) fn handle(&mut self, packet: &mut [u8]) -> Verdict {
        let Some(header) = Header::parse(packet) else { return Verdict::Drop(Dropped::NotRtp) };
        if header.is_rtcp() {
            return Verdict::Drop(Dropped::Rtcp);
        }
        if let Some(useless) = self.useless(&header) {
            if !header.is_geovision_junk() {
                self.use_up(&header);
            }
            return Verdict::Drop(useless);
        }
        let number = match &self.source {
            None => Ok(self.begin(&header)),
            Some(source) if source.ssrc == header.ssrc => self.of_ours(&header),
            Some(_) => self.of_another(&header),
        };
        match number {
            Ok((number, ssrc)) => {
                packet[1] = packet[1] & 0x80 | self.payload_type & 0x7f;
                packet[2..4].copy_from_slice(&number.to_be_bytes());
                packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
                Verdict::Pass
            }
            Err(dropped) => Verdict::Drop(dropped),
        }
    }

    /// Whether RTCP about this SSRC is known not to be about ours. A camera may well have its reports under an SSRC
    /// that it uses for nothing else, so only what has been seen to interfere counts.
    pub(crate) fn is_stray(&self, ssrc: u32) -> bool {
        self.strays.contains(&Some(ssrc))
    }

    /// Packets missing so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// How often another source or numbering was adopted.
    pub(crate) fn adopted(&self) -> u64 {
        self.adopted
    }

    fn useless(&mut self, header: &Header) -> Option<Dropped> {
        let is_agreed = header.payload_type == self.payload_type;
        self.negotiated_type_seen |= is_agreed;
        let is_dynamic = header.payload_type >= 96;
        if !is_agreed && (self.negotiated_type_seen || !is_dynamic) {
            return Some(Dropped::PayloadType);
        }
        (header.payload_len == 0).then_some(Dropped::Empty)
    }

    fn use_up(&mut self, header: &Header) {
        let Some(source) = self.source.as_mut().filter(|source| source.ssrc == header.ssrc) else { return };
        if (1..=MAX_DROPOUT).contains(&header.sequence.wrapping_sub(source.newest)) {
            source.used_up = source.used_up.saturating_add(1);
        }
    }

    fn begin(&mut self, header: &Header) -> (u16, u32) {
        let mut source = Source {
            ssrc: header.ssrc,
            newest: header.sequence,
            passed_as: header.sequence,
            shown_ssrc: header.ssrc,
            used_up: 0,
            recent: Recent::default(),
        };
        source.recent.note(header);
        let shown = (source.passed_as, source.shown_ssrc);
        self.source = Some(source);
        shown
    }

    fn of_ours(&mut self, header: &Header) -> Result<(u16, u32), Dropped> {
        let Some(source) = &mut self.source else { return Err(Dropped::StraySsrc) };
        let ahead = header.sequence.wrapping_sub(source.newest);
        if !(1..=MAX_DROPOUT).contains(&ahead) {
            if ahead == 0 || ahead > u16::MAX - MAX_MISORDER {
                match source.recent.look(header) {
                    Seen::Before => return Err(Dropped::Duplicate),
                    Seen::Never => return Err(Dropped::Late),
                    Seen::Otherwise => {}
                }
            }
            let candidate = Candidate::follow(&mut self.candidate, header);
            return if candidate.packets >= PROBATION_PACKETS {
                Ok(self.adopt(header))
            } else {
                Err(Dropped::StrayNumber)
            };
        }
        let missing = (ahead - 1).saturating_sub(source.used_up);
        source.newest = header.sequence;
        source.passed_as = source.passed_as.wrapping_add(missing + 1);
        source.used_up = 0;
        source.recent.note(header);
        self.lost += u64::from(missing);
        let shown = (source.passed_as, source.shown_ssrc);
        if let Some(interrupted) = self.candidate.take().filter(|candidate| candidate.ssrc != header.ssrc) {
            self.remember_stray(interrupted.ssrc);
        }
        Ok(shown)
    }

    fn of_another(&mut self, header: &Header) -> Result<(u16, u32), Dropped> {
        let is_stray = self.is_stray(header.ssrc);
        let candidate = Candidate::follow(&mut self.candidate, header);
        let believed = match is_stray {
            true => candidate.pictures >= PROBATION_PICTURES,
            false => candidate.packets >= PROBATION_PACKETS,
        };
        if believed || self.announced == Some(header.ssrc) {
            Ok(self.adopt(header))
        } else {
            Err(Dropped::StraySsrc)
        }
    }

    /// Goes on with this source and numbering, behind a gap of one.
    fn adopt(&mut self, header: &Header) -> (u16, u32) {
        let before = self.source.take();
        let mut shown = self.begin(header);
        if let (Some(before), Some(source)) = (before, &mut self.source) {
            source.passed_as = before.passed_as.wrapping_add(2);
            source.shown_ssrc = before.shown_ssrc;
            shown = (source.passed_as, source.shown_ssrc);
            if before.ssrc != header.ssrc {
                // Ours is back, so what was taken for its successor is not.
                if self.previous == Some(header.ssrc) || self.announced == Some(header.ssrc) {
                    self.remember_stray(before.ssrc);
                }
                self.previous = Some(before.ssrc);
            }
        }
        self.strays.iter_mut().for_each(|stray| *stray = stray.filter(|ssrc| *ssrc != header.ssrc));
        self.candidate = None;
        self.adopted += 1;
        self.lost += 1;
        shown
    }

    fn remember_stray(&mut self, ssrc: u32) {
        if !self.is_stray(ssrc) {
            self.strays.rotate_right(1);
            self.strays[0] = Some(ssrc);
        }
    }
}

/// Somebody who may be the new source: packets in sequence, without one of the present source between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    ssrc: u32,
    newest: u16,
    timestamp: u32,
    pub(super) packets: u32,
    pictures: u32,
}

impl Candidate {
    /// Counts the packet for the candidate, or begins with a new one.
    pub(super) fn follow(candidate: &mut Option<Self>, header: &Header) -> Self {
        let begun = Self {
            ssrc: header.ssrc,
            newest: header.sequence,
            timestamp: header.timestamp,
            packets: 1,
            pictures: u32::from(header.marker),
        };
        let next = match candidate.take() {
            Some(known) if known.continues_with(header) => Self {
                newest: header.sequence,
                timestamp: header.timestamp,
                packets: known.packets.saturating_add(1),
                pictures: known
                    .pictures
                    .saturating_add(u32::from(header.marker || known.timestamp != header.timestamp)),
                ..known
            },
            _ => begun,
        };
        *candidate = Some(next);
        next
    }

    fn continues_with(&self, header: &Header) -> bool {
        self.ssrc == header.ssrc && header.sequence == self.newest.wrapping_add(1)
    }

    pub(super) fn is_believed(&self) -> bool {
        self.packets >= PROBATION_PACKETS
    }
}

/// Timestamps of the newest numbers: tells a doubled packet from one whose number is used for the second time because
/// the numbering began anew a little way back.
#[derive(Debug)]
pub(super) struct Recent(Box<[Option<(u16, u32)>; 128]>);

impl Default for Recent {
    fn default() -> Self {
        Self(Box::new([None; 128]))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    Before,
    /// The number was another packet's.
    Otherwise,
}

impl Recent {
    pub(super) fn note(&mut self, header: &Header) {
        self.0[usize::from(header.sequence % 128)] = Some((header.sequence, header.timestamp));
    }

    pub(super) fn look(&self, header: &Header) -> Seen {
        match self.0[usize::from(header.sequence % 128)] {
            Some((sequence, _)) if sequence != header.sequence => Seen::Never,
            None => Seen::Never,
            Some((_, timestamp)) if timestamp == header.timestamp => Seen::Before,
            Some(_) => Seen::Otherwise,
        }
    }
}

#[cfg(test)]
mod tests;
