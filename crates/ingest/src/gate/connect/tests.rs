#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::net::TcpListener as StdListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

fn source(address: SocketAddr) -> SourceUrl {
    SourceUrl::parse(&format!("rtsp://user:secret@{address}/live")).unwrap()
}

/// Refuses connections: nobody listens here any more.
fn closed() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Drops every SYN, because the queue of one connection that waits to be accepted is full.
async fn black_hole() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(stream);
        assert!(waiting.len() < 10, "the queue is never full");
    }
    (address, waiting, listener)
}

async fn connect_to_all(addresses: Vec<SocketAddr>) -> Result<Connection, Failure> {
    let deadline = Instant::now() + Duration::from_secs(12);
    connect_to_first(addresses, &source(closed()), Certificate::Any, deadline).await
}

#[tokio::test]
async fn what_is_written_and_read_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut connection = connect(&source(address), Certificate::Any, Duration::from_secs(10)).await.unwrap();
    let (mut camera, from) = listener.accept().await.unwrap();
    assert_eq!((connection.peer(), connection.local()), (address, from));
    connection.write_all(b"OPTIONS").await.unwrap();
    let mut heard = [0; 7];
    camera.read_exact(&mut heard).await.unwrap();
    camera.write_all(&heard).await.unwrap();
    drop(camera);
    let mut all = Vec::new();
    connection.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"OPTIONS");
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connection = connect_to_all(vec![closed(), address, closed()]).await.unwrap();
    assert_eq!(connection.peer(), address);
}

#[tokio::test]
async fn the_failure_is_that_of_the_address_that_came_nearest() {
    let refusing = closed();
    // Loopback has no way to a documentation address (RFC 3849) of IPv6 with a scope that does not exist.
    let nowhere = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 554, 0, 999_999).into();
    for addresses in [vec![refusing, nowhere], vec![nowhere, refusing]] {
        let failure = connect_to_all(addresses).await.unwrap_err();
        assert_eq!(failure, Failure::Refused { address: refusing.to_string() });
    }
}

#[tokio::test]
async fn chaos_15_syn_blackhole_costs_five_seconds_and_then_the_next_address_is_tried() {
    let (black, _waiting, _listener) = black_hole().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::time::pause();
    let begin = Instant::now();
    let connection = connect_to_all(vec![black, address]).await.unwrap();
    assert_eq!((connection.peer(), begin.elapsed().as_secs()), (address, 5));

    let begin = Instant::now();
    let failure = connect_to_all(vec![black; 8]).await.unwrap_err();
    assert_eq!(failure.to_string(), format!("no answer from {black} within 5 s"));
    assert_eq!(begin.elapsed().as_secs(), 12);
}

#[tokio::test]
async fn a_camera_that_never_answers_the_handshake_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let source = SourceUrl::parse(&format!("rtsps://{address}/live")).unwrap();
    let begin = Instant::now();
    let failure = connect(&source, Certificate::Any, Duration::from_millis(700)).await.unwrap_err();
    assert!(matches!(&failure, Failure::NoAnswer { address: silent, .. } if *silent == address.to_string()));
    assert!(begin.elapsed() < Duration::from_secs(5));
}
