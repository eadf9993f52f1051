//! Which records (RFC 6347 section 4.1) of a viewer's datagrams the library gets to see, and how many of them.
//!
//! rtc-dtls 0.21 keeps whatever it cannot use yet, without a limit on its number: fragments of handshake messages, which it
//! puts together by one recursion each, records of the next epoch, and messages that come after the handshake. Whoever may
//! watch could so fill the memory, or overflow the stack, which ends the process. Handshakes need a few dozen records;
//! what comes past a viewer's budget is dropped without an answer, as if it had been lost.

use bytes::BytesMut;

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What may still come.
#[derive(Clone, Copy)]
struct Budget {
    /// Of handshake messages in the clear, and their bytes.
    fragments: usize,
    bytes: usize,
    /// Everything else: what is encrypted, alerts, ChangeCipherSpec.
    records: usize,
    /// Of encrypted handshake records. There may be a fragment in every twelve of them: nobody can look into them here.
    sealed: usize,
}

/// Browsers repeat a flight of about five records some ten times.
const DURING: Budget = Budget { fragments: 256, bytes: 64 * 1024, records: 64, sealed: 8 * 1024 };
/// The last flight is repeated until ours arrived, and at the end there is a goodbye.
const AFTERWARDS: Budget = Budget { fragments: 32, bytes: 16 * 1024, records: 1024, sealed: 8 * 1024 };

pub(super) struct Admission {
    left: Budget,
}

impl Admission {
    pub(super) fn new() -> Self {
        Self { left: DURING }
    }

    pub(super) fn handshake_is_through(&mut self) {
        self.left = AFTERWARDS;
    }

    /// The records of a datagram that are admitted.
    pub(super) fn admit(&mut self, datagram: &[u8]) -> BytesMut {
        let mut admitted = BytesMut::with_capacity(datagram.len());
        let mut rest = datagram;
        while rest.len() > RECORD_HEADER {
            let len = RECORD_HEADER + usize::from(u16::from_be_bytes([rest[11], rest[12]]));
            let Some((record, others)) = rest.split_at_checked(len) else { break };
            if self.admits(record) {
                admitted.extend_from_slice(record);
            }
            rest = others;
        }
        admitted
    }

    fn admits(&mut self, record: &[u8]) -> bool {
        let (header, body) = record.split_at(RECORD_HEADER);
        let (left, is_clear) = (&mut self.left, header[3..5] == [0, 0]);
        match header[0] {
            _ if body.is_empty() => false,
            HANDSHAKE if is_clear => {
                let Some(count) = fragments(body) else { return false };
                take(&mut left.fragments, count) && take(&mut left.bytes, body.len())
            }
            HANDSHAKE => take(&mut left.sealed, body.len()) && take(&mut left.records, 1),
            ALERT | CHANGE_CIPHER_SPEC => body.len() <= 256 && take(&mut left.records, 1),
            // There are no data channels, so there is no application data.
            _ => false,
        }
    }
}

fn take(left: &mut usize, count: usize) -> bool {
    left.checked_sub(count).map(|fewer| *left = fewer).is_some()
}

/// How many fragments the library finds in a record; None where one contradicts itself.
fn fragments(mut body: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !body.is_empty() {
        let header = body.get(..HANDSHAKE_HEADER)?;
        let number = |at: usize| u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]) as usize;
        let (total, offset, len) = (number(1), number(6), number(9));
        let is_sane =
            offset + len <= total && HANDSHAKE_HEADER + len <= body.len() && (len > 0 || total == 0);
        if !is_sane {
            return None;
        }
        count += 1;
        // The library steps by the length of the message, not of the fragment.
        body = body.get(HANDSHAKE_HEADER + total..).unwrap_or_default();
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0];
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        record
    }

    fn fragment(total: usize, offset: usize, len: usize, bytes: usize) -> Vec<u8> {
        let number = |value: usize| (value as u32).to_be_bytes()[1..].to_vec();
        [vec![11], number(total), vec![0, 0], number(offset), number(len), vec![7; bytes]].concat()
    }

    fn admitted(admission: &mut Admission, record: &[u8], times: usize) -> usize {
        (0..times).filter(|_| !admission.admit(record).is_empty()).count()
    }

    #[test]
    fn a_datagram_of_an_ordinary_handshake_passes_to_the_letter() {
        let whole = [fragment(5, 0, 5, 5), fragment(0, 0, 0, 0), fragment(90, 30, 10, 10)].concat();
        let datagram = [
            record(HANDSHAKE, 0, &whole),
            record(CHANGE_CIPHER_SPEC, 0, &[1]),
            record(HANDSHAKE, 1, &[9; 48]),
        ]
        .concat();
        assert_eq!(Admission::new().admit(&datagram)[..], datagram);
    }

    #[test]
    fn everything_that_is_kept_has_a_budget() {
        let mut admission = Admission::new();
        let tiny = record(HANDSHAKE, 0, &fragment(1000, 7, 1, 1));
        assert_eq!(admitted(&mut admission, &tiny, 1000), DURING.fragments);
        assert_eq!(admitted(&mut admission, &record(HANDSHAKE, 1, &[9; 60]), 1000), DURING.records);
        assert_eq!(admitted(&mut admission, &record(ALERT, 0, &[1, 0]), 1000), 0, "the same budget");
        admission.handshake_is_through();
        assert_eq!(admitted(&mut admission, &tiny, 1000), AFTERWARDS.fragments);
        assert_eq!(admitted(&mut admission, &record(HANDSHAKE, 1, &[9; 1024]), 1000), 8);
        assert!(admitted(&mut admission, &record(ALERT, 1, &[9; 26]), 10_000) > 900);
        let large = record(HANDSHAKE, 0, &fragment(16_000, 0, 1000, 1000));
        assert!(admitted(&mut Admission::new(), &large, 1000) <= DURING.bytes / 1012);
    }

    #[test]
    fn what_contradicts_itself_and_application_data_are_dropped_without_their_neighbours() {
        let good = record(ALERT, 1, &[9; 26]);
        for bad in [
            record(HANDSHAKE, 0, &fragment(10, 0, 0, 0)),
            record(HANDSHAKE, 0, &fragment(10, 8, 3, 3)),
            record(HANDSHAKE, 0, &fragment(10, 0, 10, 9)),
            record(HANDSHAKE, 0, &fragment(10, 0, 10, 9)[..11]),
            record(HANDSHAKE, 0, &[]),
            record(23, 1, &[9; 40]),
            record(99, 0, &[9; 40]),
        ] {
            let datagram = [bad, good.clone()].concat();
            assert_eq!(Admission::new().admit(&datagram)[..], good);
        }
        assert_eq!(Admission::new().admit(&[good.clone(), vec![22; 14]].concat())[..], good, "cut short");
    }
}
