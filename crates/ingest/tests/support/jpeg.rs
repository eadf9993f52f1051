//! JPEG files cut into RTP payloads as by RFC 2435, with their quantisation tables in every picture (Q 255).

/// For baseline files with 4:2:0 or 4:2:2 sampling and the usual Huffman tables, which RFC 2435 does not transmit.
pub(crate) fn payloads(file: &[u8]) -> Vec<Vec<u8>> {
    const PAYLOAD: usize = 1_200;
    let parts = Parts::of(file);
    let tables = [&[0, 0][..], &(parts.tables.len() as u16).to_be_bytes(), &parts.tables].concat();
    let mut offset = 0;
    let mut payloads = Vec::new();
    for chunk in parts.scan.chunks(PAYLOAD) {
        let tables = if offset == 0 { &tables[..] } else { &[] };
        payloads
            .push([&header(offset as u32, parts.kind, parts.width, parts.height), tables, chunk].concat());
        offset += chunk.len();
    }
    payloads
}

/// RFC 2435 section 3.1.
pub(crate) fn header(offset: u32, kind: u8, width: u16, height: u16) -> Vec<u8> {
    let [_, a, b, c] = offset.to_be_bytes();
    vec![0, a, b, c, kind, 255, (width / 8) as u8, (height / 8) as u8]
}

struct Parts<'a> {
    width: u16,
    height: u16,
    kind: u8,
    tables: Vec<u8>,
    scan: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(file: &'a [u8]) -> Self {
        let mut parts = Self { width: 0, height: 0, kind: 0, tables: Vec::new(), scan: &[] };
        let mut at = 2;
        loop {
            let marker = file[at + 1];
            let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
            let body = &file[at + 4..at + 2 + length];
            match marker {
                0xdb => body.chunks(65).for_each(|table| parts.tables.extend(&table[1..])),
                0xc0 => {
                    parts.height = u16::from_be_bytes([body[1], body[2]]);
                    parts.width = u16::from_be_bytes([body[3], body[4]]);
                    parts.kind = u8::from(body[7] == 0x22);
                }
                0xda => {
                    if parts.tables.len() == 64 {
                        // One table for brightness and colour; RFC 2435 has two.
                        parts.tables.extend_from_within(..);
                    }
                    let end = file.windows(2).rposition(|pair| pair == [0xff, 0xd9]).expect("an end");
                    parts.scan = &file[at + 2 + length..end];
                    return parts;
                }
                _ => {}
            }
            at += 2 + length;
        }
    }
}

/// Takes a sequence of JPEG files apart.
pub(crate) fn files(sequence: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let starts: Vec<usize> =
        (0..sequence.len() - 2).filter(|&at| sequence[at..at + 3] == [0xff, 0xd8, 0xff]).collect();
    let ends = starts.iter().skip(1).copied().chain([sequence.len()]);
    starts.iter().zip(ends).map(|(&start, end)| vec![sequence[start..end].to_vec()]).collect()
}
