//! The `identity` block of a resource: read from a PUT or PATCH, stored and answered.
//!
//! A handler calls [`read`] with what the request gives and what the resource has, stores the result in
//! [`Resource::identity`](crate::store::Resource::identity) through [`Store::put_resource`], which brings the principal of
//! a system-assigned identity into the directory, and answers with [`render`].

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{ArmError, ArmRequest, access};
use crate::identity::ManagedIdentityKind;
use crate::json::{get, get_str};
use crate::store::Store;

/// Action that whoever attaches a user-assigned identity must be allowed on it (managed identities documentation).
const ASSIGN: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

/// The resource whose block is written.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Its ARM id.
    pub id: &'a str,
    /// The action of the request, such as `Microsoft.App/containerApps/write`.
    pub action: &'a str,
    /// Its block as it is stored; `None` if it has no identity or does not exist yet.
    pub before: Option<&'a Value>,
}

/// What a request does with what it does not mention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// PUT: user-assigned identities that are not given are detached.
    Replace,
    /// PATCH, an RFC 7396 merge patch: they stay, and `null` detaches one or all.
    Merge,
}

/// How a provider spells the type of a resource with both kinds of identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `SystemAssigned,UserAssigned`.
    Joined,
    /// `SystemAssigned, UserAssigned`, as container apps and container groups answer.
    Spaced,
}

/// The block that a write leaves, as it is stored; `None` when the resource has no identity afterwards.
///
/// `given` is the body's `identity`. It refuses identities that do not exist (`FailedIdentityOperation`) and those that
/// the caller may not assign (`LinkedAuthorizationFailed`). The principal of a system-assigned identity stays the same
/// while the resource keeps it, that of a user-assigned one while it stays attached. Nothing is changed here.
pub fn read(
    request: &ArmRequest<'_>,
    store: &Store,
    owner: Owner<'_>,
    given: Option<&Value>,
    write: Write,
) -> Result<Option<Value>, ArmError> {
    let given = match given {
        None if write == Write::Merge => return Ok(owner.before.cloned()),
        None | Some(Value::Null) => return Ok(None),
        Some(given) if given.is_object() => given,
        Some(_) => {
            return Err(ArmError::invalid_parameter(
                "identity",
                "The identity must be an object.",
            ));
        }
    };
    let kept = owner.before.filter(|_| write == Write::Merge);
    let kept_type = || get_str(kept?, "type");
    let kinds = match get(given, "type") {
        None | Some(Value::Null) => Kinds::parse(kept_type().unwrap_or("None")),
        Some(Value::String(kind)) => Kinds::parse(kind),
        Some(other) => Err(ArmError::invalid_parameter(
            "identity.type",
            format!("The identity type must be a string, not {other}."),
        )),
    }?;
    let attached = merge_ids(
        kept.and_then(user_assigned),
        get(given, "userAssignedIdentities"),
        kinds,
    )?;
    if kinds.user && attached.is_empty() {
        return Err(ArmError::invalid_parameter(
            "identity.userAssignedIdentities",
            "The identity type UserAssigned needs userAssignedIdentities.",
        ));
    }
    let Some(name) = kinds.name() else { return Ok(None) };
    let mut block = json!({ "type": name });
    if kinds.system {
        let known = owner.before.and_then(|before| get_str(before, "principalId"));
        block["principalId"] = json!(known.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned));
        block["tenantId"] = json!(store.tenant_id);
    }
    if kinds.user {
        let mut identities = Map::new();
        for Attached { id, is_given } in attached {
            let before = owner.before.and_then(user_assigned).and_then(|ids| find(ids, &id));
            let ids = match before {
                Some((_, before)) if !is_given => before.clone(),
                _ => attach(request, store, owner, &id)?,
            };
            identities.insert(spelled_as_answered(&id), ids);
        }
        block["userAssignedIdentities"] = Value::Object(identities);
    }
    Ok(Some(block))
}

/// The block as a provider answers it; `{"type": "None"}` when there is no identity.
pub fn render(block: Option<&Value>, spelling: Spelling) -> Value {
    let mut shown = block.cloned().unwrap_or_else(|| json!({ "type": "None" }));
    if spelling == Spelling::Spaced && get_str(&shown, "type") == Some("SystemAssigned,UserAssigned") {
        shown["type"] = json!("SystemAssigned, UserAssigned");
    }
    shown
}

/// Whether a stored block has this identity: `system`, or the id of a user-assigned one, whatever its case.
pub fn contains(block: Option<&Value>, identity: &str) -> bool {
    let Some(block) = block else { return false };
    if identity.eq_ignore_ascii_case("system") {
        return get_str(block, "principalId").is_some();
    }
    user_assigned(block).is_some_and(|ids| find(ids, identity).is_some())
}

/// The identities of a stored block by the names that settings have for them: `system`, and the ids of user-assigned ones.
pub fn names(block: Option<&Value>) -> Vec<String> {
    let Some(block) = block else { return Vec::new() };
    let system = get_str(block, "principalId").map(|_| "system".to_owned());
    let user = user_assigned(block).into_iter().flat_map(Map::keys);
    system.into_iter().chain(user.cloned()).collect()
}

/// Object ids of all principals that a stored block attaches, that of the system-assigned identity first.
///
/// A user-assigned identity that was deleted, or deleted and created again, since it was attached keeps the object id of
/// then, which the directory does not know any more.
pub fn object_ids(block: Option<&Value>) -> Vec<&str> {
    let Some(block) = block else { return Vec::new() };
    let user = user_assigned(block).into_iter().flat_map(Map::values);
    get_str(block, "principalId")
        .into_iter()
        .chain(user.filter_map(|ids| get_str(ids, "principalId")))
        .collect()
}

#[derive(Debug, Clone, Copy)]
struct Kinds {
    system: bool,
    user: bool,
}

impl Kinds {
    /// Reads a type in any case, with or without a space after the comma.
    fn parse(text: &str) -> Result<Self, ArmError> {
        let mut kinds = Self {
            system: false,
            user: false,
        };
        for part in text.split(',').map(str::trim) {
            match part.to_ascii_lowercase().as_str() {
                "none" => {}
                "systemassigned" => kinds.system = true,
                "userassigned" => kinds.user = true,
                _ => {
                    let message = format!(
                        "The identity type '{text}' is not one of None, SystemAssigned, UserAssigned and SystemAssigned,UserAssigned."
                    );
                    return Err(ArmError::invalid_parameter("identity.type", message));
                }
            }
        }
        Ok(kinds)
    }

    fn name(self) -> Option<&'static str> {
        match (self.system, self.user) {
            (false, false) => None,
            (true, false) => Some("SystemAssigned"),
            (false, true) => Some("UserAssigned"),
            (true, true) => Some("SystemAssigned,UserAssigned"),
        }
    }
}

/// A user-assigned identity that the block will have.
struct Attached {
    id: String,
    /// Whether the request names it, so that the caller must be allowed to assign it.
    is_given: bool,
}

/// The ids that are attached after the request; none when the type leaves user-assigned identities out.
fn merge_ids(
    kept: Option<&Map<String, Value>>,
    given: Option<&Value>,
    kinds: Kinds,
) -> Result<Vec<Attached>, ArmError> {
    const TARGET: &str = "identity.userAssignedIdentities";
    let none = Map::new();
    let (kept, given) = match given {
        None => (kept, &none),
        Some(Value::Null) => (None, &none),
        Some(Value::Object(given)) => (kept, given),
        Some(_) => {
            let message = "userAssignedIdentities must be an object whose names are ids.";
            return Err(ArmError::invalid_parameter(TARGET, message));
        }
    };
    if !kinds.user {
        if given.values().all(Value::is_null) {
            return Ok(Vec::new());
        }
        let message = "userAssignedIdentities needs the identity type UserAssigned.";
        return Err(ArmError::invalid_parameter(TARGET, message));
    }
    let stays = |id: &String| find(given, id).is_none();
    let kept = kept.into_iter().flat_map(Map::keys).filter(|id| stays(id));
    let mut attached: Vec<Attached> = kept
        .map(|id| Attached {
            id: id.clone(),
            is_given: false,
        })
        .collect();
    for (id, value) in given {
        check_id(id)?;
        if !value.is_null() && !value.is_object() {
            let message = format!("The value of the identity '{id}' must be an object.");
            return Err(ArmError::invalid_parameter(TARGET, message));
        }
        if value.is_null() || attached.iter().any(|one| one.id.eq_ignore_ascii_case(id)) {
            continue;
        }
        attached.push(Attached {
            id: id.clone(),
            is_given: true,
        });
    }
    Ok(attached)
}

fn check_id(id: &str) -> Result<(), ArmError> {
    let lower = id.to_ascii_lowercase();
    let segments: Vec<&str> = lower.split('/').collect();
    if let [
        "",
        "subscriptions",
        _,
        "resourcegroups",
        _,
        "providers",
        "microsoft.managedidentity",
        "userassignedidentities",
        name,
    ] = segments.as_slice()
        && !name.is_empty()
    {
        return Ok(());
    }
    Err(ArmError::invalid_parameter(
        "identity.userAssignedIdentities",
        format!("'{id}' is not the id of a user-assigned identity."),
    ))
}

/// The ids of an identity that is attached now, if the caller may attach it and it exists.
fn attach(request: &ArmRequest<'_>, store: &Store, owner: Owner<'_>, id: &str) -> Result<Value, ArmError> {
    access::authorize_linked(request, store, (owner.action, owner.id), (ASSIGN, id))?;
    let identity = store
        .directory
        .managed_identity_of(id)
        .filter(|identity| identity.kind == ManagedIdentityKind::UserAssigned)
        .ok_or_else(|| {
            ArmError::new(
                StatusCode::BAD_REQUEST,
                "FailedIdentityOperation",
                format!(
                    "Identity operation for resource '{}' failed with error 'Failed to perform resource identity operation. Status: 'BadRequest'. Response: '{{\"error\":{{\"code\":\"BadRequest\",\"message\":\"Resource '{id}' was not found.\"}}}}'.'.",
                    owner.id
                ),
            )
        })?;
    Ok(json!({ "principalId": identity.object_id, "clientId": identity.client_id }))
}

/// Ids come back with a group segment in lower case, whatever was sent (the CLI compares them without case).
fn spelled_as_answered(id: &str) -> String {
    let mut segments: Vec<&str> = id.split('/').collect();
    segments[3] = "resourcegroups";
    segments.join("/")
}

fn user_assigned(block: &Value) -> Option<&Map<String, Value>> {
    get(block, "userAssignedIdentities")?.as_object()
}

fn find<'a>(ids: &'a Map<String, Value>, id: &str) -> Option<(&'a String, &'a Value)> {
    ids.iter().find(|(known, _)| known.eq_ignore_ascii_case(id))
}
