//! What environments and container apps have in common on the wire.

use serde_json::{Map, Value};

use super::{ArmError, identity_block, regions, system_data};
use crate::behaviour::{ArmBehaviour, UnknownProperties};
use crate::store::Resource;

/// Which answer a resource is shown in: times have a zone only in answers to writes (recorded with session pools).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The answer of PUT and PATCH.
    Write,
    /// The answer of GET, of lists and of ended operations.
    Read,
}

/// The members beside `properties`.
pub fn envelope(resource: &Resource, id: String, shape: Shape) -> Map<String, Value> {
    let mut body = Map::new();
    let mut show = |name: &str, value: Value| body.insert(name.to_owned(), value);
    show("id", Value::String(id));
    show("name", Value::String(resource.name.clone()));
    show("type", Value::String(resource.resource_type.clone()));
    let location = regions::display_name(&resource.location).unwrap_or(&resource.location);
    show("location", Value::String(location.to_owned()));
    if let Some(tags) = &resource.tags {
        show("tags", Value::Object(tags.clone()));
    }
    show("systemData", system_data::render(resource, shape == Shape::Write));
    show(
        "identity",
        identity_block::render(resource.identity.as_ref(), identity_block::Spelling::Spaced),
    );
    body
}

/// How a type reads the members of an object.
#[derive(Debug, Clone, Copy)]
pub struct Members<'a> {
    /// Names that are stored, in ARM's spelling.
    pub writable: &'a [&'a str],
    /// The same for names that only preview versions have, as far as schemas of both are published (2025-10-02-preview and
    /// 2025-07-01).
    pub preview: &'a [&'a str],
    /// Names that are taken, as clients send back what they read, but have no effect.
    pub read_only: &'a [&'a str],
    /// Name of the view in the message about a name that is neither (`ContainerApp`).
    pub view: &'a str,
}

impl Members<'_> {
    /// The writable members under ARM's spelling, whatever the case of the names that were given.
    pub fn read(&self, given: &Value, version: &str, behaviour: &ArmBehaviour) -> Result<Map<String, Value>, ArmError> {
        let Value::Object(members) = given else {
            return Err(ArmError::invalid_content(format!(
                "The request content was invalid and could not be deserialized: 'an object was expected in {}'.",
                self.view
            )));
        };
        let is_preview = version.to_ascii_lowercase().ends_with("-preview");
        let preview = if is_preview { self.preview } else { &[] };
        let mut read = Map::new();
        for (name, value) in members {
            let is = |known: &&&str| known.eq_ignore_ascii_case(name);
            if let Some(known) = self.writable.iter().chain(preview).find(is) {
                read.insert((*known).to_owned(), value.clone());
            } else if self.read_only.iter().find(is).is_none() {
                match behaviour.unknown_properties {
                    UnknownProperties::Drop => {}
                    UnknownProperties::Refuse => return Err(unknown(name, version, self.view)),
                }
            }
        }
        Ok(read)
    }
}

fn unknown(name: &str, version: &str, view: &str) -> ArmError {
    ArmError::invalid_content(format!(
        "Unknown properties {name} in Microsoft.ContainerApps.WebApi.Views.Version{}.{view} are not supported",
        version.replace('-', "").replace("preview", "Preview")
    ))
}

/// Takes away what is null, as PUT means absence by it.
pub fn drop_nulls(properties: &mut Map<String, Value>) {
    properties.retain(|_, value| !value.is_null());
}
