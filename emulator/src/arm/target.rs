//! Resources in groups, as paths name them, and what every request about one has to pass.

use axum::http::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::{ArmError, ArmRequest, access, groups, regions, resources};
use crate::json::{get, get_str};
use crate::store::{Resource, Store, Workload};

/// The resource that a path names, in the spelling of the request.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its type as ARM's metadata spell it (`Microsoft.App/containerApps`).
    pub resource_type: &'static str,
    /// Id of its subscription.
    pub subscription: String,
    /// Name of its group.
    pub group: String,
    /// Its name.
    pub name: String,
}

impl Target {
    /// The resource of these names.
    pub fn new(resource_type: &'static str, subscription: &str, group: &str, name: &str) -> Self {
        Self {
            resource_type,
            subscription: subscription.to_owned(),
            group: group.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Its ARM id.
    pub fn id(&self) -> String {
        let Self {
            resource_type,
            subscription,
            group,
            name,
        } = self;
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{resource_type}/{name}")
    }

    /// Its id as the store's key.
    pub fn key(&self) -> String {
        self.id().to_ascii_lowercase()
    }

    /// Namespace of its provider.
    pub fn namespace(&self) -> &'static str {
        namespace(self.resource_type)
    }

    /// ARM's 404 for it.
    pub fn not_found(&self) -> ArmError {
        ArmError::gateway(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!(
                "The Resource '{}/{}' under resource group '{}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
                self.resource_type, self.name, self.group
            ),
        )
    }

    /// What every request about it has to pass: role, registration, group; a write is refused while the group is being
    /// deleted. `verb` is the end of the action (`write`).
    pub fn enter(&self, request: &ArmRequest<'_>, store: &mut Store, verb: &str) -> Result<(), ArmError> {
        let action = format!("{}/{verb}", self.resource_type);
        access::authorize(request, store, &self.id(), &action)?;
        access::require_registration(request, store, &self.subscription, self.namespace())?;
        let group = groups::require(store, &self.subscription, &self.group)?;
        if verb.rsplit('/').next() == Some("write") {
            groups::refuse_deleting(group)?;
        }
        Ok(())
    }

    /// The resource as it is stored, or ARM's 404.
    pub fn find<'a>(&self, store: &'a Store) -> Result<&'a Resource, ArmError> {
        store.resource(&self.id()).ok_or_else(|| self.not_found())
    }

    /// The stored resource, or a new one without properties whose id has the group's own spelling. One that is in
    /// another location is refused. Says too whether it is new.
    pub fn find_or_new(
        &self,
        request: &ArmRequest<'_>,
        store: &Store,
        location: String,
    ) -> Result<(Resource, bool), ArmError> {
        if let Some(known) = store.resource(&self.id()) {
            self.refuse_other_location(known, &location)?;
            return Ok((known.clone(), false));
        }
        let group = store
            .group(&self.subscription, &self.group)
            .map_or(self.group.as_str(), |group| group.name.as_str());
        let caller = request.principal.client_id.clone();
        let resource = Resource {
            id: Self::new(self.resource_type, &self.subscription, group, &self.name).id(),
            resource_type: self.resource_type.to_owned(),
            name: self.name.clone(),
            location,
            tags: None,
            identity: None,
            properties: Value::Null,
            mcp_api_key: None,
            provisioning_state: "Succeeded".to_owned(),
            pending: None,
            workload: Workload::default(),
            instance: Uuid::new_v4(),
            created_by: caller.clone(),
            created_at: request.now,
            modified_by: caller,
            modified_at: request.now,
        };
        Ok((resource, true))
    }

    fn refuse_other_location(&self, known: &Resource, location: &str) -> Result<(), ArmError> {
        if known.location == location {
            return Ok(());
        }
        Err(ArmError::gateway(
            StatusCode::CONFLICT,
            "InvalidResourceLocation",
            format!(
                "The resource '{}' already exists in location '{}' in resource group '{}'. A resource with the same name cannot be created in location '{location}'. Please select a new resource name.",
                known.name, known.location, self.group
            ),
        ))
    }
}

/// The resources of a type in a group or in the whole subscription, for a caller that may read them.
pub fn list<'a>(
    request: &ArmRequest<'_>,
    store: &'a mut Store,
    resource_type: &'static str,
    subscription: &str,
    group: Option<&str>,
) -> Result<Vec<&'a Resource>, ArmError> {
    let scope = match group {
        None => format!("/subscriptions/{subscription}"),
        Some(name) => groups::id(subscription, name),
    };
    access::authorize(request, store, &scope, &format!("{resource_type}/read"))?;
    access::require_registration(request, store, subscription, namespace(resource_type))?;
    if let Some(name) = group {
        groups::require(store, subscription, name)?;
    }
    Ok(resources::inside(store, &scope)
        .filter(|resource| resource.resource_type == resource_type)
        .collect())
}

/// The normalised location of a body, which must be one of the regions.
pub fn location(body: &Value, resource_type: &str) -> Result<String, ArmError> {
    let Some(location) = get_str(body, "location").filter(|location| !location.trim().is_empty()) else {
        return Err(ArmError::gateway(
            StatusCode::BAD_REQUEST,
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    };
    if regions::display_name(location).is_none() {
        return Err(ArmError::gateway(
            StatusCode::BAD_REQUEST,
            "LocationNotAvailableForResourceType",
            format!(
                "The provided location '{location}' is not available for resource type '{resource_type}'. List of available regions for the resource type is '{}'.",
                regions::REGIONS
                    .iter()
                    .map(|region| regions::normalise(region))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ));
    }
    Ok(regions::normalise(location))
}

/// Refuses a PATCH whose `location` is another one than the resource's, or none at all.
pub fn check_location(body: &Value, resource: &Resource, kind: &str) -> Result<(), ArmError> {
    let stays = match get(body, "location") {
        None | Some(Value::Null) => true,
        Some(Value::String(location)) => regions::normalise(location) == resource.location,
        Some(_) => false,
    };
    if stays {
        return Ok(());
    }
    Err(ArmError::invalid_parameter(
        "location",
        format!("The location of a {kind} cannot be changed."),
    ))
}

/// Remembers who changed a resource, and when.
pub fn touch(resource: &mut Resource, request: &ArmRequest<'_>) {
    request.principal.client_id.clone_into(&mut resource.modified_by);
    resource.modified_at = request.now;
}

fn namespace(resource_type: &'static str) -> &'static str {
    resource_type
        .split_once('/')
        .map_or(resource_type, |(namespace, _)| namespace)
}
