//! One look at an identity, its federated credentials, and the ConfigMap that it is exported to.

use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::{ManagedIdentity, ManagedIdentitySpec};
use crate::azure::managed_identity::{
    MANAGED_IDENTITY_API_VERSION, MANAGED_IDENTITY_TYPE, SHAPE, federated_credentials,
};
use crate::azure::{ArmClient, Location};
use crate::controller::azure_resource::{
    Body, Dependency, Look, Memories, Occupants, Placement, Registration, Reports, Subject, Tagging, View, account_key,
    look_at, may_use, open_account,
};
use crate::controller::context::Context;
use crate::controller::error::{Error, is_credential_refused};
use crate::controller::ownership::{Origin, Owner, OwnerMark};
use crate::controller::policy::{Decision, Lifecycle, Situation, decide};

use super::credentials::{CredentialMemory, CredentialsView, take_note};
use super::export::{self, ExportView};
use super::issuer::{ClusterIssuer, Issuer};
use super::{dependents, wanted};

/// What Azure cannot change in an existing identity, in lower case.
const IMMUTABLE: &[&str] = &["location"];

/// What a pass observed of an identity that may be used.
#[derive(Debug, Clone)]
pub struct Details {
    /// Its federated credentials.
    pub credentials: CredentialsView,
    /// Where its ids are exported to.
    pub export: ExportView,
}

/// Looks at the identity itself, and before its deletion at what it has to outlive.
pub async fn identity(context: &Context, memories: &Memories, object: &ManagedIdentity) -> Result<Look, Error> {
    let account = match open_account(context, object).await? {
        Dependency::Met(account) => account,
        Dependency::Held(held) => return Ok(Look::Held(held)),
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
        Err(held) => return Ok(Look::Held(held)),
    };
    let default_location = account.account.spec().location.as_deref();
    let is_nowhere = object.spec.azure.location.is_none() && default_location.is_none();
    let view = View {
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
        memory: memories.of(&uid),
        key: context.key().clone(),
    };
    let mut view = match look_at(context, memories, object, view).await? {
        Dependency::Met(view) => view,
        Dependency::Held(held) => return Ok(Look::Held(held)),
    };
    if view.actual.is_none() && is_nowhere {
        view.unwritable = Some(
            "spec.location is missing, and so is that of the AzureAccount: say in which region the identity is created"
                .to_owned(),
        );
    }
    let situation = Situation::of(subject.spec, subject.lifecycle, view.presence());
    if decide(situation) == Decision::Delete {
        let dependents = dependents::occupants(context, object).await;
        if !dependents.is_empty() {
            view.occupants = Occupants::Ours(dependents);
        }
    }
    Ok(Look::Seen(Box::new(view)))
}

/// Looks at what belongs to an identity that is there and may be used; `None` for any other.
pub async fn details(
    context: &Context,
    memories: &Memories<CredentialMemory>,
    issuer: &ClusterIssuer,
    object: &ManagedIdentity,
    look: &Look,
) -> Result<Option<Details>, Error> {
    let subject = Subject::of(object);
    let view = match look {
        Look::Seen(view) if subject.lifecycle == Lifecycle::Wanted && may_use(&subject, view) => view,
        Look::Seen(_) | Look::Held(_) => return Ok(None),
    };
    let Some(arm) = &view.arm else { return Ok(None) };
    let credentials = credentials(context, memories, issuer, object, arm, view).await;
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
    memories: &Memories<CredentialMemory>,
    issuer: &ClusterIssuer,
    object: &ManagedIdentity,
    arm: &ArmClient,
    view: &View,
) -> Result<CredentialsView, Error> {
    let spec = &object.spec.federated_credentials;
    let is_recorded = object
        .status
        .as_ref()
        .is_some_and(|it| !it.federated_credentials.is_empty());
    if spec.is_empty() && !is_recorded {
        return Ok(CredentialsView {
            actual: Some(Vec::new()),
            ..CredentialsView::default()
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
    let actual = federated_credentials(arm, &view.id).await?;
    let uid = object.uid().unwrap_or_default();
    let mut memory = memories.of(&uid);
    take_note(&mut memory, actual.as_deref().unwrap_or_default());
    memories.keep(&uid, memory.clone());
    Ok(CredentialsView {
        named: spec.iter().map(|it| it.name.clone()).collect(),
        wanted: wanted::wanted(spec, &namespace, cluster_issuer.as_deref(), audience),
        issuer_is_untold,
        actual,
        memory,
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
