//! Lists of resources of every type, and their filters.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::app_shape::Shape;
use super::{
    ArmError, ArmReply, ArmRequest, access, container_apps, container_groups, groups, managed_environments, paging,
    regions, session_pools,
};
use crate::store::{Resource, Store};

/// `$filter` of lists: conditions joined by `and`.
#[derive(Debug, Default)]
pub struct Filter(Vec<(String, String)>);

impl Filter {
    /// Reads `name eq 'value'` conditions on `resourceType`, `resourceGroup`, `name`, `location`, `tagName` and
    /// `tagValue`.
    pub fn parse(text: Option<&str>) -> Result<Self, ArmError> {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(Self::default());
        };
        let refused = || {
            ArmError::gateway(
                StatusCode::BAD_REQUEST,
                "InvalidFilterInQueryString",
                format!("Invalid $filter '{text}' specified in the query string."),
            )
        };
        let mut conditions = Vec::new();
        for condition in text.split(" and ") {
            let (name, value) = condition.trim().split_once(" eq ").ok_or_else(refused)?;
            let value = value
                .trim()
                .strip_prefix('\'')
                .and_then(|rest| rest.strip_suffix('\''))
                .ok_or_else(refused)?;
            let name = name.trim().to_ascii_lowercase();
            if ![
                "resourcetype",
                "resourcegroup",
                "name",
                "location",
                "tagname",
                "tagvalue",
            ]
            .contains(&name.as_str())
            {
                return Err(refused());
            }
            conditions.push((name, value.replace("''", "'")));
        }
        Ok(Self(conditions))
    }

    /// Whether an item of these characteristics passes.
    pub fn takes(&self, id: &str, resource_type: &str, location: &str, tags: Option<&Map<String, Value>>) -> bool {
        let name = id.rsplit('/').next().unwrap_or_default();
        let tag = self
            .0
            .iter()
            .find(|(field, _)| field == "tagname")
            .and_then(|(_, tag)| {
                tags.and_then(|tags| {
                    tags.iter()
                        .find(|(name, _)| name.eq_ignore_ascii_case(tag))
                        .map(|(_, value)| value)
                })
            });
        self.0.iter().all(|(field, wanted)| match field.as_str() {
            "resourcetype" => wanted.eq_ignore_ascii_case(resource_type),
            "resourcegroup" => id
                .split('/')
                .nth(4)
                .is_some_and(|group| wanted.eq_ignore_ascii_case(group)),
            "name" => wanted.eq_ignore_ascii_case(name),
            "location" => regions::normalise(wanted) == location,
            "tagname" => tag.is_some(),
            _ => tag.and_then(Value::as_str) == Some(wanted),
        })
    }
}

/// `GET /subscriptions/{s}/resources` and `GET /subscriptions/{s}/resourceGroups/{rg}/resources`.
pub fn list(
    request: &ArmRequest<'_>,
    store: &Store,
    subscription: &str,
    group: Option<&str>,
) -> Result<ArmReply, ArmError> {
    let scope = match group {
        None => format!("/subscriptions/{subscription}"),
        Some(name) => groups::id(subscription, name),
    };
    let action = match group {
        None => "Microsoft.Resources/subscriptions/resources/read",
        Some(_) => "Microsoft.Resources/subscriptions/resourceGroups/resources/read",
    };
    access::authorize(request, store, &scope, action)?;
    if let Some(name) = group {
        groups::require(store, subscription, name)?;
    }
    let filter = Filter::parse(request.arrived.parameter("$filter"))?;
    let expand = request
        .arrived
        .parameter("$expand")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let items = inside(store, &scope)
        .filter(|one| filter.takes(&one.id, &one.resource_type, &one.location, one.tags.as_ref()))
        .map(|one| summary(one, &expand))
        .collect();
    Ok(paging::page(request, items))
}

/// The resources below a scope, by id.
pub fn inside<'a>(store: &'a Store, scope: &str) -> impl Iterator<Item = &'a Resource> {
    let prefix = format!("{}/", scope.to_ascii_lowercase());
    store
        .resources
        .range(prefix.clone()..)
        .take_while(move |(key, _)| key.starts_with(&prefix))
        .map(|(_, resource)| resource)
}

/// A resource of any type, as its provider answers a GET.
pub fn show(request: &ArmRequest<'_>, resource: &Resource) -> Value {
    match resource.resource_type.as_str() {
        managed_environments::TYPE => managed_environments::render(resource, Shape::Read),
        container_apps::TYPE => container_apps::render(resource, Shape::Read),
        container_groups::TYPE => container_groups::render(resource),
        _ => session_pools::render(request, resource, session_pools::Shape::Read),
    }
}

fn summary(resource: &Resource, expand: &str) -> Value {
    let mut item = json!({
        "id": resource.id,
        "name": resource.name,
        "type": resource.resource_type,
        "location": resource.location,
    });
    if let Some(tags) = &resource.tags {
        item["tags"] = json!(tags);
    }
    if let Some(identity) = &resource.identity {
        item["identity"] = identity.clone();
    }
    for (name, value) in [
        ("createdTime", json!(resource.created_at)),
        ("changedTime", json!(resource.modified_at)),
        ("provisioningState", json!(resource.state())),
    ] {
        if expand.contains(&name.to_ascii_lowercase()) {
            item[name] = value;
        }
    }
    item
}
