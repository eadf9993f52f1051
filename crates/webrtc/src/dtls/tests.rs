//! Handshakes of which flights are lost, with a viewer that repeats its ClientHello after 50 ms as browsers do, in a new
//! record; its other flights are repeated by its library, after a second.

use super::*;

const STEP: Duration = Duration::from_millis(10);
const VIEWERS_FIRST_REPEAT: Duration = Duration::from_millis(50);

/// Record numbers between a ClientHello and its repetition: within the window of what may be a replay.
const RECORDS: u8 = 20;

struct Viewer {
    endpoint: Endpoint,
    flight: Vec<BytesMut>,
    due: Instant,
    wait: Duration,
    is_through: bool,
}

impl Viewer {
    fn new(now: Instant, identity: &Identity) -> Self {
        let config = ConfigBuilder::default()
            .with_crypto_provider(Arc::clone(&identity.crypto))
            .with_certificates(vec![identity.certificate.clone()])
            .with_srtp_protection_profiles(PROFILES.to_vec())
            .with_insecure_skip_verify(true)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .build(true, None)
            .unwrap();
        let mut endpoint = endpoint(None);
        endpoint.connect(now, VIEWER, Arc::new(config), None).unwrap();
        let (flight, wait, is_through) = (Vec::new(), VIEWERS_FIRST_REPEAT, false);
        Self { endpoint, flight, due: now, wait, is_through }
    }

    fn hear(&mut self, now: Instant, datagram: &[u8]) {
        let events = self.endpoint.read(now, VIEWER, None, BytesMut::from(datagram)).unwrap();
        self.is_through |= events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete));
    }

    fn say(&mut self, now: Instant) -> Vec<BytesMut> {
        // Fails where there is no connection any more.
        let _ = self.endpoint.handle_timeout(VIEWER, now);
        let new: Vec<_> =
            std::iter::from_fn(|| self.endpoint.poll_transmit()).map(|sent| sent.message).collect();
        if !new.is_empty() {
            (self.flight, self.wait, self.due) =
                (new.clone(), VIEWERS_FIRST_REPEAT, now + VIEWERS_FIRST_REPEAT);
            return new;
        }
        let is_hello = |datagram: &BytesMut| datagram[0] == 22 && datagram[13] == 1;
        if self.due > now || !self.flight.iter().all(is_hello) || self.flight[0][10] > 2 * RECORDS {
            return Vec::new();
        }
        self.flight[0][10] += RECORDS;
        self.wait *= 2;
        self.due = now + self.wait;
        self.flight.clone()
    }
}

/// How long a handshake takes of which our datagrams `lost` do not arrive, counted from 0.
fn handshake(lost: &[usize]) -> Duration {
    let start = Instant::now();
    let identity = Arc::new(Identity::generate().unwrap());
    let mut viewer = Viewer::new(start, &identity);
    let mut ours = Dtls::new(Arc::clone(&identity), identity.fingerprint.clone(), Role::Server);
    let (mut now, mut sent, mut has_keys) = (start, 0, false);
    while !(has_keys && viewer.is_through) {
        assert!(
            now < start + Duration::from_secs(15),
            "never through; {sent} datagrams of ours, lost {lost:?}"
        );
        for datagram in viewer.say(now) {
            let steps = ours.handle_datagram(now, &datagram).unwrap();
            has_keys |= steps.iter().any(|step| matches!(step, Step::Keys(_)));
        }
        if ours.poll_timeout().is_some_and(|due| due <= now) {
            ours.handle_timeout(now);
        }
        while let Some(datagram) = ours.poll_transmit() {
            if !lost.contains(&sent) {
                viewer.hear(now, &datagram);
            }
            sent += 1;
        }
        now += STEP;
    }
    assert!(ours.poll_timeout().is_none(), "nothing is repeated any more");
    now - start
}

#[test]
fn a_handshake_without_loss_repeats_nothing() {
    assert!(handshake(&[]) < Duration::from_millis(100));
}

#[test]
fn whichever_of_our_datagrams_is_lost_is_said_again_though_the_viewer_repeats_itself_meanwhile() {
    for lost in [vec![0], vec![1], vec![2], vec![1, 2], vec![1, 3], vec![1, 2, 3]] {
        let took = handshake(&lost);
        assert!(took < Duration::from_secs(3), "{took:?} without datagrams {lost:?}");
    }
}

/// The last of `total` one-byte fragments of a message first, so that the library tries to put all of them together.
fn fragments(total: u32, message: u16) -> impl Iterator<Item = Vec<u8>> {
    (1..total).chain([0]).zip(u64::from(message) * 100_000..).map(move |(offset, number)| {
        let mut record = vec![22, 0xfe, 0xfd, 0, 0];
        record.extend(&number.to_be_bytes()[2..]);
        record.extend([0, 13, 11]);
        record.extend(&(total + 1000).to_be_bytes()[1..]);
        record.extend(message.to_be_bytes());
        record.extend(&offset.to_be_bytes()[1..]);
        record.extend([0, 0, 1, 7]);
        record
    })
}

#[test]
fn a_message_in_thirty_thousand_fragments_ends_neither_the_process_nor_the_handshake() {
    let (now, identity) = (Instant::now(), Arc::new(Identity::generate().unwrap()));
    let mut viewer = Viewer::new(now, &identity);
    let mut ours = Dtls::new(Arc::clone(&identity), identity.fingerprint.clone(), Role::Server);
    for datagram in viewer.say(now) {
        ours.handle_datagram(now, &datagram).unwrap();
    }
    // The first message that is not there yet: fragments of it are put together as soon as there is its beginning.
    for datagram in fragments(30_000, 1) {
        let _ = ours.handle_datagram(now, &datagram);
    }
    assert!(ours.poll_transmit().is_some(), "it is still there to answer");
}

#[test]
fn after_the_handshake_a_flood_is_not_kept_and_a_goodbye_is_heard() {
    let (now, identity) = (Instant::now(), Arc::new(Identity::generate().unwrap()));
    let mut viewer = Viewer::new(now, &identity);
    let mut ours = Dtls::new(Arc::clone(&identity), identity.fingerprint.clone(), Role::Server);
    while !(ours.is_through && viewer.is_through) {
        for datagram in viewer.say(now) {
            ours.handle_datagram(now, &datagram).unwrap();
        }
        while let Some(datagram) = ours.poll_transmit() {
            viewer.hear(now, &datagram);
        }
    }
    // One of these is the number of the message that would come next.
    for datagram in (4..9).flat_map(|message| fragments(30_000, message)) {
        ours.handle_datagram(now, &datagram).unwrap();
    }
    viewer.endpoint.close(now).unwrap();
    let goodbye = viewer.say(now);
    let steps = goodbye.iter().flat_map(|datagram| ours.handle_datagram(now, datagram).unwrap());
    assert_eq!(steps.filter(|step| matches!(step, Step::Closed)).count(), 1);
}
