//! The Azure contract: what goes over the wire to Azure Resource Manager, Microsoft Entra ID and the dynamic-sessions
//! data plane, and what comes back.
//!
//! Nothing here knows Kubernetes or the operator's own kinds. No call waits longer than its deadline, no call is
//! repeated behind the caller's back except as each client documents, and no `Debug`, log line or error holds a secret.

pub mod arm;
pub mod cloud;
pub mod comparison;
pub mod container_app;
pub mod container_group;
pub mod credential;
pub mod error;
pub mod http;
pub mod identity_block;
pub mod location;
pub mod managed_identity;
#[cfg(test)]
pub(crate) mod official_schema;
pub mod operation;
pub mod overlay;
pub mod provider;
pub mod resource_group;
pub mod resource_id;
pub mod role_assignment;
pub mod role_definition;
pub mod scope;
pub mod session;
pub mod session_pool;
pub mod throttle;
pub mod token;
mod turns;

pub use arm::{ArmClient, ArmResponse};
pub use cloud::Cloud;
pub use comparison::{Comparison, Difference, Shape};
pub use credential::{AssertionSource, ClientCertificate, Credential, CredentialError, HostIdentity};
pub use error::{AzureError, ErrorClass};
pub use http::Http;
pub use identity_block::IdentityBlock;
pub use location::Location;
pub use resource_id::ResourceId;
pub use role_assignment::PrincipalId;
pub use role_definition::RoleId;
pub use scope::TokenScope;
pub use session::{Dispatch, SessionClient, SessionError};
pub use throttle::{Gate, Gates};
pub use token::Tokens;
