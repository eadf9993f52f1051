#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::gate::PANICS;
use crate::queue::queue;
use crate::source::SourceUrl;

/// Somebody who accepts connections and says nothing.
async fn mute() -> (tokio::net::TcpListener, SourceUrl) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = SourceUrl::parse(&format!("rtsp://{}/live", listener.local_addr().unwrap())).unwrap();
    (listener, source)
}

#[tokio::test]
async fn a_panic_in_the_relay_is_counted_and_told_as_such_at_once() {
    let (_listener, source) = mute().await;
    let (record, config) = (Record::for_tests(), CameraConfig::new(PANICS, source));
    let (feeder, _units) = queue(record.clone());
    let mut source = RtspSource::new(config, record.clone(), feeder);
    for sessions in 1..=3 {
        record.session_began(sessions, false);
        assert_eq!(source.run_once(sessions).await, Failure::Internal);
        let stats = record.stats(Instant::now(), Duration::from_secs(10));
        assert_eq!(stats.panics, sessions, "before the next session begins");
    }
}
