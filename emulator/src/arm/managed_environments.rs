//! `Microsoft.App/managedEnvironments`, as far as container apps need them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::{self, Act};
use super::app_shape::{self, Members, Shape};
use super::identity_block::{self, Owner, Write};
use super::kinds::{self, Kind};
use super::long_running;
use super::target::{self, Target};
use super::{ArmError, ArmReply, ArmRequest, paging, tags};
use crate::json::{get, get_str};
use crate::store::{PendingKind, Resource, Store};

/// Action that whoever puts an app or a session pool into an environment must be allowed on it.
const JOIN: &str = "Microsoft.App/managedEnvironments/join/action";

/// Type of environments as ARM's metadata spell it.
pub const TYPE: &str = "Microsoft.App/managedEnvironments";

const TOP: Members<'static> = Members {
    writable: &["location", "tags", "identity", "kind", "properties"],
    preview: &[],
    read_only: &["id", "name", "type", "systemData"],
    view: "ManagedEnvironment",
};
const PROPERTIES: Members<'static> = Members {
    writable: &[
        "appLogsConfiguration",
        "customDomainConfiguration",
        "daprAIConnectionString",
        "daprAIInstrumentationKey",
        "daprConfiguration",
        "infrastructureResourceGroup",
        "ingressConfiguration",
        "kedaConfiguration",
        "peerAuthentication",
        "peerTrafficConfiguration",
        "publicNetworkAccess",
        "vnetConfiguration",
        "workloadProfiles",
        "zoneRedundant",
    ],
    preview: &[
        "appInsightsConfiguration",
        "availabilityZones",
        "diskEncryptionConfiguration",
        "openTelemetryConfiguration",
    ],
    read_only: &[
        "defaultDomain",
        "deploymentErrors",
        "eventStreamEndpoint",
        "privateEndpointConnections",
        "privateLinkDefaultDomain",
        "provisioningState",
        "staticIp",
    ],
    view: "ManagedEnvironment",
};

/// Members that have to be objects or lists for the body to be read.
const KINDS: &[(&str, Kind)] = &[
    ("appInsightsConfiguration", Kind::Object),
    ("appLogsConfiguration", Kind::Object),
    ("appLogsConfiguration.logAnalyticsConfiguration", Kind::Object),
    ("customDomainConfiguration", Kind::Object),
    ("openTelemetryConfiguration", Kind::Object),
    ("openTelemetryConfiguration.destinationsConfiguration", Kind::Object),
    ("vnetConfiguration", Kind::Object),
    ("workloadProfiles", Kind::Objects),
];

/// What can be written and is null in every answer, as paths of members; the first in ARM's spelling.
const WRITE_ONLY: &[&[&str]] = &[
    &["daprAIConnectionString"],
    &["daprAIInstrumentationKey"],
    &["appInsightsConfiguration", "connectionString"],
    &["appLogsConfiguration", "logAnalyticsConfiguration", "sharedKey"],
    &["customDomainConfiguration", "certificatePassword"],
    &["customDomainConfiguration", "certificateValue"],
    &[
        "openTelemetryConfiguration",
        "destinationsConfiguration",
        "dataDogConfiguration",
        "key",
    ],
    &[
        "openTelemetryConfiguration",
        "destinationsConfiguration",
        "otlpConfigurations",
        "headers",
        "value",
    ],
];

/// PUT: creates or replaces.
pub fn put(request: &ArmRequest<'_>, store: &mut Store, environment: &Target) -> Result<ArmReply, ArmError> {
    environment.enter(request, store, "write")?;
    let arm = &request.state.behaviour().arm;
    let body = Value::Object(TOP.read(&request.body()?, request.api_version, arm)?);
    let location = target::location(&body, TYPE)?;
    let tags = tags::read(get(&body, "tags"))?;
    let given = get(&body, "properties").cloned().unwrap_or_else(|| json!({}));
    kinds::check(&given, KINDS)?;
    let mut properties = PROPERTIES.read(&given, request.api_version, arm)?;
    app_shape::drop_nulls(&mut properties);

    let (mut resource, created) = environment.find_or_new(request, store, location)?;
    refuse_busy(&resource)?;
    let owner = Owner {
        id: &environment.id(),
        action: "Microsoft.App/managedEnvironments/write",
        before: resource.identity.as_ref(),
    };
    resource.identity = identity_block::read(request, store, owner, get(&body, "identity"), Write::Replace)?;
    resource.tags = tags;
    resource.properties = Value::Object(properties);
    target::touch(&mut resource, request);
    let kind = if created {
        PendingKind::Create
    } else {
        PendingKind::Update
    };
    let due = long_running::begin(request, &mut resource, kind);
    let location = resource.location.clone();
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let reply = ArmReply::json(status, render(&resource, Shape::Write)).by_provider();
    store.put_resource(resource, request.now);
    let Some(due) = due else { return Ok(reply) };
    let operation = long_running::remember(request, store, environment, kind, due);
    let url = long_running::app_url(
        request,
        environment,
        &location,
        "managedEnvironmentOperationStatuses",
        &operation,
    );
    Ok(long_running::with_url(request, reply, "azure-asyncoperation", url))
}

/// GET.
pub fn get_one(request: &ArmRequest<'_>, store: &mut Store, environment: &Target) -> Result<ArmReply, ArmError> {
    environment.enter(request, store, "read")?;
    Ok(ArmReply::ok(render(environment.find(store)?, Shape::Read)).by_provider())
}

/// DELETE: 202 with `Location`, or 204 where there is none; one that container apps are in is refused.
pub fn delete(request: &ArmRequest<'_>, store: &mut Store, environment: &Target) -> Result<ArmReply, ArmError> {
    environment.enter(request, store, "delete")?;
    let Some(mut resource) = store.resource(&environment.id()).cloned() else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    let used = |one: &&Resource| {
        ["managedEnvironmentId", "environmentId"]
            .iter()
            .filter_map(|name| get_str(&one.properties, name))
            .any(|id| id.eq_ignore_ascii_case(&resource.id))
    };
    if let Some(user) = store.resources.values().find(used) {
        return Err(ArmError::new(
            StatusCode::CONFLICT,
            "ManagedEnvironmentNotEmpty",
            format!(
                "The managed environment '{}' cannot be deleted because '{}' is in it.",
                resource.name, user.id
            ),
        ));
    }
    let due = long_running::begin(request, &mut resource, PendingKind::Delete);
    let location = resource.location.clone();
    store.put_resource(resource, request.now);
    let Some(due) = due else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT).by_provider());
    };
    let operation = long_running::remember(request, store, environment, PendingKind::Delete, due);
    let url = long_running::app_url(
        request,
        environment,
        &location,
        "managedEnvironmentOperationResults",
        &operation,
    );
    let reply = ArmReply::empty(StatusCode::ACCEPTED).by_provider();
    Ok(long_running::with_url(request, reply, "location", url))
}

/// GET on the collection of a group or of the subscription.
pub fn list(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    group: Option<&str>,
) -> Result<ArmReply, ArmError> {
    let items = target::list(request, store, TYPE, subscription, group)?
        .into_iter()
        .map(|resource| render(resource, Shape::Read))
        .collect();
    Ok(paging::page(request, items).by_provider())
}

/// The environment as it is answered. Keys, passwords and connection strings can be written, never read.
pub fn render(resource: &Resource, shape: Shape) -> Value {
    let mut body = app_shape::envelope(resource, resource.id.clone(), shape);
    let mut properties = resource.properties.as_object().cloned().unwrap_or_default();
    for secret in WRITE_ONLY {
        if let [member, inner @ ..] = secret
            && let Some(value) = properties.get_mut(*member)
        {
            hide(value, inner);
        }
    }
    let mut show = |name: &str, value: Value| properties.insert(name.to_owned(), value);
    show("provisioningState", json!(state(resource)));
    show("defaultDomain", json!(default_domain(&resource.id, &resource.location)));
    show("staticIp", json!("203.0.113.10"));
    body.insert("properties".to_owned(), Value::Object(properties));
    Value::Object(body)
}

/// Takes away what is at the end of a path, in every item of the lists on it and whatever the case of the names.
fn hide(value: &mut Value, path: &[&str]) {
    match (value, path) {
        (value, []) => *value = Value::Null,
        (Value::Array(items), path) => items.iter_mut().for_each(|item| hide(item, path)),
        (Value::Object(members), [name, inner @ ..]) => members
            .iter_mut()
            .filter(|(member, _)| member.eq_ignore_ascii_case(name))
            .for_each(|(_, member)| hide(member, inner)),
        _ => {}
    }
}

/// Domain below which the apps of an environment are: `env-1a2b3c4d.westeurope.azurecontainerapps.io`.
pub fn default_domain(environment_id: &str, location: &str) -> String {
    let lower = environment_id.to_ascii_lowercase();
    let label = Uuid::new_v5(&Uuid::NAMESPACE_URL, lower.as_bytes())
        .simple()
        .to_string();
    format!("env-{}.{location}.azurecontainerapps.io", &label[..8])
}

/// Refuses what is to be created in an environment (`own`) unless that is there, may be joined and is ready.
pub fn require(request: &ArmRequest<'_>, store: &Store, own: Act<'_>, id: &str) -> Result<(), ArmError> {
    let environment = store
        .resource(id)
        .filter(|one| one.resource_type == TYPE)
        .ok_or_else(|| {
            let name = id.rsplit('/').next().unwrap_or_default();
            ArmError::new(
                StatusCode::NOT_FOUND,
                "ManagedEnvironmentNotFound",
                format!("The managed environment '{name}' was not found (id '{id}')."),
            )
        })?;
    access::authorize_linked(request, store, own, (JOIN, &environment.id))?;
    if is_ready(environment) {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "ManagedEnvironmentNotReadyForAppCreation",
        format!(
            "The environment '{}' is not ready for the creation of apps.",
            environment.name
        ),
    ))
}

/// Whether something can be created in it now.
fn is_ready(resource: &Resource) -> bool {
    state(resource) == "Succeeded"
        || resource
            .pending
            .as_ref()
            .is_some_and(|one| one.kind == PendingKind::Update)
}

/// Environments have states of their own while something is under way.
fn state(resource: &Resource) -> &str {
    match resource.pending.as_ref().map(|pending| pending.kind) {
        None => &resource.provisioning_state,
        Some(PendingKind::Create | PendingKind::Update) => "Waiting",
        Some(PendingKind::Delete) => "ScheduledForDelete",
    }
}

fn refuse_busy(resource: &Resource) -> Result<(), ArmError> {
    if resource.pending.is_none() {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::CONFLICT,
        "ManagedEnvironmentOperationInProgress",
        format!(
            "Cannot modify managed environment '{}' because an operation is in progress on it.",
            resource.name
        ),
    ))
}
