//! Files of a session on disk, reached so that no link in it leads out of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RawMode, ResolveFlags, Stat, fchown, fstat, mkdirat, openat2, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::files::FileError;
use super::host::Owner;
use super::path::{DirectoryPath, FileName};
use super::volume::{Content, EntryKind, FileEntry};

/// Files up to this size are read at once; larger ones are handed out opened.
const INLINE_BYTES: u64 = 1 << 20;

/// Entries that one listing returns at most.
const MAX_ENTRIES: usize = 10_000;

/// A path that names the directory itself.
const HERE: &str = ".";

/// The directory that a session has mounted at `/mnt/data`.
///
/// Every path is resolved by the kernel beneath it (`openat2`, `RESOLVE_BENEATH`): links that stay within it are
/// followed, absolute links and those that lead out of it are as if they were not there.
#[derive(Debug)]
pub struct DirectoryVolume {
    root: OwnedFd,
    owner: Option<Owner>,
}

impl DirectoryVolume {
    /// Opens the directory. What is created in it will belong to `owner`.
    pub(super) fn open(directory: &Path, owner: Option<Owner>) -> io::Result<Self> {
        Ok(Self {
            root: File::open(directory)?.into(),
            owner,
        })
    }

    pub(super) fn list(&self, directory: &DirectoryPath, recursive: bool) -> Result<Vec<FileEntry>, FileError> {
        let mut entries = Vec::new();
        let mut queue = VecDeque::from([(directory.as_str().to_owned(), true)]);
        while let Some((path, is_first)) = queue.pop_front() {
            let opened = match self.open_directory(&path) {
                Ok(opened) => opened,
                // A session may remove or replace a directory while it is being listed.
                Err(_) if !is_first => continue,
                Err(error) => return Err(error),
            };
            for entry in Dir::read_from(&opened).map_err(io::Error::from)? {
                let entry = entry.map_err(io::Error::from)?;
                let Ok(name) = entry.file_name().to_str() else { continue };
                if matches!(name, "." | "..") {
                    continue;
                }
                let Ok(stat) = self.stat_entry(&opened, &path, name) else {
                    continue;
                };
                let Some(entry) = describe(&stat, &path, name) else {
                    continue;
                };
                let is_real_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                if recursive && is_real_directory {
                    queue.push_back((join(&path, name), false));
                }
                entries.push(entry);
                if entries.len() == MAX_ENTRIES {
                    return Ok(entries);
                }
            }
        }
        entries.sort_by(|a, b| (&a.directory, &a.name).cmp(&(&b.directory, &b.name)));
        Ok(entries)
    }

    pub(super) fn metadata(&self, directory: &DirectoryPath, name: &FileName) -> Result<FileEntry, FileError> {
        let path = join(directory.as_str(), name.as_str());
        let file = self.resolve(&path, OFlags::PATH)?;
        let stat = fstat(&file).map_err(io::Error::from)?;
        describe(&stat, directory.as_str(), name.as_str()).ok_or(FileError::NotAFile(path))
    }

    pub(super) fn read(&self, directory: &DirectoryPath, name: &FileName) -> Result<Content, FileError> {
        let path = join(directory.as_str(), name.as_str());
        // Without blocking, because opening a pipe would wait for its writer.
        let file = self.resolve(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let bytes = regular_size(&file, &path)?;
        let mut file = File::from(file);
        if bytes > INLINE_BYTES {
            return Ok(Content::File(file, bytes));
        }
        let mut content = Vec::new();
        (&mut file).take(bytes).read_to_end(&mut content)?;
        Ok(Content::Bytes(Bytes::from(content)))
    }

    pub(super) fn write(
        &self,
        directory: &DirectoryPath,
        name: &FileName,
        content: &[u8],
    ) -> Result<FileEntry, FileError> {
        self.make_directories(directory)?;
        let path = join(directory.as_str(), name.as_str());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.resolve(&path, flags)?;
        regular_size(&file, &path)?;
        self.give_away(&file)?;
        let mut file = File::from(file);
        file.set_len(0)?;
        file.write_all(content)?;
        let stat = fstat(&file).map_err(io::Error::from)?;
        describe(&stat, directory.as_str(), name.as_str()).ok_or(FileError::NotAFile(path))
    }

    pub(super) fn remove(&self, directory: &DirectoryPath, name: &FileName) -> Result<(), FileError> {
        let opened = self.open_directory(directory.as_str())?;
        unlinkat(&opened, name.as_str(), AtFlags::empty())
            .map_err(|error| refused(error, &join(directory.as_str(), name.as_str())))
    }

    /// What a listed name is: links are followed within the data directory only.
    fn stat_entry(&self, opened: &OwnedFd, path: &str, name: &str) -> Result<Stat, FileError> {
        let stat = statat(opened, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(stat);
        }
        let target = self.resolve(&join(path, name), OFlags::PATH)?;
        let stat = fstat(&target).map_err(io::Error::from)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(stat),
            // A listing that follows links to directories may never end.
            _ => Err(FileError::NotAFile(name.to_owned())),
        }
    }

    fn make_directories(&self, directory: &DirectoryPath) -> Result<(), FileError> {
        let mut path = String::new();
        for segment in directory.segments() {
            let parent = self.open_directory(&path)?;
            path = join(&path, segment);
            match mkdirat(&parent, segment, Mode::from_raw_mode(0o755)) {
                Ok(()) => self.give_away(&self.open_directory(&path)?)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(refused(error, &path)),
            }
        }
        Ok(())
    }

    fn open_directory(&self, path: &str) -> Result<OwnedFd, FileError> {
        let path = if path.is_empty() { HERE } else { path };
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The one way in which a path of a session is opened.
    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, FileError> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mode = if flags.contains(OFlags::CREATE) {
            Mode::from_raw_mode(0o644)
        } else {
            Mode::empty()
        };
        loop {
            match openat2(&self.root, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // Something was renamed while the kernel was on its way.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Ok(opened) => return Ok(opened),
                Err(error) => return Err(refused(error, path)),
            }
        }
    }

    fn give_away(&self, file: &OwnedFd) -> Result<(), FileError> {
        if let Some(owner) = self.owner {
            fchown(file, Some(owner.uid()), Some(owner.gid())).map_err(io::Error::from)?;
        }
        Ok(())
    }
}

/// Removes the directory of a session that has ended, whatever modes it gave to its directories.
pub(super) fn remove_tree(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(directory)?;
            std::fs::remove_dir_all(directory)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes every directory one that its owner can read and change. The session's processes have ended, so nothing moves.
fn open_up(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

fn regular_size(file: &OwnedFd, path: &str) -> Result<u64, FileError> {
    let stat = fstat(file).map_err(io::Error::from)?;
    match FileType::from_raw_mode(stat.st_mode as RawMode) {
        FileType::RegularFile => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
        _ => Err(FileError::NotAFile(path.to_owned())),
    }
}

fn describe(stat: &Stat, directory: &str, name: &str) -> Option<FileEntry> {
    let (kind, bytes) = match FileType::from_raw_mode(stat.st_mode as RawMode) {
        FileType::RegularFile => (EntryKind::File, u64::try_from(stat.st_size).unwrap_or(0)),
        FileType::Directory => (EntryKind::Directory, 0),
        _ => return None,
    };
    let nanoseconds = i32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let modified = Timestamp::new(stat.st_mtime, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let directory = DirectoryPath::of_listing(directory);
    Some(FileEntry {
        name: name.to_owned(),
        directory,
        kind,
        bytes,
        modified,
    })
}

fn refused(error: Errno, path: &str) -> FileError {
    match error {
        // XDEV: the path leads out of the data directory.
        Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP => FileError::NotFound(path.to_owned()),
        // NXIO: a pipe that nobody reads, opened for writing.
        Errno::ISDIR | Errno::NXIO | Errno::PERM => FileError::NotAFile(path.to_owned()),
        error => FileError::Io(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn volume() -> (tempfile::TempDir, DirectoryVolume) {
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir(outside.path().join("data")).unwrap();
        std::fs::write(outside.path().join("secret"), "the machine's").unwrap();
        let volume = DirectoryVolume::open(&outside.path().join("data"), None).unwrap();
        (outside, volume)
    }

    fn at(directory: &str) -> DirectoryPath {
        DirectoryPath::parse(directory).unwrap()
    }

    fn named(name: &str) -> FileName {
        FileName::parse(name).unwrap()
    }

    fn text(content: Content) -> String {
        match content {
            Content::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Content::File(file, bytes) => io::read_to_string(file.take(bytes)).unwrap(),
        }
    }

    #[test]
    fn a_file_is_written_replaced_listed_read_and_removed() {
        let (_outside, volume) = volume();
        volume.write(&at("a/b"), &named("f.txt"), b"a longer text").unwrap();
        let entry = volume.write(&at("a/b"), &named("f.txt"), b"text").unwrap();
        assert_eq!((entry.bytes, entry.kind), (4, EntryKind::File));
        assert_eq!(text(volume.read(&at("a/b"), &named("f.txt")).unwrap()), "text");
        let names = |recursive| -> Vec<String> {
            volume
                .list(&at(""), recursive)
                .unwrap()
                .into_iter()
                .map(|entry| entry.name)
                .collect()
        };
        assert_eq!(names(false), ["a"]);
        assert_eq!(names(true), ["a", "b", "f.txt"]);
        volume.remove(&at("a/b"), &named("f.txt")).unwrap();
        assert!(matches!(
            volume.read(&at("a/b"), &named("f.txt")),
            Err(FileError::NotFound(_))
        ));
    }

    #[test]
    fn links_that_lead_out_are_as_if_they_were_not_there() {
        let (outside, volume) = volume();
        let data = outside.path().join("data");
        symlink("../secret", data.join("up")).unwrap();
        symlink(outside.path().join("secret"), data.join("absolute")).unwrap();
        symlink("..", data.join("parent")).unwrap();
        symlink("/proc/self/root", data.join("magic")).unwrap();
        for name in ["up", "absolute", "magic"] {
            assert!(
                matches!(volume.read(&at(""), &named(name)), Err(FileError::NotFound(_))),
                "read {name}"
            );
            assert!(
                matches!(volume.metadata(&at(""), &named(name)), Err(FileError::NotFound(_))),
                "metadata {name}"
            );
            assert!(volume.write(&at(""), &named(name), b"changed").is_err(), "write {name}");
        }
        assert!(volume.read(&at("parent"), &named("secret")).is_err());
        assert!(volume.write(&at("parent"), &named("new"), b"x").is_err());
        assert!(volume.remove(&at("parent"), &named("secret")).is_err());
        assert!(volume.list(&at("parent"), true).is_err());
        assert!(volume.list(&at(""), true).unwrap().is_empty());
        assert_eq!(
            std::fs::read_to_string(outside.path().join("secret")).unwrap(),
            "the machine's"
        );
        assert!(!outside.path().join("new").exists());
    }

    #[test]
    fn links_within_the_data_directory_work() {
        let (outside, volume) = volume();
        volume.write(&at("real"), &named("f"), b"text").unwrap();
        symlink("real/f", outside.path().join("data/link")).unwrap();
        assert_eq!(text(volume.read(&at(""), &named("link")).unwrap()), "text");
    }

    #[test]
    fn a_pipe_or_a_directory_is_no_file_and_never_blocks() {
        let (outside, volume) = volume();
        let pipe = outside.path().join("data/pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        std::fs::create_dir(outside.path().join("data/directory")).unwrap();
        for name in ["pipe", "directory"] {
            assert!(
                matches!(volume.read(&at(""), &named(name)), Err(FileError::NotAFile(_))),
                "read {name}"
            );
            assert!(
                matches!(volume.write(&at(""), &named(name), b"x"), Err(FileError::NotAFile(_))),
                "write {name}"
            );
        }
    }

    #[test]
    fn a_large_file_is_handed_out_opened() {
        let (_outside, volume) = volume();
        let content = vec![b'x'; usize::try_from(INLINE_BYTES).unwrap() + 1];
        volume.write(&at(""), &named("large"), &content).unwrap();
        let read = volume.read(&at(""), &named("large")).unwrap();
        assert!(matches!(read, Content::File(_, bytes) if bytes == INLINE_BYTES + 1));
        assert_eq!(text(read).len(), content.len());
    }
}
