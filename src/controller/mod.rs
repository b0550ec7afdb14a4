//! What each kind does: observe, plan, at most one step, status.

pub mod accounts;
pub mod azure_account;
pub mod azure_error;
pub mod azure_resource;
pub mod command_job;
pub mod config_maps;
pub mod context;
pub mod error;
pub mod identity_assignment;
pub mod managed_identity;
pub mod object_name;
pub mod operator_key;
pub mod ownership;
pub mod readiness;
pub mod reference;
pub mod resource_group;
pub mod role_assignment;
pub mod secret;
pub mod session_pool;
pub mod waiting;
pub mod watched;

pub use context::{Context, Foundation};
pub use error::Error;
pub use watched::{Sources, Watched};

use crate::config::Config;
use crate::runtime::supervisor::Supervisor;

/// Starts the controllers of all kinds.
pub fn spawn(context: &Context, sources: Sources, config: &Config, supervisor: &mut Supervisor) {
    let Sources {
        azure_accounts,
        resource_groups,
        session_pools,
        managed_identities,
        role_assignments,
        identity_assignments,
        command_jobs,
    } = sources;
    command_job::spawn(context, command_jobs, config, supervisor);
    supervisor.spawn(
        "azureaccounts controller",
        azure_account::controller(context, azure_accounts).run(),
    );
    supervisor.spawn(
        "resourcegroups controller",
        azure_resource::controller(context, resource_groups, ()).run(),
    );
    let grants = role_assignment::Grants::new(&config.grantable_roles);
    supervisor.spawn(
        "roleassignments controller",
        azure_resource::controller(context, role_assignments, grants).run(),
    );
    supervisor.spawn(
        "identityassignments controller",
        identity_assignment::controller(context, identity_assignments).run(),
    );
    supervisor.spawn(
        "sessionpools controller",
        azure_resource::controller(context, session_pools.comparing(session_pool::shown), ()).run(),
    );
    let issuers = managed_identity::Issuers::new(config.service_account_issuer.as_deref(), &config.allowed_issuers);
    supervisor.spawn(
        "managedidentities controller",
        azure_resource::controller(context, managed_identities, issuers).run(),
    );
}
