//! The state file: arrangements that were made while running, saved so that a restart shows them again.
//!
//! A thread `state` writes it: the newest state wins, what came in between is never written. The media path waits for
//! nothing here. Whoever changed something may wait for the outcome, with a time-out. Promotions are not saved. The file
//! itself is [`file`]'s.

mod file;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::arrangement::Arrangement;
use crate::config::{CameraEntry, LayoutRules, Unusable, WallEntry};

/// How long somebody waits for his change to be saved: a disk that takes longer is as good as full.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

/// One wall in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    /// Of the canvas that it was made for.
    size: String,
    /// What the configuration said at that time: whoever edits that since wants to see it.
    configured: Map<String, Value>,
    /// What was asked for instead.
    arrangement: Map<String, Value>,
}

type Walls = BTreeMap<String, Saved>;

/// Owner of the file. Dropping it writes what is still to be written, and joins the thread.
#[derive(Debug)]
pub struct StateFile {
    state: State,
    thread: Option<JoinHandle<()>>,
}

/// Where changes are told. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State(Arc<Shared>);

/// Why a change was not saved, in words for whoever made it; the log says more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {0}, expected to save the layout; it is shown, but will not be there after a restart")]
pub struct NotSaved(pub String);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    slot: Mutex<Slot>,
    wake: Condvar,
    written: watch::Sender<Written>,
}

/// What is to be in the file.
#[derive(Debug, Default)]
struct Slot {
    walls: Walls,
    /// Of each wall's entry, so that a change that was overtaken does not replace the newer one.
    versions: HashMap<String, u64>,
    revision: u64,
    is_stopping: bool,
}

/// What is in the file.
#[derive(Clone, Debug, Default)]
struct Written {
    revision: u64,
    error: Option<String>,
}

impl StateFile {
    /// Reads the file, if there is one, and says which walls begin with what is in it. What cannot be used, or is older
    /// than the configuration's own arrangement, is told and left out; a copy of the file is kept then.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn open(
        path: &Path,
        walls: &[WallEntry],
        cameras: &[CameraEntry],
    ) -> io::Result<(StateFile, HashMap<String, Arrangement>)> {
        let (mut saved, mut is_left_out) = match file::read(path) {
            Ok(saved) => (saved, false),
            Err(error) => {
                tracing::error!(file = %path.display(), "the state file is left out: {error}");
                (Walls::new(), true)
            }
        };
        let mut restored = HashMap::new();
        for wall in walls {
            let Some(entry) = saved.get(&wall.name) else { continue };
            match usable(entry, wall, cameras) {
                Ok(arrangement) => {
                    tracing::info!(wall = wall.name, "shows the layout that was set before the restart");
                    restored.insert(wall.name.clone(), arrangement);
                }
                Err(LeftOut::Older) => {
                    tracing::info!(
                        wall = wall.name,
                        "the configuration's layout was edited, and goes before the saved one"
                    );
                    (is_left_out, _) = (true, saved.remove(&wall.name));
                }
                Err(LeftOut::Unfit(why)) => {
                    tracing::error!(wall = wall.name, "the saved layout is left out: {why}");
                    (is_left_out, _) = (true, saved.remove(&wall.name));
                }
            }
        }
        let slot = Slot { walls: saved, revision: u64::from(is_left_out), ..Slot::default() };
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            slot: Mutex::new(slot),
            wake: Condvar::new(),
            written: watch::Sender::new(Written::default()),
        });
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("state".to_owned());
        let thread = thread.spawn(move || writer.write_until_stopped(is_left_out))?;
        Ok((StateFile { state: State(shared), thread: Some(thread) }, restored))
    }

    /// Where to tell changes.
    pub fn state(&self) -> State {
        self.state.clone()
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        self.state.0.slot.lock().is_stopping = true;
        self.state.0.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the state file had panicked");
        }
    }
}

impl State {
    /// `wall` shows `arrangement` from now on, the one of this version; none for what the configuration says. Waits until
    /// it is saved.
    pub async fn save(
        &self,
        wall: &WallEntry,
        version: u64,
        arrangement: Option<&Arrangement>,
    ) -> Result<(), NotSaved> {
        let revision = {
            let mut slot = self.0.slot.lock();
            if slot.versions.get(&wall.name).is_none_or(|known| *known < version) {
                slot.versions.insert(wall.name.clone(), version);
                match arrangement {
                    Some(arrangement) => slot.walls.insert(wall.name.clone(), entry(wall, arrangement)),
                    None => slot.walls.remove(&wall.name),
                };
                slot.revision += 1;
            }
            slot.revision
        };
        self.0.wake.notify_all();
        let mut written = self.0.written.subscribe();
        let written = written.wait_for(|written| written.revision >= revision);
        match tokio::time::timeout(WRITTEN_WITHIN, written).await {
            Ok(Ok(written)) => written.error.clone().map_or(Ok(()), |error| Err(NotSaved(error))),
            Ok(Err(_)) => Err(NotSaved("a server that is stopping".to_owned())),
            Err(_) => Err(NotSaved("a disk that does not answer in time".to_owned())),
        }
    }
}

impl Shared {
    fn write_until_stopped(&self, mut keep_a_copy: bool) {
        let mut done = 0;
        loop {
            let (walls, revision) = {
                let mut slot = self.slot.lock();
                while slot.revision == done && !slot.is_stopping {
                    self.wake.wait(&mut slot);
                }
                if slot.revision == done {
                    return;
                }
                (slot.walls.clone(), slot.revision)
            };
            // What was left out is nowhere else: without a copy nothing is written over it.
            let copied = if keep_a_copy { file::keep_a_copy(&self.path) } else { Ok(()) };
            keep_a_copy &= copied.is_err();
            let written = copied.and_then(|()| file::write(&self.path, &walls));
            let error = written.as_ref().err().map(file::in_words);
            let path = self.path.display();
            match (&written, &self.written.borrow().error, &error) {
                (Err(_), Some(before), Some(now)) if before == now => {}
                (Err(error), _, _) => tracing::error!(file = %path, %error, "layouts cannot be saved"),
                (Ok(()), Some(_), _) => tracing::info!(file = %path, "layouts are saved again"),
                (Ok(()), None, _) => {}
            }
            done = revision;
            let _before = self.written.send_replace(Written { revision, error });
        }
    }
}

enum LeftOut {
    /// The configuration was edited since.
    Older,
    Unfit(String),
}

fn usable(saved: &Saved, wall: &WallEntry, cameras: &[CameraEntry]) -> Result<Arrangement, LeftOut> {
    if saved.configured != *wall.arrangement.written() {
        return Err(LeftOut::Older);
    }
    let size = size(wall);
    if saved.size != size {
        let found = if saved.size.len() < 16 { &saved.size } else { "another size" };
        return Err(LeftOut::Unfit(format!("found one for {found}, expected one for the wall's {size}")));
    }
    let text = Value::Object(saved.arrangement.clone()).to_string();
    LayoutRules::new(wall.size, cameras).read(&text).map_err(|error| {
        let why = match error {
            Unusable::NotJson { .. } => "found something else than JSON, expected a layout".to_owned(),
            Unusable::Wrong(problems) => {
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
        };
        LeftOut::Unfit(why)
    })
}

fn entry(wall: &WallEntry, arrangement: &Arrangement) -> Saved {
    Saved {
        size: size(wall),
        configured: wall.arrangement.written().clone(),
        arrangement: arrangement.written().clone(),
    }
}

fn size(wall: &WallEntry) -> String {
    format!("{}x{}", wall.size.width(), wall.size.height())
}

#[cfg(test)]
mod tests;
