//! One observation at an identity, its federated credentials, and the ConfigMap that it is exported to.

use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::{ManagedIdentity, ManagedIdentitySpec};
use crate::azure::managed_identity::{
    MANAGED_IDENTITY_API_VERSION, MANAGED_IDENTITY_TYPE, SHAPE, federated_credentials,
};
use crate::azure::{ArmClient, Location};
use crate::controller::azure_resource::ownership::{Origin, Owner, OwnerMark};
use crate::controller::azure_resource::policy::{Intent, Lifecycle, Situation};
use crate::controller::azure_resource::{
    Body, Dependency, Histories, Observation, Occupants, Placement, Registration, Reports, ResourceState, Subject,
    Tagging, account_key, may_use, open_account, read_state,
};
use crate::controller::context::Context;
use crate::controller::error::{Error, is_credential_refused};

use super::credentials::{CredentialMemory, CredentialsState, take_note};
use super::export::{self, ExportState};
use super::issuer::{ClusterIssuer, Issuer};
use super::{dependents, wanted};

/// What Azure cannot change in an existing identity, in lower case.
const IMMUTABLE: &[&str] = &["location"];

/// What a pass observed of an identity that may be used.
#[derive(Debug, Clone)]
pub struct Details {
    /// Its federated credentials.
    pub credentials: CredentialsState,
    /// Where its ids are exported to.
    pub export: ExportState,
}

/// Looks at the identity itself, and before its deletion at what it has to outlive.
pub async fn identity(
    context: &Context,
    histories: &Histories,
    object: &ManagedIdentity,
) -> Result<Observation, Error> {
    let account = match open_account(context, object).await? {
        Dependency::Met(account) => account,
        Dependency::Blocked(held) => return Ok(Observation::Blocked(held)),
    };
    let subject = Subject::of(object);
    let (uid, namespace) = (object.uid().unwrap_or_default(), object.namespace().unwrap_or_default());
    let placement = Placement {
        namespace: &namespace,
        noun: "identity",
        path: "spec",
        resource_type: MANAGED_IDENTITY_TYPE,
        name: object.spec.azure.name(object.meta()),
        resource_group: object.spec.resource_group.as_deref(),
        resource_group_ref: object.spec.resource_group_ref.as_ref(),
    };
    let known = object.reported().id.as_deref();
    let id = match placement
        .locate(context, &account.account, subject.lifecycle, known)
        .await
    {
        Ok(id) => id,
        Err(held) => return Ok(Observation::Blocked(held)),
    };
    let default_location = account.account.spec().location.as_deref();
    let is_nowhere = object.spec.azure.location.is_none() && default_location.is_none();
    let resource = ResourceState {
        arm: Some(account.account.arm().clone()),
        id,
        api_version: MANAGED_IDENTITY_API_VERSION,
        shape: &SHAPE,
        immutable: IMMUTABLE,
        tagging: Tagging::MergePatch,
        mark: OwnerMark::Tag,
        owner: Owner::new(context.cluster(), &namespace, &object.name_any(), &uid, Origin::Created),
        desired: desired(&object.spec),
        defaults: defaults(default_location),
        actual: None,
        pause: None,
        secrets_digest: None,
        given_secrets_digest: None,
        unwritable: None,
        registration: Registration::NotNeeded,
        occupants: Occupants::None,
        account_is_held: account.is_held,
        history: histories.of(&uid),
        key: context.key().clone(),
    };
    let mut resource = match read_state(context, histories, object, resource).await? {
        Dependency::Met(resource) => resource,
        Dependency::Blocked(held) => return Ok(Observation::Blocked(held)),
    };
    if resource.actual.is_none() && is_nowhere {
        resource.unwritable = Some(
            "spec.location is missing, and so is that of the AzureAccount: say in which region the identity is created"
                .to_owned(),
        );
    }
    let situation = Situation::of(subject.spec, subject.lifecycle, resource.presence());
    if Intent::of(situation) == Intent::Delete {
        let dependents = dependents::occupants(context, object).await;
        if !dependents.is_empty() {
            resource.occupants = Occupants::Ours(dependents);
        }
    }
    Ok(Observation::Seen(Box::new(resource)))
}

/// Looks at what belongs to an identity that is there and may be used; `None` for any other.
pub async fn details(
    context: &Context,
    histories: &Histories<CredentialMemory>,
    issuer: &ClusterIssuer,
    object: &ManagedIdentity,
    observation: &Observation,
) -> Result<Option<Details>, Error> {
    let subject = Subject::of(object);
    let resource = match observation {
        Observation::Seen(resource) if subject.lifecycle == Lifecycle::Wanted && may_use(&subject, resource) => {
            resource
        }
        Observation::Seen(_) | Observation::Blocked(_) => return Ok(None),
    };
    let Some(arm) = &resource.arm else { return Ok(None) };
    let credentials = credentials(context, histories, issuer, object, arm, resource).await;
    if let Err(Error::Azure(error)) = &credentials
        && is_credential_refused(error)
    {
        context.doubt_account(&account_key(object));
    }
    Ok(Some(Details {
        credentials: credentials?,
        export: export::look(context.client(), object).await?,
    }))
}

async fn credentials(
    context: &Context,
    histories: &Histories<CredentialMemory>,
    issuer: &ClusterIssuer,
    object: &ManagedIdentity,
    arm: &ArmClient,
    resource: &ResourceState,
) -> Result<CredentialsState, Error> {
    let spec = &object.spec.federated_credentials;
    let is_recorded = object
        .status
        .as_ref()
        .is_some_and(|it| !it.federated_credentials.is_empty());
    if spec.is_empty() && !is_recorded {
        return Ok(CredentialsState {
            actual: Some(Vec::new()),
            ..CredentialsState::default()
        });
    }
    let (cluster_issuer, issuer_is_untold) = if wanted::needs_cluster_issuer(spec) {
        match issuer.get(context.client()).await? {
            Issuer::Known(issuer) => (Some(issuer), None),
            Issuer::Untold { why } => (None, Some(why)),
        }
    } else {
        (None, None)
    };
    let namespace = object.namespace().unwrap_or_default();
    let audience = &context.cloud().federation_audience;
    let actual = federated_credentials(arm, &resource.id).await?;
    let uid = object.uid().unwrap_or_default();
    let mut history = histories.of(&uid);
    take_note(&mut history, actual.as_deref().unwrap_or_default());
    histories.keep(&uid, history.clone());
    Ok(CredentialsState {
        named: spec.iter().map(|it| it.name.clone()).collect(),
        wanted: wanted::wanted(spec, &namespace, cluster_issuer.as_deref(), audience),
        issuer_is_untold,
        actual,
        history,
    })
}

/// What an identity should be: what the spec sets and nothing else.
pub fn desired(spec: &ManagedIdentitySpec) -> Body {
    let mut properties = json!({});
    if let Some(scope) = spec.isolation_scope {
        properties["isolationScope"] = serde_json::to_value(scope).expect("invariant: an enumeration is plain data");
    }
    let mut body = json!({"tags": spec.azure.tags, "properties": properties});
    if let Some(location) = &spec.azure.location {
        body["location"] = Location::new(location).as_str().into();
    }
    Body(body)
}

/// What a new identity gets where the spec does not say.
pub fn defaults(location: Option<&str>) -> Value {
    json!({"location": location.map(|it| Location::new(it).to_string())})
}
