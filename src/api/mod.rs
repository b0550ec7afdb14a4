//! The Kubernetes contract: the custom resources that users write and read.
//!
//! Nothing here performs I/O or knows Azure's wire format. Azure's own property names and nesting are kept inside
//! `spec`, so that Microsoft's documentation holds word for word; Kubernetes words are used for what is Kubernetes'
//! (references, policies, Job fields, conditions).

pub mod azure_account;
pub mod azure_resource;
pub mod command_job;
pub mod condition;
mod definition;
pub mod environment;
mod form;
pub mod identity;
pub mod identity_assignment;
mod immutable;
pub mod interval;
pub mod managed_identity;
pub mod reference;
pub mod resource_group;
pub mod role_assignment;
mod schema;
pub mod session_pool;
mod spelling;

pub use azure_account::{AzureAccount, AzureAccountSpec, AzureAccountStatus};
pub use command_job::{CommandJob, CommandJobSpec, CommandJobStatus};
#[cfg(test)]
pub(crate) use definition::spec_schema;
pub use definition::{custom_resource_definitions, to_yaml};
pub use identity_assignment::{IdentityAssignment, IdentityAssignmentSpec, IdentityAssignmentStatus};
pub use managed_identity::{ManagedIdentity, ManagedIdentitySpec, ManagedIdentityStatus};
pub use resource_group::{ResourceGroup, ResourceGroupSpec, ResourceGroupStatus};
pub use role_assignment::{RoleAssignment, RoleAssignmentSpec, RoleAssignmentStatus};
pub use session_pool::{SessionPool, SessionPoolSpec, SessionPoolStatus};

/// The API group of every kind.
pub const GROUP: &str = "lifeguard.dev";

/// The only served and stored version so far.
pub const VERSION: &str = "v1alpha1";

/// Prefix of the field manager of each controller's writes; one manager a writer, never one shared by two code paths.
pub const FIELD_MANAGER: &str = "lifeguard.dev";

/// The finalizer of the kinds that own something in Azure. It is set before the first write to Azure.
pub const FINALIZER: &str = "lifeguard.dev/azure-resource";

/// The finalizer that keeps an AzureAccount while objects that use it still have to be removed from Azure.
pub const ACCOUNT_FINALIZER: &str = "lifeguard.dev/in-use";

/// An annotation whose value is the object's UID: the object is let go although its Azure resource could not be
/// deleted. The UID makes it impossible to carry the decision over to another object by accident.
pub const ABANDON_ANNOTATION: &str = "lifeguard.dev/abandon";

/// An annotation that asks for a look at Azure at once. Any new value also makes a write be tried again that Azure refused.
pub const RECONCILE_ANNOTATION: &str = "lifeguard.dev/reconcile-requested-at";

/// The tag on an Azure resource that names its owner.
pub const OWNER_TAG: &str = "lifeguard-owner";
