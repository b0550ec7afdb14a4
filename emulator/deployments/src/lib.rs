//! Template deployments of Azure Resource Manager, `Microsoft.Resources/deployments` of a resource group.
//!
//! A host, such as an emulator of Azure, answers the requests and has the resources. What it does with this crate is:
//!
//! 1. read the body of a PUT or of `validate` as a [`DeploymentRequest`];
//! 2. check it as ARM does before anything runs ([`Deployment::new`]) and keep it ([`Deployments::put`]);
//! 3. bring those that are due on ([`Deployments::due`], [`Deployment::advance`]) as often as it likes. This writes, reads
//!    and deletes resources through the host's [`ResourceManager`], with the rights of whoever asked;
//! 4. answer what [`Deployment`] says of itself.
//!
//! The crate opens no connection, keeps no file and has no clock. What ARM's template language has and this crate lacks is
//! refused by its name before anything is written; nothing is guessed.

mod deployment;
mod error;
mod evaluation;
mod expression;
mod functions;
mod json;
mod lenient;
mod outputs;
mod parameters;
mod preflight;
mod records;
mod render;
mod resource_manager;
mod run;
mod scope;
mod steps;
mod template;

pub use deployment::Deployment;
pub use error::DeploymentError;
pub use records::Deployments;
pub use resource_manager::{Answer, Caller, ResourceManager, ResourceType};
pub use scope::Scope;
pub use template::DeploymentRequest;
