//! Temporary folders that never pile up.

use std::fs;
use std::path::Path;

use crate::Error;

/// A new temporary folder, named after this process. Folders of processes that are gone are removed: a control plane in
/// a `static` is never dropped, and etcd's files are large.
pub fn temporary_folder() -> Result<tempfile::TempDir, Error> {
    const PREFIX: &str = "lifeguard-local-";
    let parent = std::env::temp_dir();
    for entry in fs::read_dir(&parent).map_err(Error::file("read", &parent))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if Path::new("/proc").is_dir() && !Path::new("/proc").join(owner).exists() {
            // Another run may be removing the same folder.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir_in(&parent)
        .map_err(Error::file("create a folder in", &parent))
}
