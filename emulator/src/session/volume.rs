//! The files below `/mnt/data` of one session.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::files::FileError;
use super::memory::MemoryVolume;
use super::path::{DirectoryPath, FileName};
use super::volume_directory::DirectoryVolume;

/// A file or directory as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name, without any directory.
    pub name: String,
    /// The directory that it is in.
    pub directory: DirectoryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Its size; 0 for a directory.
    pub bytes: u64,
    /// When it was last changed, in real time.
    pub modified: Timestamp,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// The content of a file.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Bytes(Bytes),
    /// A large file, opened: its first so many bytes are the content.
    File(std::fs::File, u64),
}

/// The files of a session, on disk or, for a simulated one, in memory.
///
/// Whatever links a session makes, no operation reaches anything outside its data directory.
#[derive(Debug, Clone)]
pub enum Volume {
    /// The directory that the session has mounted at `/mnt/data`.
    Directory(Arc<DirectoryVolume>),
    /// No file system.
    Memory(Arc<MemoryVolume>),
}

impl Volume {
    /// The entries of a directory, and of those below it where `recursive`.
    pub async fn list(&self, directory: DirectoryPath, recursive: bool) -> Result<Vec<FileEntry>, FileError> {
        match self {
            Self::Memory(volume) => Ok(volume.list(&directory, recursive)),
            Self::Directory(volume) => blocking(volume, move |volume| volume.list(&directory, recursive)).await,
        }
    }

    /// One entry.
    pub async fn metadata(&self, directory: DirectoryPath, name: FileName) -> Result<FileEntry, FileError> {
        match self {
            Self::Memory(volume) => volume.metadata(&directory, &name),
            Self::Directory(volume) => blocking(volume, move |volume| volume.metadata(&directory, &name)).await,
        }
    }

    /// The content of a file.
    pub async fn read(&self, directory: DirectoryPath, name: FileName) -> Result<Content, FileError> {
        match self {
            Self::Memory(volume) => volume.read(&directory, &name).map(Content::Bytes),
            Self::Directory(volume) => blocking(volume, move |volume| volume.read(&directory, &name)).await,
        }
    }

    /// Creates or replaces a file; missing directories are made.
    pub async fn write(
        &self,
        directory: DirectoryPath,
        name: FileName,
        content: Bytes,
    ) -> Result<FileEntry, FileError> {
        match self {
            Self::Memory(volume) => Ok(volume.write(&directory, &name, content)),
            Self::Directory(volume) => blocking(volume, move |volume| volume.write(&directory, &name, &content)).await,
        }
    }

    /// Removes a file.
    pub async fn remove(&self, directory: DirectoryPath, name: FileName) -> Result<(), FileError> {
        match self {
            Self::Memory(volume) => volume.remove(&directory, &name),
            Self::Directory(volume) => blocking(volume, move |volume| volume.remove(&directory, &name)).await,
        }
    }
}

async fn blocking<T: Send + 'static>(
    volume: &Arc<DirectoryVolume>,
    operation: impl FnOnce(&DirectoryVolume) -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let volume = Arc::clone(volume);
    match tokio::task::spawn_blocking(move || operation(&volume)).await {
        Ok(result) => result,
        Err(error) => Err(FileError::Io(std::io::Error::other(error))),
    }
}
