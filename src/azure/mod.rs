//! The Azure contract: what goes over the wire to Azure Resource Manager, Microsoft Entra ID and the dynamic-sessions
//! data plane, and what comes back.
//!
//! Nothing here knows Kubernetes or the operator's own kinds. No call waits longer than its deadline, no call is
//! repeated behind the caller's back except as each client documents, and no `Debug`, log line or error holds a secret.

pub mod arm;
pub mod cloud;
pub mod comparison;
pub mod credential;
pub mod error;
pub mod http;
pub mod location;
pub mod operation;
pub mod overlay;
pub mod provider;
pub mod resource_group;
pub mod resource_id;
pub mod scope;
pub mod session;
pub mod session_pool;
pub mod throttle;
pub mod token;

pub use arm::{ArmClient, ArmResponse};
pub use cloud::Cloud;
pub use comparison::{Comparison, Difference, Shape};
pub use credential::{AssertionSource, Credential, CredentialError};
pub use error::{AzureError, ErrorClass};
pub use http::Http;
pub use location::Location;
pub use resource_id::ResourceId;
pub use scope::Scope;
pub use session::{Dispatch, SessionClient, SessionError};
pub use throttle::{Gate, Gates};
pub use token::Tokens;

#[cfg(test)]
mod boundary {
    use std::path::Path;

    fn sources(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("the source folder is readable") {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn the_azure_contract_knows_nothing_of_the_rest_of_the_operator() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/azure"), &mut files);
        assert!(files.len() > 10, "the folder was not found");
        // Built from parts, so that this file does not find itself.
        let ours = ["crate", "::"].concat();
        let allowed = ["crate", "::azure"].concat();
        let kubernetes = [["ku", "be::"].concat(), ["k8s_", "openapi"].concat()];
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a source file is readable");
            for line in text.lines() {
                let outside = line.matches(&ours).count() > line.matches(&allowed).count();
                assert!(!outside, "{}: {line}", file.display());
                assert!(
                    !kubernetes.iter().any(|name| line.contains(name)),
                    "{}: {line}",
                    file.display()
                );
            }
        }
    }
}
