#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{A, AAAA, CNAME};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn answer(id: u16, records: Vec<(&str, RData)>) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Response, OpCode::Query);
    for (owner, data) in records {
        let mut record = Record::from_rdata(name(owner), 10, data);
        record.mdns_cache_flush = true;
        message.add_answer(record);
    }
    message.to_vec().unwrap()
}

fn v4(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(10, 0, 0, last)))
}

fn found(bytes: &[u8]) -> Vec<IpAddr> {
    addresses(bytes, &name("cam.local."), 7).collect()
}

#[test]
fn a_query_asks_one_question_and_the_answer_is_understood() {
    let bytes = query(&name("cam.local."), 7, RecordType::A, true).unwrap();
    // RFC 6762 section 18.12: the top bit of the class.
    assert_eq!(bytes, b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x03cam\x05local\0\0\x01\x80\x01");
    let v6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let reply = answer(7, vec![("CAM.local.", v4(1)), ("cam.local.", RData::AAAA(AAAA(v6)))]);
    assert_eq!(found(&reply), [IpAddr::from([10, 0, 0, 1]), v6.into()]);
    // A simple responder that answers as if it had been multicast.
    assert_eq!(found(&answer(0, vec![("cam.local.", v4(1))])).len(), 1);
}

#[test]
fn what_does_not_answer_our_question_is_ignored() {
    assert!(found(&answer(8, vec![("cam.local.", v4(1))])).is_empty());
    assert!(found(&answer(7, vec![("other.local.", v4(1))])).is_empty());
    let alias = RData::CNAME(CNAME(name("other.local.")));
    assert!(found(&answer(7, vec![("cam.local.", alias)])).is_empty());
    let bytes = query(&name("cam.local."), 7, RecordType::A, true).unwrap();
    assert!(found(&bytes).is_empty());
}

#[test]
fn hostile_bytes_are_read_within_bounds() {
    let many: Vec<_> = (0..255).map(|last| ("cam.local.", v4(last))).collect();
    assert_eq!(found(&answer(7, many)).len(), 8);
    // A name that points at itself.
    assert!(
        found(b"\0\x07\x84\0\0\0\0\x01\0\0\0\0\xc0\x0c\0\x01\0\x01\0\0\0\x0a\0\x04\x0a\0\0\x01").is_empty()
    );
    let good = answer(7, vec![("cam.local.", v4(1))]);
    let mut state = 5_u64;
    for round in 0..100_000 {
        let mut bytes = good.clone();
        for _ in 0..round % 5 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state >> 8) as usize % bytes.len();
            bytes[at] = state as u8;
        }
        bytes.truncate(if round % 2 == 0 { bytes.len() } else { state as usize % (bytes.len() + 1) });
        assert!(found(&bytes).len() <= 8);
    }
}

#[test]
fn nobody_on_the_network_points_us_at_ourselves_or_at_nothing() {
    let check = |interface, address: &str, expected: Option<&str>| {
        let link = Link { interface, port: PORT };
        let reachable = link.reachable(address.parse().unwrap());
        assert_eq!(reachable.map(|address| address.to_string()).as_deref(), expected, "{address}");
    };
    let (ethernet, ethernet_v6) = (Interface::V4(Ipv4Addr::new(10, 0, 0, 2)), Interface::V6(3));
    check(ethernet, "10.0.0.7", Some("10.0.0.7:0"));
    check(ethernet, "2001:db8::7", Some("[2001:db8::7]:0"));
    check(ethernet, "fe80::7", None);
    check(ethernet_v6, "fe80::7", Some("[fe80::7%3]:0"));
    for address in ["127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.251", "ff02::fb", "255.255.255.255"] {
        check(ethernet, address, None);
    }
    check(Interface::V4(Ipv4Addr::LOCALHOST), "127.0.0.1", Some("127.0.0.1:0"));
}

/// Somebody who bears the name `cam.local` on the loopback interface, and what is asked of him.
async fn responder() -> (Link, tokio::task::JoinHandle<Vec<Query>>) {
    let socket = UdpSocket::bind((GROUP_V4, 0)).await.unwrap();
    socket.join_multicast_v4(GROUP_V4, Ipv4Addr::LOCALHOST).unwrap();
    let port = socket.local_addr().unwrap().port();
    let voice = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let serving = tokio::spawn(async move {
        let (mut datagram, mut asked) = ([0; 9_000], Vec::new());
        loop {
            let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
            let message = Message::from_vec(&datagram[..length]).unwrap();
            let question = message.queries[0].clone();
            asked.push(question.clone());
            voice.send_to(b"rubbish", from).unwrap();
            voice.send_to(&answer(message.metadata.id, vec![("other.local.", v4(9))]), from).unwrap();
            // The first query is lost on this one.
            if question.query_type == RecordType::A && asked.len() > 2 {
                let reply = answer(message.metadata.id, vec![("cam.local.", v4(1))]);
                // Not from the port that answers come from.
                let liar = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let lie = answer(message.metadata.id, vec![("cam.local.", v4(66))]);
                liar.send_to(&lie, from).unwrap();
                voice.send_to(&reply, from).unwrap();
                return asked;
            }
        }
    });
    (Link { interface: Interface::V4(Ipv4Addr::LOCALHOST), port }, serving)
}

#[tokio::test]
async fn a_name_is_asked_for_again_until_its_bearer_answers() {
    let (link, serving) = responder().await;
    let found = look_up_on(vec![link], "Cam.local").await;
    assert_eq!(found, ["10.0.0.1:0".parse().unwrap()]);
    let asked = serving.await.unwrap();
    let asked: Vec<_> = asked.iter().map(|query| (query.query_type, query.mdns_unicast_response)).collect();
    assert_eq!(asked, [(RecordType::A, true), (RecordType::AAAA, true), (RecordType::A, false)]);
}

#[tokio::test]
async fn a_name_that_nobody_bears_is_given_up_after_two_seconds() {
    let begin = Instant::now();
    let link = Link { interface: Interface::V4(Ipv4Addr::LOCALHOST), port: 9 };
    assert!(look_up_on(vec![link, link], "nobody.local").await.is_empty());
    assert!((LIMIT..LIMIT * 3).contains(&begin.elapsed()));
    assert!(look_up_on(vec![link], "no name at all\u{1}.local").await.is_empty());
    assert!(look_up_on(Vec::new(), "nobody.local").await.is_empty());
}
