//! Which SRTP profiles a viewer offers: the `use_srtp` extension (RFC 5764) of its ClientHello (RFC 6347 section 4.2).
//!
//! Looked at before the handshake begins, because the library takes the first profile of the *viewer's* list that is in
//! ours, and Chromium lists AES-CM before GCM. A ClientHello may come in fragments, in any order.

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const USE_SRTP: u16 = 14;
/// Browsers' are 200 to 1,800 bytes.
const MAX_LEN: usize = 8 * 1024;

/// Fragments until there are enough of them.
#[derive(Default)]
pub(super) struct ClientHello {
    body: Vec<u8>,
    /// Parts that came, as ranges.
    have: Vec<(usize, usize)>,
}

impl ClientHello {
    /// Takes what a datagram has of it; the offered profiles once it is whole.
    pub(super) fn add(&mut self, datagram: &[u8]) -> Option<Vec<u16>> {
        let mut records = datagram;
        while records.len() > RECORD_HEADER {
            let len = usize::from(u16::from_be_bytes([records[11], records[12]]));
            let Some(record) = records.get(RECORD_HEADER..RECORD_HEADER + len) else { break };
            // Epoch 0 is in the clear; whatever comes encrypted before a ClientHello is from another life.
            if records[0] == HANDSHAKE && records[3..5] == [0, 0] {
                self.add_fragments(record);
            }
            records = &records[RECORD_HEADER + len..];
        }
        self.is_whole().then(|| profiles(&self.body).unwrap_or_default())
    }

    fn add_fragments(&mut self, mut record: &[u8]) {
        while record.len() >= HANDSHAKE_HEADER {
            let number =
                |at: usize| u32::from_be_bytes([0, record[at], record[at + 1], record[at + 2]]) as usize;
            let (total, offset, len) = (number(1), number(6), number(9));
            let Some(part) = record.get(HANDSHAKE_HEADER..HANDSHAKE_HEADER + len) else { return };
            if record[0] == CLIENT_HELLO && total <= MAX_LEN && offset + len <= total {
                if self.body.len() != total {
                    self.body = vec![0; total];
                    self.have.clear();
                }
                self.body[offset..offset + len].copy_from_slice(part);
                if self.have.len() < 64 && !self.have.contains(&(offset, offset + len)) {
                    self.have.push((offset, offset + len));
                    self.have.sort_unstable();
                }
            }
            record = &record[HANDSHAKE_HEADER + len..];
        }
    }

    fn is_whole(&self) -> bool {
        let reach = self
            .have
            .iter()
            .fold(0, |reach, &(start, end)| if start <= reach { reach.max(end) } else { reach });
        !self.body.is_empty() && reach == self.body.len()
    }
}

/// Of the body of a ClientHello: version, random, session, cookie, suites, compression, extensions.
fn profiles(body: &[u8]) -> Option<Vec<u16>> {
    let rest = body.get(2 + 32..)?;
    let (_session, rest) = vector(rest, 1)?;
    let (_cookie, rest) = vector(rest, 1)?;
    let (_suites, rest) = vector(rest, 2)?;
    let (_compression, rest) = vector(rest, 1)?;
    let (mut extensions, _) = vector(rest, 2)?;
    while let [t0, t1, rest @ ..] = extensions {
        let (value, rest) = vector(rest, 2)?;
        if u16::from_be_bytes([*t0, *t1]) == USE_SRTP {
            let (list, _) = vector(value, 2)?;
            return Some(list.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect());
        }
        extensions = rest;
    }
    None
}

/// Something whose length stands before it in `width` bytes, and the rest.
fn vector(bytes: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let len = bytes.get(..width)?.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
    Some((bytes.get(width..width + len)?, &bytes[width + len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0, 0]);
        body.extend([0, 2, 0xc0, 0x2b, 1, 0]);
        let extensions = [vec![0, 23, 0, 0], vec![0, 14, 0, 7, 0, 4, 0, 1, 0, 7, 0]].concat();
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    fn datagram(body: &[u8], start: usize, end: usize) -> Vec<u8> {
        let number = |value: usize| (value as u32).to_be_bytes()[1..].to_vec();
        let mut message = vec![CLIENT_HELLO];
        message.extend([number(body.len()), vec![0, 0], number(start), number(end - start)].concat());
        message.extend(&body[start..end]);
        let mut record = vec![HANDSHAKE, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend((message.len() as u16).to_be_bytes());
        record.extend(message);
        record
    }

    #[test]
    fn the_offered_profiles_are_found() {
        let body = hello();
        assert_eq!(ClientHello::default().add(&datagram(&body, 0, body.len())), Some(vec![1, 7]));
    }

    #[test]
    fn fragments_may_come_in_any_order_and_twice() {
        let body = hello();
        let (mut hello, end) = (ClientHello::default(), body.len());
        assert_eq!(hello.add(&datagram(&body, 30, end)), None);
        assert_eq!(hello.add(&datagram(&body, 30, end)), None);
        assert_eq!(hello.add(&datagram(&body, 0, 10)), None);
        assert_eq!(hello.add(&datagram(&body, 5, 30)), Some(vec![1, 7]));
    }

    #[test]
    fn rubbish_is_no_hello_and_no_panic() {
        let (body, whole) = (hello(), datagram(&hello(), 0, hello().len()));
        for cut in 0..whole.len() {
            assert_eq!(ClientHello::default().add(&whole[..cut]), None, "{cut}");
        }
        for position in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[position] = value;
                let _ = ClientHello::default().add(&broken);
            }
        }
        let without = &body[..body.len() - 17];
        assert_eq!(ClientHello::default().add(&datagram(without, 0, without.len())), Some(vec![]));
    }
}
