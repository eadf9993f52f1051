#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};
use tokio::time::timeout;

const LOCALHOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn camera(address: [u8; 4]) -> UdpSocket {
    UdpSocket::bind((IpAddr::from(address), 0)).await.unwrap()
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}

async fn next(pair: &mut UdpPair) -> (Channel, Vec<u8>) {
    timeout(Duration::from_secs(10), received(pair)).await.expect("in time")
}

async fn received(pair: &mut UdpPair) -> (Channel, Vec<u8>) {
    loop {
        pair.readable().await.unwrap();
        if let Some(received) = pair.try_recv().unwrap() {
            return received;
        }
    }
}

async fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut datagram = [0; 1_500];
    let received = timeout(Duration::from_secs(10), socket.recv(&mut datagram)).await;
    datagram[..received.expect("in time").unwrap()].to_vec()
}

#[tokio::test]
async fn the_ports_are_an_even_one_and_the_next() {
    let pairs: Vec<UdpPair> = (0..20).map(|_| UdpPair::bind(LOCALHOST).unwrap()).collect();
    for pair in &pairs {
        let (rtp, rtcp) = pair.ports();
        assert_eq!((rtp % 2, rtcp), (0, rtp + 1));
    }
    assert!(UdpPair::bind(SocketAddr::from(([192, 0, 2, 1], 554))).is_err());
}

#[tokio::test]
async fn only_the_cameras_packets_are_accepted() {
    let mut pair = UdpPair::bind(LOCALHOST).unwrap();
    let (rtp, rtcp) = pair.ports();
    let (ours, stranger) = (camera([127, 0, 0, 1]).await, camera([127, 0, 0, 2]).await);
    ours.send_to(b"too early", at_port(LOCALHOST, rtp)).await.unwrap();
    assert!(timeout(Duration::from_millis(50), received(&mut pair)).await.is_err());
    assert_eq!(pair.strangers(), 1);

    pair.set_peer(LOCALHOST, None, (port(&ours), 0));
    stranger.send_to(b"evil", at_port(LOCALHOST, rtp)).await.unwrap();
    ours.send_to(b"picture", at_port(LOCALHOST, rtp)).await.unwrap();
    assert_eq!(next(&mut pair).await, (Channel::Rtp, b"picture".to_vec()));
    stranger.send_to(b"evil", at_port(LOCALHOST, rtcp)).await.unwrap();
    ours.send_to(b"report", at_port(LOCALHOST, rtcp)).await.unwrap();
    assert_eq!(next(&mut pair).await, (Channel::Rtcp, b"report".to_vec()));
    assert_eq!(pair.strangers(), 3);
    assert_eq!(pair.try_recv().unwrap(), None);
}

#[tokio::test]
async fn the_largest_datagram_is_received_whole() {
    let mut pair = UdpPair::bind(LOCALHOST).unwrap();
    let ours = camera([127, 0, 0, 1]).await;
    pair.set_peer(LOCALHOST, None, (port(&ours), 0));
    let large = vec![0x80; 65_507];
    ours.send_to(&large, at_port(LOCALHOST, pair.ports().0)).await.unwrap();
    assert_eq!(next(&mut pair).await.1, large);
}

#[tokio::test]
async fn chaos_14_udp_port_change_loses_no_packet_and_reports_follow() {
    let mut pair = UdpPair::bind(LOCALHOST).unwrap();
    let (_, rtcp) = pair.ports();
    let (before, after) = (camera([127, 0, 0, 1]).await, camera([127, 0, 0, 1]).await);
    pair.set_peer(LOCALHOST, None, (0, port(&before)));
    let steps =
        [(&before, &before), (&after, &before), (&before, &before), (&after, &before), (&after, &after)];
    for (sender, told) in steps {
        sender.send_to(b"report", at_port(LOCALHOST, rtcp)).await.unwrap();
        next(&mut pair).await;
        pair.report(None).await;
        assert!(!heard(told).await.is_empty());
    }
}

#[tokio::test]
async fn unannounced_ports_are_learnt_from_the_first_packet() {
    let mut pair = UdpPair::bind(LOCALHOST).unwrap();
    let ours = camera([127, 0, 0, 1]).await;
    pair.set_peer(LOCALHOST, None, (0, 0));
    pair.punch().await;
    ours.send_to(b"report", at_port(LOCALHOST, pair.ports().1)).await.unwrap();
    next(&mut pair).await;
    pair.report(None).await;
    assert_eq!(heard(&ours).await[1], 201);
}

#[tokio::test]
async fn firewalls_are_opened_and_the_camera_is_told_how_its_packets_come() {
    let mut pair = UdpPair::bind(LOCALHOST).unwrap();
    let (rtp, rtcp) = (camera([127, 0, 0, 1]).await, camera([127, 0, 0, 1]).await);
    pair.set_peer(LOCALHOST, None, (port(&rtp), port(&rtcp)));
    pair.punch().await;
    let punch = heard(&rtp).await;
    assert_eq!((punch.len(), punch[0], &punch[8..]), (12, 0x80, &pair.ssrc.to_be_bytes()[..]));
    assert_eq!(heard(&rtcp).await[..8], [&[0x80, 201, 0, 1], &pair.ssrc.to_be_bytes()[..]].concat());

    let block = Block {
        ssrc: 0x1122_3344,
        fraction_lost: 12,
        total_lost: -3,
        highest: 0x0001_0002,
        jitter: 99,
        last_sender_report: 5,
        delay: 65_536,
    };
    pair.report(Some(block)).await;
    let bytes = heard(&rtcp).await;
    // RFC 3550 section 6.4.2: one block, seven more words.
    assert_eq!(bytes[..4], [0x81, 201, 0, 7]);
    assert_eq!(bytes[8..20], [0x11, 0x22, 0x33, 0x44, 12, 0xff, 0xff, 0xfd, 0, 1, 0, 2]);
    assert_eq!(bytes[20..32], [0, 0, 0, 99, 0, 0, 0, 5, 0, 1, 0, 0]);
    let packets = rtc_rtcp::packet::unmarshal(&mut &bytes[..]).unwrap();
    assert!(packets[1].as_any().is::<SourceDescription>() && packets.len() == 2);

    pair.goodbye().await;
    let packets = rtc_rtcp::packet::unmarshal(&mut &heard(&rtcp).await[..]).unwrap();
    assert!(packets[1].as_any().is::<rtc_rtcp::goodbye::Goodbye>());
}

/// This machine's own address on its first link, if it has IPv6 there: as far as a link-local address can be used
/// without a second machine.
fn link_local() -> Option<SocketAddrV6> {
    let known = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    known.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let address = Ipv6Addr::from(u128::from_str_radix(words.next()?, 16).ok()?);
        let link = u32::from_str_radix(words.next()?, 16).ok()?;
        address.is_unicast_link_local().then(|| SocketAddrV6::new(address, 0, 0, link))
    })
}

#[tokio::test]
async fn a_link_local_camera_is_sent_to_and_heard_on_its_own_link() {
    let mut pair = UdpPair::bind(LOCALHOST).unwrap();
    let on = |link| SocketAddr::from(SocketAddrV6::new("fe80::7".parse().unwrap(), 5_000, 0, link));
    pair.set_peer(on(3), None, (6_000, 6_001));
    let camera = pair.camera.as_ref().unwrap();
    assert_eq!((camera.rtp(), camera.rtcp()), (Some(at_port(on(3), 6_000)), Some(at_port(on(3), 6_001))));
    assert!(camera.sends_from(on(3)) && !camera.sends_from(on(4)), "another link has other machines");

    let Some(own) = link_local() else { return };
    let mut pair = UdpPair::bind(own.into()).unwrap();
    let camera = UdpSocket::bind(own).await.unwrap();
    pair.set_peer(own.into(), None, (port(&camera), 0));
    pair.punch().await;
    assert_eq!(heard(&camera).await.len(), 12);
    camera.send_to(b"picture", at_port(own.into(), pair.ports().0)).await.unwrap();
    assert_eq!(next(&mut pair).await, (Channel::Rtp, b"picture".to_vec()));
}
