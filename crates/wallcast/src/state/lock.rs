//! Of several processes with one state file, the one that saves: whoever started first, as long as it runs. The others
//! show what is changed there, and say that it is not saved.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::file;

/// A file beside the state file, since that one is replaced with every change. It stays: where it was removed, two
/// processes could each lock one of that name.
#[derive(Debug, Default)]
pub(super) struct Lock {
    file: Option<File>,
    is_taken: bool,
}

impl Lock {
    /// Another process saves. That is so until the end, for what was read here is not what that one has saved since.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Before every writing. Where there was no such directory, there may be one now.
    pub(super) fn hold(&mut self, path: &Path) -> io::Result<()> {
        file::may_be_a_file(path)?;
        if self.file.is_none() && !self.is_taken {
            let beside = file::with_ending(path, "lock");
            let file =
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside)?;
            match file.try_lock() {
                // Some network file systems cannot lock, which is no reason to save nothing there.
                Ok(()) | Err(TryLockError::Error(_)) => self.file = Some(file),
                Err(TryLockError::WouldBlock) => self.is_taken = true,
            }
        }
        if self.is_taken {
            return Err(io::Error::new(ErrorKind::WouldBlock, "another Wallcast saves to the same file"));
        }
        Ok(())
    }
}
