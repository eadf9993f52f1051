//! The network that the other tests put between camera and gateway does what it says.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/relay.rs"]
mod relay;

use std::time::{Duration, Instant};

use relay::{Faults, Impairment, TcpRelay, UdpRelay};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

/// What becomes of the datagrams 0 to 9,999.
fn after(faults: Faults) -> Vec<u16> {
    let mut impairment = Impairment::new(faults.seed);
    let mut out: Vec<Vec<u8>> = (0..10_000_u16)
        .flat_map(|number| impairment.handle(&faults, number.to_be_bytes().to_vec()))
        .collect();
    out.extend(impairment.flush());
    out.into_iter().map(|datagram| u16::from_be_bytes([datagram[0], datagram[1]])).collect()
}

#[test]
fn without_faults_datagrams_pass_in_order() {
    assert!(after(Faults::default()).into_iter().eq(0..10_000));
}

#[test]
fn faults_are_as_frequent_as_asked_for_and_the_same_for_the_same_seed() {
    let faults = Faults { loss: 0.05, duplicate: 0.02, reorder: 5, seed: 7, ..Faults::default() };
    let out = after(faults);
    assert_eq!(out, after(faults));
    assert_ne!(out, after(Faults { seed: 8, ..faults }));

    let lossy = after(Faults { duplicate: 0.0, ..faults });
    assert!((9_400..9_600).contains(&lossy.len()), "{}", lossy.len());
    let doubled = after(Faults { loss: 0.0, ..faults });
    assert!((10_150..10_250).contains(&doubled.len()), "{}", doubled.len());
    let reordered = after(Faults { loss: 0.0, duplicate: 0.0, ..faults });
    let mut sorted = reordered.clone();
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..10_000) && sorted != reordered);
    for (place, number) in reordered.iter().enumerate() {
        let overtaken_by = reordered[..place].iter().filter(|other| *other > number).count();
        assert!(overtaken_by <= 5, "{number} by {overtaken_by}");
    }
}

#[tokio::test]
async fn tcp_is_late_but_not_slow_and_a_pulled_cable_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = TcpRelay::start(listener.local_addr().unwrap(), Duration::from_millis(200)).await;
    let mut gateway = TcpStream::connect(relay.address).await.unwrap();
    let (mut camera, _) = listener.accept().await.unwrap();

    let begin = Instant::now();
    let megabytes = vec![7; 4 << 20];
    let mut received = vec![0; megabytes.len()];
    let (sent, read) = tokio::join!(camera.write_all(&megabytes), gateway.read_exact(&mut received));
    sent.unwrap();
    read.unwrap();
    assert_eq!(received, megabytes);
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "{took:?}");

    relay.switch.pull_the_cable();
    camera.write_all(b"lost?").await.unwrap();
    let mut heard = [0; 5];
    assert!(timeout(Duration::from_millis(500), gateway.read(&mut heard)).await.is_err());
    relay.switch.plug_it_in_again();
    timeout(Duration::from_secs(10), gateway.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"lost?");
    drop(camera);
    assert_eq!(timeout(Duration::from_secs(10), gateway.read(&mut heard)).await.unwrap().unwrap(), 0);
}

/// Waits for a datagram; what it says, and the port it came from.
async fn next(socket: &UdpSocket) -> (String, u16) {
    let mut datagram = [0; 100];
    let (length, from) =
        timeout(Duration::from_secs(10), socket.recv_from(&mut datagram)).await.unwrap().unwrap();
    (String::from_utf8_lossy(&datagram[..length]).into_owned(), from.port())
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}

/// The number behind this word.
fn number(text: &str, word: &str) -> u16 {
    let rest = text.split_once(word).unwrap().1;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap()
}

#[tokio::test]
async fn rtsp_sessions_by_udp_go_through_the_relay_in_both_directions() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let delay = Duration::from_millis(50);
    let relay = UdpRelay::start(listener.local_addr().unwrap(), Faults { delay, ..Faults::default() }).await;
    let mut gateway = TcpStream::connect(relay.address).await.unwrap();
    let (mut camera, _) = listener.accept().await.unwrap();
    let (ours, theirs) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());

    let setup = format!("SETUP x RTSP/1.0\r\nTransport: RTP/AVP;client_port={0}-{0}\r\n\r\n", port(&ours));
    gateway.write_all(setup.as_bytes()).await.unwrap();
    let mut request = vec![0; 1_000];
    let mut length = 0;
    while !request[..length].ends_with(b"\r\n\r\n") {
        length += camera.read(&mut request[length..]).await.unwrap();
    }
    let inner = number(&String::from_utf8_lossy(&request[..length]), "client_port=");
    assert_ne!(inner, port(&ours));
    let answer = format!(
        "RTSP/1.0 200 OK\r\nTransport: RTP/AVP;client_port={inner}-{};server_port={}-9;x=y\r\n\r\n",
        inner + 1,
        port(&theirs)
    );
    camera.write_all(answer.as_bytes()).await.unwrap();
    let mut reply = vec![0; 1_000];
    length = 0;
    while !reply[..length].ends_with(b"\r\n\r\n") {
        length += gateway.read(&mut reply[length..]).await.unwrap();
    }
    let reply = String::from_utf8_lossy(&reply[..length]).into_owned();
    assert!(reply.ends_with(";x=y\r\n\r\n"), "{reply}");
    let outer = number(&reply, "server_port=");
    assert_eq!(number(&reply, "client_port="), port(&ours));

    let begin = Instant::now();
    theirs.send_to(b"picture", ("127.0.0.1", inner)).await.unwrap();
    assert_eq!(next(&ours).await, ("picture".to_owned(), outer));
    assert!(begin.elapsed() >= delay);
    ours.send_to(b"hello", ("127.0.0.1", outer)).await.unwrap();
    assert_eq!(next(&theirs).await, ("hello".to_owned(), inner));

    relay.change_ports().await;
    theirs.send_to(b"picture", ("127.0.0.1", inner)).await.unwrap();
    let (_, changed) = next(&ours).await;
    assert_ne!(changed, outer);
    ours.send_to(b"again", ("127.0.0.1", changed)).await.unwrap();
    assert_eq!(next(&theirs).await, ("again".to_owned(), inner));

    relay.set(Faults { loss: 1.0, ..Faults::default() });
    theirs.send_to(b"lost", ("127.0.0.1", inner)).await.unwrap();
    let lost = async {
        while relay.switch.lost() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), lost).await.unwrap();
    relay.set(Faults::default());
    relay.switch.pull_the_cable();
    theirs.send_to(b"lost, too", ("127.0.0.1", inner)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    relay.switch.plug_it_in_again();
    theirs.send_to(b"through", ("127.0.0.1", inner)).await.unwrap();
    assert_eq!(next(&ours).await.0, "through");
    assert_eq!(relay.switch.forwarded(), 3);
}
