//! ARM resource ids.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The id of a subscription, a resource group or a resource below one.
///
/// ARM compares ids without regard to case and answers in other spellings than it was asked in, so equality and hash
/// ignore case while the given spelling is kept for display.
#[derive(Debug, Clone)]
pub struct ResourceId {
    text: String,
    subscription: String,
    resource_group: Option<String>,
    resource_type: String,
    name: String,
}

/// Why a text is not a resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceIdError {
    /// The text does not begin with `/subscriptions/{id}`.
    #[error("a resource id begins with /subscriptions/ and a subscription id")]
    NoSubscription,
    /// A segment is empty or could not be part of a URL path as it stands.
    #[error("a resource id has a segment that is empty or not allowed in a path")]
    InvalidSegment,
    /// Types and names do not alternate below the provider.
    #[error("a resource id ends within a pair of type and name")]
    Incomplete,
}

impl ResourceId {
    /// The id of a resource group.
    pub fn resource_group_id(subscription: &str, resource_group: &str) -> Result<Self, ResourceIdError> {
        format!("/subscriptions/{subscription}/resourceGroups/{resource_group}").parse()
    }

    /// The id of a resource of `resource_type` (such as `Microsoft.App/sessionPools`) in a resource group.
    pub fn resource(
        subscription: &str,
        resource_group: &str,
        resource_type: &str,
        name: &str,
    ) -> Result<Self, ResourceIdError> {
        format!("/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/{resource_type}/{name}")
            .parse()
    }

    /// The id as it was given, beginning with `/` and without one at its end; also its path on ARM.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The lower-case form, the same for every spelling of one id: for maps and labels.
    pub fn key(&self) -> String {
        self.text.to_ascii_lowercase()
    }

    /// The subscription id.
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// The name of the resource group; `None` for a subscription and for resources directly in one.
    pub fn resource_group(&self) -> Option<&str> {
        self.resource_group.as_deref()
    }

    /// The full type, such as `Microsoft.App/sessionPools`; `Microsoft.Resources/resourceGroups` for a group.
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// Whether this is an id of the given type, in any letter case.
    pub fn is_type(&self, resource_type: &str) -> bool {
        self.resource_type.eq_ignore_ascii_case(resource_type)
    }

    /// The last name in the id.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is `scope` or below it.
    pub fn is_within(&self, scope: &Self) -> bool {
        let (own, scope) = (self.key(), scope.key());
        own == scope || own.strip_prefix(&scope).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl FromStr for ResourceId {
    type Err = ResourceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let segments: Vec<&str> = text
            .strip_prefix('/')
            .ok_or(ResourceIdError::NoSubscription)?
            .split('/')
            .collect();
        if segments.iter().any(|segment| !valid_segment(segment)) {
            return Err(ResourceIdError::InvalidSegment);
        }
        let [head, subscription, rest @ ..] = segments.as_slice() else {
            return Err(ResourceIdError::NoSubscription);
        };
        if !head.eq_ignore_ascii_case("subscriptions") {
            return Err(ResourceIdError::NoSubscription);
        }
        let (resource_group, rest) = match rest {
            [kind, group, rest @ ..] if kind.eq_ignore_ascii_case("resourceGroups") => {
                (Some((*group).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let (resource_type, name) = match rest {
            [] => match &resource_group {
                Some(group) => ("Microsoft.Resources/resourceGroups".to_owned(), group.clone()),
                None => (
                    "Microsoft.Resources/subscriptions".to_owned(),
                    (*subscription).to_owned(),
                ),
            },
            rest => provider_part(rest)?,
        };
        Ok(Self {
            text: text.to_owned(),
            subscription: (*subscription).to_owned(),
            resource_group,
            resource_type,
            name,
        })
    }
}

/// Reads the part from the last `providers` on: extension resources (role assignments) have two of them.
fn provider_part(segments: &[&str]) -> Result<(String, String), ResourceIdError> {
    let start = segments
        .iter()
        .rposition(|segment| segment.eq_ignore_ascii_case("providers"))
        .ok_or(ResourceIdError::Incomplete)?;
    let [namespace, pairs @ ..] = &segments[start + 1..] else {
        return Err(ResourceIdError::Incomplete);
    };
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(ResourceIdError::Incomplete);
    }
    let types: Vec<&str> = pairs.iter().step_by(2).copied().collect();
    Ok((
        format!("{namespace}/{}", types.join("/")),
        pairs[pairs.len() - 1].to_owned(),
    ))
}

/// The characters of resource names, of parentheses in group names, and nothing that a URL path would alter.
fn valid_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment != "."
        && segment != ".."
        && segment.chars().all(|c| {
            c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')' | ' ' | '@' | '=' | ',' | '~' | '!')
        })
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::{ResourceId, ResourceIdError};

    const POOL: &str = "/subscriptions/s-1/resourceGroups/Rg_(a)/providers/Microsoft.App/sessionPools/shell";

    #[test]
    fn a_pool_id_tells_its_parts() {
        let id: ResourceId = POOL.parse().unwrap();
        assert_eq!(
            (id.subscription(), id.resource_group(), id.name()),
            ("s-1", Some("Rg_(a)"), "shell")
        );
        assert!(id.is_type("microsoft.app/sessionpools"));
        assert_eq!(
            ResourceId::resource("s-1", "Rg_(a)", "Microsoft.App/sessionPools", "shell").unwrap(),
            id
        );
    }

    #[test]
    fn spelling_does_not_make_another_resource() {
        let id: ResourceId = POOL.parse().unwrap();
        let other: ResourceId = POOL.replace("resourceGroups", "resourcegroups").parse().unwrap();
        assert_eq!(id, other);
        assert_eq!(id.key(), other.key());
        assert_eq!(other.resource_group(), Some("Rg_(a)"));
    }

    #[test]
    fn an_extension_resource_has_the_type_of_its_last_provider() {
        let id: ResourceId = format!("{POOL}/providers/Microsoft.Authorization/roleAssignments/0fb8eba5")
            .parse()
            .unwrap();
        assert!(id.is_type("Microsoft.Authorization/roleAssignments"));
        assert!(id.is_within(&POOL.parse().unwrap()));
    }

    #[test]
    fn a_group_of_a_longer_name_is_not_within_a_shorter_one() {
        let short = ResourceId::resource_group_id("s", "rg").unwrap();
        let long = ResourceId::resource_group_id("s", "rg2").unwrap();
        assert!(!long.is_within(&short));
    }

    #[test]
    fn what_is_no_id_or_would_leave_its_path_is_refused() {
        for (text, error) in [
            ("", ResourceIdError::NoSubscription),
            ("subscriptions/s", ResourceIdError::NoSubscription),
            ("/resourceGroups/x", ResourceIdError::NoSubscription),
            ("/subscriptions/s//x", ResourceIdError::InvalidSegment),
            ("/subscriptions/s/resourceGroups/..", ResourceIdError::InvalidSegment),
            ("/subscriptions/s/resourceGroups/a?b", ResourceIdError::InvalidSegment),
            (
                "/subscriptions/s/resourceGroups/r/providers/Microsoft.App/sessionPools",
                ResourceIdError::Incomplete,
            ),
            ("/subscriptions/s/resourceGroups/r/other/x", ResourceIdError::Incomplete),
        ] {
            assert_eq!(text.parse::<ResourceId>().unwrap_err(), error, "{text}");
        }
    }
}
