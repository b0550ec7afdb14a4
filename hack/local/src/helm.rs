//! `helm` at the pinned version, for one kubeconfig.

use std::path::{Path, PathBuf};

use crate::{Error, Tools, kubectl};

/// Runs `helm` with one kubeconfig.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Helm {
    /// `helm` of `tools` with the kubeconfig at `kubeconfig`.
    pub fn new(tools: &Tools, kubeconfig: &Path) -> Self {
        Self {
            program: tools.program("helm"),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// Runs one command and returns its stdout. A failure carries its stderr.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String, Error> {
        kubectl::run(&self.program, &self.kubeconfig, arguments, "")
    }

    /// Installs or upgrades a release of the chart in the folder `chart`, creating the namespace. `values` are `--set`
    /// expressions. Does not wait for workloads: the local control plane has no nodes. So the image that the chart asks
    /// for is named and need not exist.
    pub fn install(&self, release: &str, chart: &Path, namespace: &str, values: &[&str]) -> Result<String, Error> {
        let chart = chart.to_string_lossy();
        let mut arguments = vec!["upgrade", "--install", release, &*chart];
        arguments.extend(["--namespace", namespace, "--create-namespace"]);
        arguments.extend(["--set", "image.repository=lifeguard"]);
        for value in values {
            arguments.extend(["--set", value]);
        }
        self.run(&arguments)
    }
}
