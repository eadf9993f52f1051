//! A mount: a name under which readers find a stream of access units.
//!
//! Whoever makes the stream pushes every access unit once; the mount packetises it once and offers the same
//! packets to every reader's queue. Nothing a reader does can hold up a push.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rtc_rtp::codec::h264::H264Payloader;
use tokio::sync::watch;

use super::{
    packets::Packets,
    parameter_sets::ParameterSets,
    reader::{Reader, ReaderStats, ReaderTransport},
};

/// A name and the stream behind it. Shared between the one that pushes and the RTSP server.
pub struct Mount {
    name: String,
    frame_rate: Option<f64>,
    /// For SDP's `o=` line: the same as long as the mount lives.
    sdp_id: u32,
    on_key_frame_needed: Box<dyn Fn() + Send + Sync>,
    /// Readers, and DESCRIBEs that wait for parameter sets.
    wanted: AtomicUsize,
    stream: Mutex<Stream>,
    parameter_sets: watch::Sender<Option<Arc<ParameterSets>>>,
    teardowns: AtomicU64,
    frames_dropped: AtomicU64,
}

#[derive(Default)]
struct Stream {
    payloader: H264Payloader,
    readers: Vec<Arc<Reader>>,
    closed: bool,
}

/// What a mount has to do with its readers, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountStats {
    /// Playing now.
    pub readers: usize,
    /// TEARDOWN requests received since the beginning.
    pub teardowns: u64,
    /// Access units dropped for slow readers, since the beginning.
    pub frames_dropped: u64,
}

impl Mount {
    /// A mount without readers. `on_key_frame_needed` is called, from any thread, whenever a reader joins or
    /// a DESCRIBE waits for parameter sets; it must not block and need not coalesce anything.
    pub fn new(name: &str, on_key_frame_needed: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Self::build(name, None, on_key_frame_needed)
    }

    /// The same for a stream whose frame rate is known: SDP then says it (`a=framerate`).
    pub fn with_frame_rate(
        name: &str,
        frames_per_second: f64,
        on_key_frame_needed: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        Self::build(name, Some(frames_per_second), on_key_frame_needed)
    }

    fn build(
        name: &str,
        frame_rate: Option<f64>,
        on_key_frame_needed: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            frame_rate,
            sdp_id: rand::random(),
            on_key_frame_needed,
            wanted: AtomicUsize::new(0),
            stream: Mutex::default(),
            parameter_sets: watch::Sender::new(None),
            teardowns: AtomicU64::new(0),
            frames_dropped: AtomicU64::new(0),
        })
    }

    /// The name readers ask for: `rtsp://host:port/{name}`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hands an access unit (H.264 in Annex B form, SPS and PPS before every IDR) to every reader. Never
    /// blocks; a reader too slow for it loses it. `rtp_time` counts at 90 kHz and may wrap.
    pub fn push(&self, data: &Bytes, key: bool, rtp_time: u32) {
        if key && let Some(sets) = ParameterSets::find(data) {
            self.parameter_sets.send_replace(Some(Arc::new(sets)));
        }
        let mut stream = self.stream.lock();
        let Stream { payloader, readers, .. } = &mut *stream;
        if readers.is_empty() {
            return;
        }
        let Some(packets) = Packets::cut(payloader, data, key, rtp_time, Instant::now()) else { return };
        let packets = Arc::new(packets);
        let dropped: u64 = readers.iter().map(|reader| reader.offer(&packets)).sum();
        self.frames_dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    /// Somebody reads, or is about to: access units should be pushed.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire) > 0
    }

    /// Everybody who plays now.
    pub fn readers(&self) -> Vec<ReaderStats> {
        let readers = self.stream.lock().readers.clone();
        let now = Instant::now();
        readers.iter().map(|reader| reader.stats(now)).collect()
    }

    /// Totals, cheap enough to be asked at any time.
    pub fn stats(&self) -> MountStats {
        MountStats {
            readers: self.stream.lock().readers.len(),
            teardowns: self.teardowns.load(Ordering::Relaxed),
            frames_dropped: self.frames_dropped.load(Ordering::Relaxed),
        }
    }

    /// Ends every reader's session once it has got what is queued; nobody can join any more.
    pub fn close(&self) {
        let mut stream = self.stream.lock();
        stream.closed = true;
        for reader in &stream.readers {
            reader.close();
        }
    }

    pub(super) fn frame_rate(&self) -> Option<f64> {
        self.frame_rate
    }

    pub(super) fn sdp_id(&self) -> u32 {
        self.sdp_id
    }

    pub(super) fn count_teardown(&self) {
        self.teardowns.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins to play: frames arrive from the next key frame on, until the subscription is dropped.
    pub(super) fn join(
        self: &Arc<Self>,
        id: String,
        address: SocketAddr,
        transport: ReaderTransport,
    ) -> Subscription {
        let reader = Arc::new(Reader::new(id, address, transport));
        let subscription = Subscription { interest: Interest::new(self), reader };
        {
            let mut stream = self.stream.lock();
            if stream.closed {
                subscription.reader.close();
            }
            stream.readers.push(Arc::clone(&subscription.reader));
        }
        (self.on_key_frame_needed)();
        subscription
    }

    /// The parameter sets of the stream as it is now. With no readers the last ones known may be out of
    /// date, so that a new key frame is asked for and waited for; they are the answer if none comes.
    pub(super) async fn current_parameter_sets(
        self: &Arc<Self>,
        patience: Duration,
    ) -> Option<Arc<ParameterSets>> {
        let mut changes = self.parameter_sets.subscribe();
        let known = changes.borrow_and_update().clone();
        if known.is_some() && self.is_wanted() {
            return known;
        }
        let _interest = Interest::new(self);
        (self.on_key_frame_needed)();
        match tokio::time::timeout(patience, changes.changed()).await {
            Ok(Ok(())) => changes.borrow().clone(),
            Ok(Err(_)) | Err(_) => known,
        }
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount")
            .field("name", &self.name)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The mounts a server offers, by name. More may come and go while the server runs.
#[derive(Debug, Default)]
pub struct Mounts(RwLock<BTreeMap<String, Arc<Mount>>>);

/// Two streams cannot have one name.
#[derive(Debug, thiserror::Error)]
#[error("a stream called {0:?} is served already, expected a name that is not in use")]
pub struct NameInUse(String);

impl Mounts {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Serves `mount` under its name.
    pub fn add(&self, mount: Arc<Mount>) -> Result<(), NameInUse> {
        match self.0.write().entry(mount.name().to_owned()) {
            std::collections::btree_map::Entry::Occupied(taken) => Err(NameInUse(taken.key().clone())),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(mount);
                Ok(())
            }
        }
    }

    /// Stops serving the name and ends its readers' sessions. Says whether there was such a name.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.0.write().remove(name);
        removed.inspect(|mount| mount.close()).is_some()
    }

    /// The mount of that name, unless it has been closed.
    pub fn get(&self, name: &str) -> Option<Arc<Mount>> {
        self.0.read().get(name).filter(|mount| !mount.stream.lock().closed).cloned()
    }
}

/// A reader's place in a mount; dropping it leaves.
#[derive(Debug)]
pub(super) struct Subscription {
    interest: Interest,
    pub(super) reader: Arc<Reader>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.interest.0.stream.lock().readers.retain(|reader| !Arc::ptr_eq(reader, &self.reader));
    }
}

/// Makes the mount wanted while it lives.
#[derive(Debug)]
struct Interest(Arc<Mount>);

impl Interest {
    fn new(mount: &Arc<Mount>) -> Self {
        mount.wanted.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(mount))
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const KEY: &[u8] = b"\0\0\0\x01\x67\x42\xc0\x28\xaa\0\0\0\x01\x68\xce\x01\0\0\0\x01\x65\x88\x84\x01";
    const DELTA: &[u8] = b"\0\0\0\x01\x41\x9a\x01";

    fn mount() -> (Arc<Mount>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let count = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        (Mount::new("wall", Box::new(count)), asked)
    }

    fn join(mount: &Arc<Mount>) -> Subscription {
        mount.join("rtsp-1".into(), "127.0.0.1:9".parse().unwrap(), ReaderTransport::Tcp)
    }

    #[test]
    fn a_mount_is_wanted_while_somebody_reads_and_a_join_asks_for_a_key_frame() {
        let (mount, asked) = mount();
        assert!(!mount.is_wanted());
        let subscription = join(&mount);
        assert!(mount.is_wanted());
        assert_eq!((mount.readers().len(), asked.load(Ordering::Relaxed)), (1, 1));
        drop(subscription);
        assert!(!mount.is_wanted());
        assert_eq!(mount.readers().len(), 0);
    }

    #[tokio::test]
    async fn all_readers_are_offered_the_very_same_packets() {
        let (mount, _) = mount();
        let (first, second) = (join(&mount), join(&mount));
        mount.push(&Bytes::from_static(KEY), true, 90_000);
        let (first, second) = (first.reader.next().await.unwrap(), second.reader.next().await.unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!((first.rtp_time, first.key), (90_000, true));
    }

    #[tokio::test]
    async fn asking_an_idle_mount_for_parameter_sets_makes_it_wanted_and_waits_for_a_key_frame() {
        let (mount, asked) = mount();
        let asking = tokio::spawn({
            let mount = Arc::clone(&mount);
            async move { mount.current_parameter_sets(Duration::from_secs(3)).await }
        });
        while !mount.is_wanted() {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        mount.push(&Bytes::from_static(DELTA), false, 0);
        mount.push(&Bytes::from_static(KEY), true, 3600);
        assert_eq!(asking.await.unwrap().unwrap().profile_level_id(), "42C028");
        assert!(!mount.is_wanted());
    }

    #[tokio::test]
    async fn an_idle_mount_that_stays_silent_answers_with_the_last_known_sets_or_none() {
        let (mount, _) = mount();
        assert!(mount.current_parameter_sets(Duration::from_millis(20)).await.is_none());
        mount.push(&Bytes::from_static(KEY), true, 0);
        assert!(mount.current_parameter_sets(Duration::from_millis(20)).await.is_some());
    }

    #[test]
    fn a_name_is_served_once() {
        let mounts = Mounts::new();
        mounts.add(mount().0).unwrap();
        assert_eq!(
            mounts.add(mount().0).unwrap_err().to_string(),
            "a stream called \"wall\" is served already, expected a name that is not in use"
        );
        assert!(mounts.remove("wall"));
        assert!(!mounts.remove("wall"));
    }
}
