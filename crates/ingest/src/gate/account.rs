//! One user name and password at one host, shared by every camera of this process that has them: a recorder has thirty
//! channels and one list of accounts, and after a few wrong passwords it locks the account, or us, out.
//!
//! So one camera tries first, and the others wait for its verdict. A refusal pauses all of them for a minute; being let in
//! lets all of them go on, and is believed for as long as it takes them to follow. Recorders also refuse single channels
//! to an account that is right about the others: that concerns the camera that was refused, and nobody waits for it.
//!
//! The login itself is not kept, only what cameras that have the same one find each other by.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::source::SourceUrl;

/// How long nobody logs in after a refusal.
const PAUSE: Duration = Duration::from_secs(60);
/// How long the verdict of the one who tries is waited for. Then the next one tries: a channel without a camera may take
/// its time to say so.
const VERDICT: Duration = Duration::from_secs(3);
/// So many streams that were never let in may be refused, one after the other, before it is not them but the account.
const MAX_REFUSED: usize = 3;
/// How long being let in is believed without asking again. Those who wait follow at once.
const BELIEVED: Duration = Duration::from_secs(10);

/// The accounts that cameras have now, by a hash that is another one in every process.
static ACCOUNTS: LazyLock<Accounts> = LazyLock::new(Accounts::default);

#[derive(Default)]
struct Accounts {
    hasher: RandomState,
    known: Mutex<HashMap<u64, Weak<Account>>>,
}

#[derive(Debug, Default)]
struct Account {
    standing: Mutex<Standing>,
    changed: Notify,
}

/// One stream's share in an account, through all its sessions.
#[derive(Debug)]
pub(crate) struct Member {
    account: Arc<Account>,
    id: u64,
}

/// A login that may be sent. Dropped without a verdict, it leaves the turn to the next one.
#[derive(Debug)]
pub(super) struct Permit {
    member: Arc<Member>,
    has_verdict: bool,
}

/// Nobody may log in before this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paused {
    pub(crate) until: Instant,
}

impl Member {
    /// `None` if the address has no login.
    pub(crate) fn of(source: &SourceUrl) -> Option<Arc<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let login = source.login()?;
        let key = (source.host().to_ascii_lowercase(), &login.user, &login.password);
        let key = ACCOUNTS.hasher.hash_one(key);
        let mut known = ACCOUNTS.known.lock();
        known.retain(|_, account| account.strong_count() > 0);
        let account = known.get(&key).and_then(Weak::upgrade).unwrap_or_default();
        known.insert(key, Arc::downgrade(&account));
        Some(Arc::new(Self { account, id: NEXT.fetch_add(1, Relaxed) }))
    }

    /// Whether it makes sense to connect at all.
    pub(crate) fn pause(&self, now: Instant) -> Option<Paused> {
        self.account.standing.lock().pause(now)
    }

    /// Waits for this stream's turn to send its login, but not long. Cancel safe.
    pub(super) async fn log_in(self: &Arc<Self>) -> Result<Permit, Paused> {
        loop {
            let changed = self.account.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let turn = self.account.standing.lock().ask(now(), self.id);
            match turn {
                Turn::Now => return Ok(Permit { member: self.clone(), has_verdict: false }),
                Turn::Never(paused) => return Err(paused),
                Turn::After(until) => {
                    let _ = timeout_at(until.into(), changed).await;
                }
            }
        }
    }

    fn tell(&self, tell: impl FnOnce(&mut Standing)) {
        tell(&mut self.account.standing.lock());
        self.account.changed.notify_waiters();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.tell(|standing| {
            standing.let_in.remove(&self.id);
            standing.refused.remove(&self.id);
        });
    }
}

impl Permit {
    /// The camera let us in.
    pub(super) fn accepted(mut self) {
        self.has_verdict = true;
        self.member.tell(|standing| standing.accepted(now(), self.member.id));
    }

    /// It did not.
    pub(super) fn refused(mut self) {
        self.has_verdict = true;
        self.member.tell(|standing| standing.refused(now(), self.member.id));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.has_verdict {
            self.member.tell(|standing| standing.gave_up(self.member.id));
        }
    }
}

/// What is known of an account: pure, in virtual time.
#[derive(Debug, Default)]
struct Standing {
    /// Who tries, and since when.
    trying: Option<(u64, Instant)>,
    right_until: Option<Instant>,
    paused_until: Option<Instant>,
    /// The streams that were let in with it, so that a refusal of one of them is news.
    let_in: HashSet<u64>,
    /// Those that were refused since then.
    refused: HashSet<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Now,
    /// Or when something changes.
    After(Instant),
    Never(Paused),
}

impl Standing {
    fn pause(&self, now: Instant) -> Option<Paused> {
        self.paused_until.filter(|until| now < *until).map(|until| Paused { until })
    }

    fn ask(&mut self, now: Instant, id: u64) -> Turn {
        if let Some(paused) = self.pause(now) {
            return Turn::Never(paused);
        }
        if self.right_until.is_some_and(|until| now < until) {
            return Turn::Now;
        }
        match self.trying {
            Some((other, since)) if other != id && now < since + VERDICT => Turn::After(since + VERDICT),
            _ => {
                self.trying = Some((id, now));
                Turn::Now
            }
        }
    }

    fn accepted(&mut self, now: Instant, id: u64) {
        self.gave_up(id);
        self.let_in.insert(id);
        self.refused.clear();
        self.paused_until = None;
        self.right_until = Some(now + BELIEVED);
    }

    fn refused(&mut self, now: Instant, id: u64) {
        self.gave_up(id);
        // A stream that others were let in beside, and that never was itself, is one that the account may not see.
        self.refused.insert(id);
        let is_news = self.let_in.is_empty() || self.let_in.contains(&id);
        if is_news || self.refused.len() >= MAX_REFUSED {
            self.let_in.clear();
            self.refused.clear();
            self.right_until = None;
            self.paused_until = Some(now + PAUSE);
        }
    }

    fn gave_up(&mut self, id: u64) {
        self.trying.take_if(|(trying, _)| *trying == id);
    }
}

/// The runtime's clock, which tests can turn.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
