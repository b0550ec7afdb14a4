//! The surroundings of the operator as local processes: a real Kubernetes control plane, the Azure emulator and the
//! operator itself, for tests, benchmarks and the demo. Nothing is containerised and everything listens on loopback only.
//!
//! Processes are known by their executables and command lines alone: this crate depends on neither the operator nor
//! the emulator. It blocks and needs no runtime, so that it can be called from anywhere.
//!
//! ```no_run
//! use lifeguard_local::{ControlPlane, Emulator, EmulatorOptions, Options, Operator, OperatorOptions};
//!
//! # fn main() -> Result<(), lifeguard_local::Error> {
//! # let (lifeguard, azure_emulator) = (std::path::Path::new("lifeguard"), std::path::Path::new("azure-emulator"));
//! let cluster = ControlPlane::start(&Options::default())?;
//! let emulator = Emulator::spawn(EmulatorOptions::new(azure_emulator, cluster.folder()))?;
//! cluster.helm().install("lifeguard", "charts/lifeguard".as_ref(), "lifeguard-system", &[])?;
//! emulator.register_issuer(ControlPlane::ISSUER, &cluster.jwks()?)?;
//! let kubeconfig = cluster.kubeconfig_for_service_account("lifeguard-system", "lifeguard")?;
//! let operator = Operator::spawn(OperatorOptions::new(lifeguard, &kubeconfig, &emulator.ready().cloud, cluster.folder()))?;
//! operator.kill();
//! operator.restart()?;
//! # Ok(())
//! # }
//! ```

mod application_certificate;
pub mod control_plane;
mod emulator;
mod error;
mod helm;
mod kubeconfig;
mod kubectl;
mod operator;
mod pki;
mod process;
mod temporary;
mod tools;

use std::path::{Path, PathBuf};

pub use application_certificate::ApplicationCertificate;
pub use control_plane::{ControlPlane, Options};
pub use emulator::{Emulator, EmulatorOptions, ReadyLine, ready_line};
pub use error::Error;
pub use helm::Helm;
pub use kubectl::Kubectl;
pub use operator::{Operator, OperatorOptions};
pub use pki::write_private;
pub use process::{Launch, Lifetime, Process};
pub use temporary::temporary_folder;
pub use tools::Tools;

/// The executable `name` that was built into the same target folder as `executable` (which may be a test, one folder
/// deeper).
pub fn beside(executable: &Path, name: &str) -> PathBuf {
    let folder = executable.parent().unwrap_or(Path::new("."));
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    folder.join(name)
}
