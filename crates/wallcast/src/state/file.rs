//! The file itself: JSON, written beside itself and put in its own place at once, so that whoever reads it, or starts
//! after a power cut, finds the old one or the new one and never half of either.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Walls;

/// Of the file's format.
const VERSION: u32 = 1;
/// Nothing secret is in the file; but who is where on a wall is not everybody's business.
const OWNER_ONLY: u32 = 0o600;
/// Whoever starts it more often in a second finds the names taken.
const MAX_COPIES_A_SECOND: u64 = 10;
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
    #[error("found something else than a file, expected a file")]
    NotAFile,
    #[error("found more than {MAX_BYTES} bytes, expected less")]
    TooLarge,
    /// The error's own text may quote the file, which holds nothing secret.
    #[error("found {0}, expected a state file of Wallcast")]
    Json(#[source] serde_json::Error),
    #[error("found version {0}, expected {VERSION}")]
    Version(u32),
}

/// The file itself where `path` is a link to it, which is to stay one.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let at_first = || fs::read_link(path).map(|target| directory(path).join(target));
    fs::canonicalize(path).or_else(|_| at_first()).unwrap_or_else(|_| path.to_owned())
}

/// There is a file, or nothing yet. Opening a pipe would wait for somebody at its other end, and a device or a socket
/// is not to be replaced.
pub(super) fn may_be_a_file(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(ErrorKind::InvalidInput, "something else than a file in its place"))
        }
        _ => Ok(()),
    }
}

/// What is in the file; nothing where there is none.
pub(super) fn read(path: &Path) -> Result<Walls, ReadError> {
    if may_be_a_file(path).is_err() {
        return Err(ReadError::NotAFile);
    }
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
        // Nothing of use is in it. If it cannot be removed now, the next attempt tries again.
        let _gone = fs::remove_file(&beside);
    }
    put
}

fn put(beside: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A new file and nobody's link, for the owner alone unless the file has other permissions already.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(beside)?;
    if let Ok(before) = fs::metadata(path) {
        file.set_permissions(Permissions::from_mode(before.permissions().mode() & 0o777))?;
    }
    file.write_all(text)?;
    file.sync_all()?;
    drop(file);
    fs::rename(beside, path)?;
    // The rename is on the disk when its directory is. Some file systems cannot do that, and do it by themselves.
    let _unsupported = File::open(directory(path)).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Leaves what is in the file beside it, under a name that ends with the time: as a second name of the same file, which
/// is there at once and whole, whatever the size; or as its only name where a file has but one.
pub(super) fn keep_a_copy(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        // Somebody has put it away.
        return Ok(());
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let copy = (0..MAX_COPIES_A_SECOND)
        .map(|number| with_ending(path, &format!("left-out-{}", seconds + number)))
        .find(|copy| fs::symlink_metadata(copy).is_err())
        .ok_or(ErrorKind::AlreadyExists)?;
    fs::hard_link(path, &copy).or_else(|_| fs::rename(path, &copy))?;
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
        ErrorKind::InvalidInput => "something else than a file in its place",
        ErrorKind::WouldBlock => "another Wallcast that saves to the same file",
        _ => "an error of the disk",
    };
    words.to_owned()
}

pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
