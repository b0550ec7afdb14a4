//! The ConfigMap that the ids of a resource are exported to.
//!
//! A ConfigMap belongs to the object if the object is its controller, as its `ownerReferences` say; any other is left
//! alone. Its name is recorded in the status before it is created, so that it is found again after the spec named another.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};

use crate::api::condition::Reason;
use crate::controller::config_maps::{ConfigMapWrites, NOT_ALLOWED};
use crate::controller::context::Context;
use crate::controller::object_name::is_object_name;
use crate::controller::readiness::Verdict;
use crate::runtime::ApiError;

use super::kind::AzureKind;

/// What is exported, by key. A key without a value is one that Azure has nothing for at present: it is taken away. Keys that
/// others put there are kept.
pub type Exported = BTreeMap<&'static str, Option<String>>;

/// The ConfigMap that the spec names, and the one that the status does if that is another.
#[derive(Debug, Clone, Default)]
pub struct ExportState {
    /// What the spec names.
    pub wanted: Option<Export>,
    /// What the status names and the spec does not.
    pub former: Option<Export>,
    /// Whether any may be written.
    pub writes: ConfigMapWrites,
}

/// A ConfigMap and whose it is.
#[derive(Debug, Clone)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// What was found.
    pub found: Found,
}

/// What was found under a name.
#[derive(Debug, Clone)]
pub enum Found {
    /// Nothing.
    Absent,
    /// The object's own.
    Ours(Box<ConfigMap>),
    /// Somebody else's.
    Foreign,
}

/// The next effect.
#[derive(Debug, Clone, PartialEq)]
pub enum ExportStep {
    /// Record the name in the status: the ConfigMap is about to be created.
    Record(String),
    /// Create it.
    Create {
        /// Its name.
        name: String,
        /// Its data.
        data: BTreeMap<String, String>,
    },
    /// Replace it by this.
    Replace(Box<ConfigMap>),
    /// Delete it, as it was seen.
    Delete(Box<ConfigMap>),
}

/// Decides for the ConfigMap. `recorded` is the name that the status holds. A verdict says what is in the way.
///
/// Where none may be written, one that is as it should be is right, and one of before stays until the object goes.
pub fn decide_export(
    recorded: Option<&str>,
    resource: &ExportState,
    exported: &Exported,
) -> Result<Option<ExportStep>, Verdict> {
    let is_allowed = resource.writes == ConfigMapWrites::Allowed;
    if let Some(former) = &resource.former
        && let Found::Ours(former) = &former.found
        && is_allowed
    {
        return Ok(Some(ExportStep::Delete(former.clone())));
    }
    let Some(Export { name, found }) = &resource.wanted else {
        return Ok(None);
    };
    let has = |config_map: &ConfigMap, key: &str| config_map.data.as_ref().and_then(|it| it.get(key).cloned());
    match found {
        Found::Ours(config_map) if exported.iter().all(|(key, value)| has(config_map, key) == *value) => Ok(None),
        Found::Absent | Found::Ours(_) if !is_allowed => Err(Verdict::stalled(
            Reason::ConfigMapsNotAllowed,
            format!("ConfigMap {name} of spec.export.configMap is not written: {NOT_ALLOWED}"),
        )),
        Found::Absent if recorded == Some(name) => Ok(Some(ExportStep::Create {
            name: name.clone(),
            data: present(exported).collect(),
        })),
        Found::Absent => Ok(Some(ExportStep::Record(name.clone()))),
        Found::Ours(config_map) => {
            let mut config_map = config_map.clone();
            let data = config_map.data.get_or_insert_default();
            data.retain(|key, _| !exported.contains_key(key.as_str()));
            data.extend(present(exported));
            Ok(Some(ExportStep::Replace(config_map)))
        }
        Found::Foreign => Err(Verdict::stalled(
            Reason::AlreadyExists,
            format!(
                "ConfigMap {name} exists and was not created by this object: delete it, or choose another spec.export.configMap"
            ),
        )),
    }
}

fn present(exported: &Exported) -> impl Iterator<Item = (String, String)> {
    exported
        .iter()
        .filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)))
}

/// The name that the status holds after a look: of the ConfigMap that is the object's own, or is about to be.
pub fn still_exported(recorded: Option<&str>, resource: &ExportState) -> Option<String> {
    let own = |export: &Option<Export>| {
        let export = export.as_ref()?;
        let is_own = matches!(export.found, Found::Ours(_)) || recorded == Some(&export.name);
        is_own.then(|| export.name.clone())
    };
    let former = resource.former.as_ref().filter(|it| matches!(it.found, Found::Ours(_)));
    former.map(|it| it.name.clone()).or_else(|| own(&resource.wanted))
}

/// Reads the ConfigMaps.
pub async fn read_export<K: AzureKind>(context: &Context, object: &K) -> Result<ExportState, ApiError> {
    let client = context.client();
    let wanted = object.export().map(|it| it.name.clone());
    let recorded = object.reported().exported_config_map.clone();
    let former = recorded.filter(|it| wanted.as_ref() != Some(it));
    Ok(ExportState {
        wanted: find(client, object, wanted).await?,
        former: find(client, object, former).await?,
        writes: context.config_maps(),
    })
}

async fn find<K: AzureKind>(client: &Client, object: &K, name: Option<String>) -> Result<Option<Export>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let read = if is_object_name(&name) {
        api(client, object).get_opt(&name).await?
    } else {
        None
    };
    let found = match read {
        None => Found::Absent,
        Some(config_map) if is_own(object, &config_map) => Found::Ours(Box::new(config_map)),
        Some(_) => Found::Foreign,
    };
    Ok(Some(Export { name, found }))
}

/// Creates the ConfigMap; one that has appeared meanwhile is left alone.
pub async fn create<K: AzureKind>(
    client: &Client,
    object: &K,
    name: String,
    data: BTreeMap<String, String>,
) -> Result<(), ApiError> {
    let config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: object.namespace(),
            owner_references: object.controller_owner_ref(&()).map(|it| vec![it]),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    };
    match api(client, object).create(&PostParams::default(), &config_map).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the ConfigMap over the version that was seen.
pub async fn replace<K: AzureKind>(client: &Client, object: &K, config_map: &ConfigMap) -> Result<(), ApiError> {
    let name = config_map.name_any();
    api(client, object)
        .replace(&name, &PostParams::default(), config_map)
        .await?;
    Ok(())
}

/// Deletes the ConfigMap that was seen, and no other of its name.
pub async fn delete<K: AzureKind>(client: &Client, object: &K, config_map: &ConfigMap) -> Result<(), ApiError> {
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: config_map.uid(),
            resource_version: config_map.resource_version(),
        }),
        ..DeleteParams::default()
    };
    match api(client, object).delete(&config_map.name_any(), &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_own<K: AzureKind>(object: &K, config_map: &ConfigMap) -> bool {
    let uid = object.uid().unwrap_or_default();
    config_map
        .owner_references()
        .iter()
        .any(|it| it.uid == uid && it.controller == Some(true))
}

fn api<K: AzureKind>(client: &Client, object: &K) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}
