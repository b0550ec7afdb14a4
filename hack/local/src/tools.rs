//! The programs of the control plane, built at pinned versions by `hack/tools/build`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// The folder with `etcd`, `kube-apiserver`, `kubectl` and `helm`, and `kube-controller-manager` where it is used.
#[derive(Debug, Clone)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Finds the programs: in `LIFEGUARD_TOOLS` where it is set, else by running `hack/tools/build`, which builds those
    /// that are missing (minutes, the first time) and says so on stderr.
    pub fn locate() -> Result<Self, Error> {
        if let Some(folder) = std::env::var_os("LIFEGUARD_TOOLS") {
            return Ok(Self { folder: folder.into() });
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/build");
        let output = Command::new(&script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| Error::Start {
                program: script.display().to_string(),
                source,
            })?;
        if !output.status.success() {
            return Err(Error::Command {
                command: script.display().to_string(),
                status: output.status,
                stderr: "see above".to_owned(),
            });
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        Ok(Self {
            folder: printed.lines().last().unwrap_or_default().into(),
        })
    }

    /// The folder itself, for a `PATH`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
