//! Switches of Azure Resource Manager.

use serde::{Deserialize, Serialize};

use crate::store::OperationOutcome;

/// How Azure Resource Manager behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ArmBehaviour {
    /// How long an asynchronous operation of a resource takes.
    pub operation_seconds: f64,
    /// How long the deletion of a resource group takes, with all that is in it.
    pub group_deletion_seconds: f64,
    /// How long a template deployment stays `Accepted` before its first resource is written, and `Running` after its last.
    pub deployment_phase_seconds: f64,
    /// How long a resource provider stays `Registering` or `Unregistering`.
    pub registration_seconds: f64,
    /// Whether a new subscription has every resource provider registered. Live ones have not.
    pub providers_registered: bool,
    /// How long ARM answers a repeated `x-ms-client-request-id` with the `MissingSubscriptionRegistration` it gave first.
    pub replay_seconds: f64,
    /// Whether asynchronous answers carry `Retry-After` (recorded traffic of session pools and deployments had none; resource groups always do).
    pub retry_after_on_pools: bool,
    /// The `Retry-After` of asynchronous answers.
    pub retry_after_seconds: u32,
    /// Whether creating a pool of a built-in type is asynchronous too (the live service answers at once).
    pub asynchronous_built_in_pools: bool,
    /// The state that an asynchronous operation on a session pool ends in.
    pub pool_outcome: OperationOutcome,
    /// The state that an asynchronous operation on an environment, a container app or a container group ends in.
    pub container_outcome: OperationOutcome,
    /// What happens to properties that an API version does not have.
    pub unknown_properties: UnknownProperties,
    /// How a GET shows the values of the tags of resource groups and session pools. The answers to writes always show what
    /// was sent.
    pub tag_values_on_read: TagValues,
    /// Whether stable API versions take the container types that only previews enumerate (`Shell`, `NodeLTS`).
    pub stable_versions_take_previews: bool,
    /// Shortest cooldown that a pool may have.
    pub minimum_cooldown_seconds: u32,
    /// Longest cooldown that a pool may have.
    pub maximum_cooldown_seconds: u32,
    /// Most concurrent sessions that a pool may have.
    pub maximum_concurrent_sessions: u32,
    /// How many items a page of a list holds.
    pub page_size: usize,
    /// Whether ARM stops requests that exceed the buckets.
    pub throttling: bool,
    /// Reads a principal may make in a subscription.
    pub reads: Bucket,
    /// Writes a principal may make in a subscription.
    pub writes: Bucket,
    /// Deletions a principal may make in a subscription.
    pub deletes: Bucket,
    /// How many times the bucket of a principal fits into the subscription's, of all principals.
    pub global_factor: u32,
    /// Requests to the resource provider of session pools that change something (recorded: 399 left after one).
    pub resource_requests: Bucket,
}

/// What happens to properties that an API version does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnknownProperties {
    /// 400, as the provider of container apps answers.
    Refuse,
    /// They are left out without a word.
    Drop,
}

/// How values of tags are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TagValues {
    /// As they were written, as the live service does.
    AsWritten,
    /// In lower case: a stand-in for whatever a service keeps its own way, and shows so only when it is asked later.
    LowerCase,
}

/// A token bucket (Azure Resource Manager throttling model of 2024).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bucket {
    /// Requests that a full bucket allows.
    pub size: u32,
    /// Requests that come back each second.
    pub refill_per_second: f64,
}

impl Default for ArmBehaviour {
    fn default() -> Self {
        Self {
            operation_seconds: 30.0,
            group_deletion_seconds: 30.0,
            deployment_phase_seconds: 2.0,
            registration_seconds: 30.0,
            providers_registered: false,
            replay_seconds: 600.0,
            retry_after_on_pools: false,
            retry_after_seconds: 15,
            asynchronous_built_in_pools: false,
            pool_outcome: OperationOutcome::Succeeded,
            container_outcome: OperationOutcome::Succeeded,
            unknown_properties: UnknownProperties::Refuse,
            tag_values_on_read: TagValues::AsWritten,
            stable_versions_take_previews: false,
            minimum_cooldown_seconds: 300,
            maximum_cooldown_seconds: 3600,
            maximum_concurrent_sessions: 600,
            page_size: 100,
            throttling: true,
            reads: Bucket {
                size: 250,
                refill_per_second: 25.0,
            },
            writes: Bucket {
                size: 200,
                refill_per_second: 10.0,
            },
            deletes: Bucket {
                size: 200,
                refill_per_second: 10.0,
            },
            global_factor: 15,
            resource_requests: Bucket {
                size: 400,
                refill_per_second: 20.0,
            },
        }
    }
}
