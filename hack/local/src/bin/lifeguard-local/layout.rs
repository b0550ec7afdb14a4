//! Where `up` keeps things.

use std::path::{Path, PathBuf};

use lifeguard_local::{EmulatorOptions, Launch, Lifetime, OperatorOptions, Process, beside};

/// The paths of one local installation. All are absolute, because running processes are recognised by them.
#[derive(Debug, Clone)]
pub struct Layout {
    folder: PathBuf,
    repository: PathBuf,
    lifeguard: PathBuf,
    azure_emulator: PathBuf,
}

impl Layout {
    /// State in `folder`, chart and examples from `repository`, executables from where this one lies.
    pub fn new(folder: &Path, repository: &Path) -> std::io::Result<Self> {
        let executable = std::env::current_exe()?;
        Ok(Self {
            folder: std::path::absolute(folder)?,
            repository: std::path::absolute(repository)?,
            lifeguard: beside(&executable, "lifeguard"),
            azure_emulator: beside(&executable, "azure-emulator"),
        })
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Data, keys and logs of the control plane.
    pub fn control_plane(&self) -> PathBuf {
        self.folder.join("control-plane")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The operator's kubeconfig: the rights of the chart's ServiceAccount.
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.folder.join("operator.kubeconfig")
    }

    /// The emulator's ready line.
    pub fn emulator_line(&self) -> PathBuf {
        self.folder.join("emulator.json")
    }

    /// What a shell sources.
    pub fn environment(&self) -> PathBuf {
        self.folder.join("env")
    }

    /// Held while `up` works, so that two of them do not start things twice.
    pub fn lock(&self) -> PathBuf {
        self.folder.join(".lock")
    }

    /// The chart.
    pub fn chart(&self) -> PathBuf {
        self.repository.join("charts/lifeguard")
    }

    /// The manifests of the demo.
    pub fn quickstart(&self) -> PathBuf {
        self.repository.join("examples/quickstart")
    }

    /// How the emulator is started.
    pub fn emulator_options(&self, lifetime: Lifetime) -> EmulatorOptions {
        EmulatorOptions {
            lifetime,
            ..EmulatorOptions::new(&self.azure_emulator, &self.folder)
        }
    }

    /// How the operator is started.
    pub fn operator_options(&self, cloud: &Path, lifetime: Lifetime) -> OperatorOptions {
        let kubeconfig = self.operator_kubeconfig();
        OperatorOptions {
            arguments: vec!["--log-format".to_owned(), "text".to_owned()],
            lifetime,
            ..OperatorOptions::new(&self.lifeguard, &kubeconfig, cloud, &self.folder)
        }
    }

    /// The emulator or the operator that an earlier `up` left running.
    pub fn left_running(&self, name: &str) -> Option<Process> {
        let program = if name == "emulator" {
            &self.azure_emulator
        } else {
            &self.lifeguard
        };
        Launch {
            name: name.to_owned(),
            program: program.clone(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: self.folder.clone(),
            stdout: None,
            lifetime: Lifetime::Detached,
        }
        .running()
    }
}
