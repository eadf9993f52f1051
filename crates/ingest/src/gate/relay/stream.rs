//! What becomes of one packet of the session that plays, whichever way it came.

use crate::gate::dialogue::Dialogue;
use crate::gate::impairment::Impairment;
use crate::gate::rtp::{AccessUnitBudget, Continuity, Dropped, Header, Verdict};
use crate::record::Record;

/// The packets of the session that plays.
pub(super) struct Stream {
    continuity: Continuity,
    budget: AccessUnitBudget,
    /// What of the continuity's figures is in the record.
    counted: (u64, u64),
}

/// Why a packet does not go on.
pub(super) enum Refused {
    Counted(Impairment),
    OverBudget,
}

impl Stream {
    pub(super) fn new(dialogue: &Dialogue) -> Self {
        let continuity = Continuity::new(dialogue.payload_type(), dialogue.ssrc());
        Self { continuity, budget: AccessUnitBudget::default(), counted: (0, 0) }
    }

    /// Puts a packet right. `Ok` if it goes on, and whether it is RTP, which cameras send on the wrong channel at times.
    pub(super) fn handle(&mut self, packet: &mut [u8], is_rtp: bool) -> Result<bool, Refused> {
        let is_rtcp = !is_rtp || matches!(packet.get(1), Some(192..=223));
        if is_rtcp {
            let ssrc = packet.get(4..8).and_then(|ssrc| ssrc.try_into().ok()).map(u32::from_be_bytes);
            return match ssrc {
                Some(ssrc) if self.continuity.is_stray(ssrc) => {
                    Err(Refused::Counted(Impairment::StrayPackets))
                }
                Some(_) => Ok(false),
                None => Err(Refused::Counted(Impairment::BadPackets)),
            };
        }
        match self.continuity.handle(packet) {
            Verdict::Pass => {}
            Verdict::Drop(Dropped::NotRtp | Dropped::Rtcp) => {
                return Err(Refused::Counted(Impairment::BadPackets));
            }
            Verdict::Drop(Dropped::Duplicate | Dropped::Late | Dropped::Empty) => {
                return Err(Refused::Counted(Impairment::DuplicatePackets));
            }
            Verdict::Drop(Dropped::PayloadType | Dropped::StraySsrc | Dropped::StrayNumber) => {
                return Err(Refused::Counted(Impairment::StrayPackets));
            }
        }
        let header = Header::parse(packet).ok_or(Refused::Counted(Impairment::BadPackets))?;
        self.budget.handle(&header).map_err(|_| Refused::OverBudget)?;
        Ok(true)
    }

    /// Brings the record up to date.
    pub(super) fn count(&mut self, record: &Record) {
        let counted = (self.continuity.lost(), self.continuity.adopted());
        record.count(Impairment::LostPackets, counted.0 - self.counted.0);
        record.count(Impairment::Restarts, counted.1 - self.counted.1);
        self.counted = counted;
    }
}
