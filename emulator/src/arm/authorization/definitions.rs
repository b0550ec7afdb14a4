//! Role definitions, at whatever scope they are asked for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Scope, definition_id};
use crate::arm::{ArmError, ArmReply, ArmRequest, access, paging};
use crate::roles::definitions::{self, RoleDefinition};
use crate::store::Store;

/// `GET {scope}/providers/Microsoft.Authorization/roleDefinitions[/{guid}]`.
pub fn answer(
    request: &ArmRequest<'_>,
    store: &Store,
    scope: &Scope,
    guid: Option<&str>,
) -> Result<ArmReply, ArmError> {
    access::authorize(
        request,
        store,
        &scope.id,
        "Microsoft.Authorization/roleDefinitions/read",
    )?;
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
    let filter = Filter::parse(request.arrived.parameter("$filter").unwrap_or_default())?;
    let items = definitions::BUILT_IN
        .iter()
        .filter(|role| filter.takes(role))
        .map(|role| render_definition(role, scope))
        .collect();
    Ok(paging::page(request, items))
}

/// `$filter` of a list of role definitions: conditions joined by `and`.
#[derive(Debug, Default)]
struct Filter {
    name: Option<String>,
    kind: Option<String>,
}

impl Filter {
    /// Reads `roleName eq '…'`, `type eq '…'` and `atScopeAndBelow()`; others are refused (`UnsupportedQuery`).
    fn parse(text: &str) -> Result<Self, ArmError> {
        let mut filter = Self::default();
        for condition in conditions(text) {
            let quoted = condition.split_once(" eq ").and_then(|(member, value)| {
                let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                Some((member.trim().to_ascii_lowercase(), value.replace("''", "'")))
            });
            match quoted {
                Some((member, value)) if member == "rolename" => filter.name = Some(value),
                Some((member, value)) if member == "type" => filter.kind = Some(value),
                None if condition.eq_ignore_ascii_case("atScopeAndBelow()") => {}
                _ => {
                    return Err(ArmError::new(
                        StatusCode::BAD_REQUEST,
                        "UnsupportedQuery",
                        format!(
                            "The filter '{text}' is not supported. Supported filters are 'atScopeAndBelow()', 'roleName eq '{{value}}'' and 'type eq '{{value}}''."
                        ),
                    ));
                }
            }
        }
        Ok(filter)
    }

    fn takes(&self, role: &RoleDefinition) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        is(&self.name, role.name) && is(&self.kind, "BuiltInRole")
    }
}

/// The parts of a filter between `and`; one that is quoted joins nothing.
fn conditions(text: &str) -> impl Iterator<Item = String> {
    const JOIN: &str = " and ";
    let (mut parts, mut is_quoted) = (vec![String::new()], false);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        is_quoted ^= next == '\'';
        if !is_quoted && let Some(after) = rest.strip_prefix(JOIN) {
            parts.push(String::new());
            rest = after;
            continue;
        }
        if let Some(part) = parts.last_mut() {
            part.push(next);
        }
        rest = &rest[next.len_utf8()..];
    }
    parts
        .into_iter()
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
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
