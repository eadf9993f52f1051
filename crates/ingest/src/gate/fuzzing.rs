//! Fuzz targets of what the gate reads; see [`crate::fuzzing`].

use std::time::{Duration, Instant};

use super::login::{self, Login, Sent};
use super::message::{HeadScan, Message, Scanned};
use super::reorder::Reorder;
use super::rtp::{Continuity, Header, Verdict};
use super::sdp;
use super::wire::{Channels, Item, Wire};
use crate::source::Login as Credentials;

/// The head of an RTSP message: scanned in pieces or at once, the same; printed and read again, the same.
pub(crate) fn rtsp_head(data: &[u8]) {
    let whole = HeadScan::default().handle(data);
    let mut scan = HeadScan::default();
    let in_pieces = (1..data.len()).map(|length| scan.handle(&data[..length]));
    let early = in_pieces.into_iter().find(|scanned| !matches!(scanned, Ok(Scanned::NeedsMore)));
    if let Some(early) = early {
        assert_eq!(early, whole, "pieces make no difference");
    }
    let Ok(Scanned::Complete(length)) = whole else { return };
    let Some(message) = Message::parse_head(&data[..length]) else { return };
    let _ = (message.content_length(), message.cseq(), message.header("Session"));
    let mut printed = Vec::new();
    message.print(&mut printed);
    assert!(matches!(Message::parse_head(&printed), Some(again) if again.start == message.start));
}

/// Messages and interleaved packets of one connection. The first byte says how large the pieces are that it comes in.
pub(crate) fn rtsp_wire(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let (mut wire, mut now) = (Wire::new(), Instant::now());
    wire.set_channels((first & 1 == 1).then_some(Channels { rtp: 0, rtcp: 1 }));
    wire.set_awaiting((first & 2 == 2).then_some(3));
    for piece in bytes.chunks(usize::from(first >> 2) * 16 + 1) {
        now += Duration::from_millis(1);
        wire.buffer().extend_from_slice(piece);
        loop {
            match wire.poll(now) {
                Ok(Some(Item::Packet { .. })) => assert!(wire.packet().len() <= 65_535),
                Ok(Some(Item::Message(_))) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(wire.take_junk() <= bytes.len() as u64);
}

/// A session description; what comes out is safe to clean again.
pub(crate) fn session_description(data: &[u8]) {
    let cleaned = sdp::clean(data);
    let again = sdp::clean(cleaned.sdp.as_bytes());
    assert_eq!(again.video.map(|video| video.payload_type), cleaned.video.map(|video| video.payload_type));
}

/// The challenges of a 401, one a line, answered.
pub(crate) fn challenges(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    text.lines().for_each(|line| drop(login::parse(line)));
    let (user, password) = ("admin".to_owned(), "correct horse".to_owned());
    let mut login = Login::new(Some(Credentials { user, password: password.clone() }));
    if login.handle_challenges(text.lines(), Sent { with_login: false, answers: 0 }).is_ok() {
        let answer = login.authorize("DESCRIBE", "rtsp://camera/").unwrap_or_default();
        assert!(!answer.contains(&password) || text.contains(&password), "a password is hashed or encoded");
    }
}

/// Packets, each after how often it comes and its length: what goes on has one SSRC and numbers that grow. Some of
/// what cameras do wrong shows only when they have done it for hours.
pub(crate) fn rtp_continuity(mut data: &[u8]) {
    let mut continuity = Continuity::new(96, None);
    let mut last: Option<Header> = None;
    let mut handled = 0;
    while let Some((&often, rest)) = data.split_first()
        && handled < 200_000
    {
        let times = if often < 0xf0 { 1 } else { 1 << (often & 0x0f) };
        let Some(packet) = packets(rest).next() else { return };
        data = &rest[1 + packet.len()..];
        handled += times;
        for _ in 0..times {
            pass_on(&mut continuity, packet.clone(), &mut last);
        }
    }
}

fn pass_on(continuity: &mut Continuity, mut packet: Vec<u8>, last: &mut Option<Header>) {
    if continuity.handle(&mut packet) != Verdict::Pass {
        return;
    }
    let header = Header::parse(&packet);
    assert!(header.is_some(), "what goes on is RTP");
    if let (Some(header), Some(last)) = (&header, &*last) {
        assert_eq!(header.ssrc, last.ssrc);
        let ahead = header.sequence.wrapping_sub(last.sequence);
        assert!((1..0x8000).contains(&ahead), "{header:?} after {last:?}");
    }
    *last = header;
}

/// Packets, each after its length in one byte, some milliseconds apart: nothing is held for ever, nothing is made up.
pub(crate) fn rtp_reorder(data: &[u8]) {
    let (mut reorder, mut now) = (Reorder::default(), Instant::now());
    let (mut given, mut taken) = (0, 0);
    for packet in packets(data) {
        now += Duration::from_millis(u64::from(packet.len() as u8 & 0x0f));
        given += 1;
        reorder.handle(now, packet);
        taken += std::iter::from_fn(|| reorder.poll(now)).count();
        reorder.losses(now);
    }
    for _ in 0..=given {
        let Some(deadline) = reorder.next_deadline() else { break };
        taken += std::iter::from_fn(|| reorder.poll(deadline)).count();
    }
    assert!(taken <= given && reorder.next_deadline().is_none());
}

fn packets(mut data: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    std::iter::from_fn(move || {
        let (&length, rest) = data.split_first()?;
        let (packet, rest) = rest.split_at(rest.len().min(length.into()));
        data = rest;
        Some(packet.to_vec())
    })
}
