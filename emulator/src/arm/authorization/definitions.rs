//! Role definitions, at whatever scope they are asked for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Scope, definition_id};
use crate::arm::{ArmError, ArmReply, ArmRequest, paging};
use crate::roles::definitions::{self, RoleDefinition};

/// `GET {scope}/providers/Microsoft.Authorization/roleDefinitions[/{guid}]`.
pub fn answer(request: &ArmRequest<'_>, scope: &Scope, guid: Option<&str>) -> Result<ArmReply, ArmError> {
    if let Some(guid) = guid {
        let role = definitions::by_guid(guid).ok_or_else(|| {
            ArmError::new(
                StatusCode::NOT_FOUND,
                "RoleDefinitionDoesNotExist",
                format!("The specified role definition with ID '{guid}' does not exist."),
            )
        })?;
        return Ok(ArmReply::ok(render_definition(role, scope)));
    }
    let filter = request
        .arrived
        .parameter("$filter")
        .unwrap_or_default()
        .trim()
        .to_owned();
    let quoted = filter
        .split_once('\'')
        .and_then(|(_, rest)| rest.rsplit_once('\''))
        .map(|(value, _)| value);
    let condition = filter.to_ascii_lowercase();
    let taken = |role: &&RoleDefinition| match quoted {
        Some(name) if condition.starts_with("rolename eq") => role.name.eq_ignore_ascii_case(&name.replace("''", "'")),
        Some(kind) if condition.starts_with("type eq") => kind.eq_ignore_ascii_case("BuiltInRole"),
        _ => true,
    };
    let items = definitions::BUILT_IN
        .iter()
        .filter(taken)
        .map(|role| render_definition(role, scope))
        .collect();
    Ok(paging::page(request, items))
}

fn render_definition(role: &RoleDefinition, scope: &Scope) -> Value {
    json!({
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": [],
            }],
            "createdOn": "2015-02-02T21:55:09.8806423Z",
            "updatedOn": "2021-11-11T20:13:28.6061853Z",
            "createdBy": null,
            "updatedBy": null,
        },
        "id": definition_id(scope, role.guid),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.guid,
    })
}
