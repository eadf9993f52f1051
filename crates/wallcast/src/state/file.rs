//! The file itself: JSON, written beside itself and put in its own place at once, so that whoever reads it, or starts
//! after a power cut, finds the old one or the new one and never half of either.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Walls;

/// Of the file's format.
const VERSION: u32 = 1;
/// Far more than 64 walls of 64 tiles need.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    wallcast_state: u32,
    walls: Walls,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("found {}, expected a file that can be read", in_words(.0))]
    Io(#[source] io::Error),
    #[error("found more than {MAX_BYTES} bytes, expected less")]
    TooLarge,
    /// The error's own text may quote the file, which holds nothing secret.
    #[error("found {0}, expected a state file of Wallcast")]
    Json(#[source] serde_json::Error),
    #[error("found version {0}, expected {VERSION}")]
    Version(u32),
}

/// What is in the file; nothing where there is none.
pub(super) fn read(path: &Path) -> Result<Walls, ReadError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Walls::new()),
        Err(error) => return Err(ReadError::Io(error)),
        Ok(length) if length as u64 > MAX_BYTES => return Err(ReadError::TooLarge),
        Ok(_) => {}
    }
    let contents: Contents = serde_json::from_slice(&bytes).map_err(ReadError::Json)?;
    if contents.wallcast_state != VERSION {
        return Err(ReadError::Version(contents.wallcast_state));
    }
    Ok(contents.walls)
}

/// Puts `walls` in the place of what is there.
pub(super) fn write(path: &Path, walls: &Walls) -> io::Result<()> {
    let contents = Contents { wallcast_state: VERSION, walls: walls.clone() };
    let mut text = serde_json::to_vec_pretty(&contents)?;
    text.push(b'\n');
    let beside = with_ending(path, "new");
    let put = put(&beside, path, &text);
    if put.is_err() {
        // Nothing of use is in it. If it cannot be removed either, the next attempt writes over it.
        let _gone = fs::remove_file(&beside);
    }
    put
}

fn put(beside: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    drop(file);
    fs::rename(beside, path)?;
    // The rename is on the disk when its directory is. Some file systems cannot do that, and do it by themselves.
    let _unsupported = File::open(directory(path)).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Leaves a copy beside the file, whose name ends with the time.
pub(super) fn keep_a_copy(path: &Path) -> io::Result<()> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let copy = with_ending(path, &format!("left-out-{seconds}"));
    fs::copy(path, &copy)?;
    tracing::warn!(file = %copy.display(), "what was left out of the state file is kept here");
    Ok(())
}

/// For people, without names of the file system.
pub(super) fn in_words(error: &io::Error) -> String {
    let words = match error.kind() {
        ErrorKind::NotFound => "no such directory",
        ErrorKind::PermissionDenied => "no permission to write",
        ErrorKind::ReadOnlyFilesystem => "a file system that is read-only",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "a disk that is full",
        ErrorKind::ResourceBusy => "a file that is mounted by itself (mount its directory)",
        ErrorKind::IsADirectory => "a directory in its place",
        _ => "an error of the disk",
    };
    words.to_owned()
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
