//! One observation at a session pool.

use kube::{Resource, ResourceExt};

use crate::api::SessionPool;
use crate::api::condition::Reason;
use crate::azure::session_pool::{PoolApiVersion, SESSION_POOL_TYPE, SHAPE, foreign_secrets};
use crate::controller::azure_resource::ownership::{Origin, Owner, OwnerMark};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{
    Blocked, Dependency, Histories, Observation, Occupants, Placement, Registration, Reports, ResourceState, Subject,
    Tagging, open_account, read_state,
};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::readiness::Verdict;
use crate::runtime::Next;

use super::body;
use super::identities::{Identities, settings_left};
use super::secrets::{self, SecretError, SecretValue};

/// What Azure cannot change in an existing pool, in lower case.
const IMMUTABLE: &[&str] = &["location", "properties.containertype", "properties.environmentid"];

/// Looks at the pool, once its account, its group, its secrets and its identities are there. A pool that is being deleted
/// needs no secrets and no identities.
pub async fn observe(context: &Context, histories: &Histories, object: &SessionPool) -> Result<Observation, Error> {
    let account = match open_account(context, object).await? {
        Dependency::Met(account) => account,
        Dependency::Blocked(held) => return Ok(Observation::Blocked(held)),
    };
    let uid = object.uid().unwrap_or_default();
    let namespace = object.namespace().unwrap_or_default();
    let placement = Placement {
        namespace: &namespace,
        noun: "session pool",
        path: "spec",
        resource_type: SESSION_POOL_TYPE,
        name: object.spec.azure.name(&object.metadata),
        resource_group: object.spec.resource_group.as_deref(),
        resource_group_ref: object.spec.resource_group_ref.as_ref(),
    };
    let lifecycle = Subject::of(object).lifecycle;
    let known = object.reported().id.as_deref();
    let id = match placement.locate(context, &account.account, lifecycle, known).await {
        Ok(id) => id,
        Err(held) => return Ok(Observation::Blocked(held)),
    };
    let history = histories.of(&uid);
    let given = history
        .secrets_digest
        .clone()
        .or_else(|| object.status.as_ref()?.secrets_digest.clone());
    let values = match desired_secrets(context, &namespace, object, given.is_some()).await? {
        Dependency::Met(values) => values,
        Dependency::Blocked(held) => return Ok(Observation::Blocked(held)),
    };
    let identities = match lifecycle {
        Lifecycle::Deleted => None,
        Lifecycle::Wanted => match Identities::find(context, &namespace, &object.spec).await {
            Ok(identities) => Some(identities),
            Err(held) => return Ok(Observation::Blocked(held)),
        },
    };
    let desired = body::desired(&object.spec, values.as_deref(), identities.as_ref());
    let default_location = account.account.spec().location.as_deref();
    let is_nowhere = object.spec.azure.location.is_none() && default_location.is_none();
    let resource = ResourceState {
        arm: Some(account.account.arm().clone()),
        id,
        api_version: PoolApiVersion::for_properties(&desired.0["properties"]).as_str(),
        shape: &SHAPE,
        immutable: IMMUTABLE,
        tagging: Tagging::MergePatch,
        mark: OwnerMark::Tag,
        owner: Owner::new(context.cluster(), &namespace, &object.name_any(), &uid, Origin::Created),
        defaults: body::defaults(default_location),
        actual: None,
        pause: None,
        secrets_digest: values
            .as_deref()
            .filter(|values| !values.is_empty())
            .map(|values| secrets::digest(values, context.key())),
        given_secrets_digest: given,
        unwritable: None,
        registration: Registration::NotNeeded,
        occupants: Occupants::None,
        account_is_held: account.is_held,
        history,
        key: context.key().clone(),
        desired,
    };
    let mut resource = match read_state(context, histories, object, resource).await? {
        Dependency::Met(resource) => resource,
        Dependency::Blocked(held) => return Ok(Observation::Blocked(held)),
    };
    let left = resource
        .actual
        .as_ref()
        .and_then(|actual| settings_left(&resource.desired.0, actual));
    if let Some(settings) = left {
        resource.desired.0["properties"]["managedIdentitySettings"] = settings;
    }
    resource.unwritable = match &resource.actual {
        None if is_nowhere => Some(
            "spec.location is missing, and so is that of the AzureAccount: say in which region the pool is created"
                .to_owned(),
        ),
        Some(actual) if values.is_none() => unknown_secrets(&foreign_secrets(actual, &resource.desired.0)),
        None | Some(_) => None,
    };
    Ok(Observation::Seen(Box::new(resource)))
}

/// The values of the pool's secrets; `None` if the spec leaves its secrets alone. Once they were given, a spec without
/// secrets takes them away again.
async fn desired_secrets(
    context: &Context,
    namespace: &str,
    object: &SessionPool,
    were_given: bool,
) -> Result<Dependency<Option<Vec<SecretValue>>>, Error> {
    let is_deleted = object.meta().deletion_timestamp.is_some();
    if is_deleted || (object.spec.secrets.is_empty() && !were_given) {
        return Ok(Dependency::Met(None));
    }
    match secrets::read(context.client(), namespace, &object.spec.secrets).await {
        Ok(values) => Ok(Dependency::Met(Some(values))),
        Err(SecretError::Api(error)) => Err(error.into()),
        Err(error @ SecretError::Missing { .. }) => Ok(Dependency::Blocked(Blocked {
            verdict: Verdict::progressing(Reason::SecretNotFound, error.to_string()),
            // Secrets are not watched.
            next: Next::Poll { after: None },
            is_credential_gone: false,
        })),
    }
}

fn unknown_secrets(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| {
        format!(
            "the pool has secrets that spec.secrets does not name: {}. Azure never returns their values, so any write would \
             lose them: name them in spec.secrets",
            names.join(", ")
        )
    })
}
