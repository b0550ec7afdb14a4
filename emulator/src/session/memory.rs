//! Files of a simulated session, which has no file system.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use jiff::Timestamp;

use super::files::FileError;
use super::path::{DirectoryPath, FileName};
use super::volume::{EntryKind, FileEntry};

#[derive(Debug, Clone)]
struct StoredFile {
    content: Bytes,
    modified: Timestamp,
}

/// Files by directory and name. Directories exist as long as a file is in them.
#[derive(Debug, Default)]
pub struct MemoryVolume(Mutex<BTreeMap<(DirectoryPath, FileName), StoredFile>>);

impl MemoryVolume {
    /// The files of a directory, and of those below it where `recursive`.
    pub fn list(&self, directory: &DirectoryPath, recursive: bool) -> Vec<FileEntry> {
        let below = |other: &DirectoryPath| {
            directory.as_str().is_empty()
                || other
                    .as_str()
                    .strip_prefix(directory.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        self.files()
            .iter()
            .filter(|((at, _), _)| at == directory || (recursive && below(at)))
            .map(|((at, name), file)| entry(at, name, file))
            .collect()
    }

    /// One file.
    pub fn metadata(&self, directory: &DirectoryPath, name: &FileName) -> Result<FileEntry, FileError> {
        let files = self.files();
        let file = files
            .get(&(directory.clone(), name.clone()))
            .ok_or_else(|| not_found(name))?;
        Ok(entry(directory, name, file))
    }

    /// The content of a file.
    pub fn read(&self, directory: &DirectoryPath, name: &FileName) -> Result<Bytes, FileError> {
        let files = self.files();
        let file = files
            .get(&(directory.clone(), name.clone()))
            .ok_or_else(|| not_found(name))?;
        Ok(file.content.clone())
    }

    /// Creates or replaces a file.
    pub fn write(&self, directory: &DirectoryPath, name: &FileName, content: Bytes) -> FileEntry {
        let file = StoredFile {
            content,
            modified: Timestamp::now(),
        };
        let entry = entry(directory, name, &file);
        self.files().insert((directory.clone(), name.clone()), file);
        entry
    }

    /// Removes a file.
    pub fn remove(&self, directory: &DirectoryPath, name: &FileName) -> Result<(), FileError> {
        self.files()
            .remove(&(directory.clone(), name.clone()))
            .map(drop)
            .ok_or_else(|| not_found(name))
    }

    fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<(DirectoryPath, FileName), StoredFile>> {
        self.0.lock().expect("invariant: no holder of this lock panics")
    }
}

fn entry(directory: &DirectoryPath, name: &FileName, file: &StoredFile) -> FileEntry {
    FileEntry {
        name: name.as_str().to_owned(),
        directory: directory.clone(),
        kind: EntryKind::File,
        bytes: file.content.len() as u64,
        modified: file.modified,
    }
}

fn not_found(name: &FileName) -> FileError {
    FileError::NotFound(name.as_str().to_owned())
}
