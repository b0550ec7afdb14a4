//! `$filter` of lists of role assignments.

use axum::http::StatusCode;

use crate::arm::ArmError;
use crate::roles::{RoleAssignment, covers};

/// Which assignments a list shows: conditions joined by `and`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `atScope()`: those below the scope are left out.
    at_scope: bool,
    /// `principalId eq '…'` or `assignedTo('…')`, which are the same here, as there are no groups of principals.
    principal: Option<String>,
}

impl Filter {
    /// Reads a filter; others than the three above are refused (`UnsupportedQuery`).
    pub fn parse(text: Option<&str>) -> Result<Self, ArmError> {
        let mut filter = Self::default();
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(filter);
        };
        for condition in text.split(" and ") {
            let compact = condition.replace(' ', "");
            let lower = compact.to_ascii_lowercase();
            if lower == "atscope()" {
                filter.at_scope = true;
                continue;
            }
            let of = |start: &str, end: &str| lower.strip_prefix(start)?.strip_suffix(end).map(str::to_owned);
            let principal = of("principalideq'", "'").or_else(|| of("assignedto('", "')"));
            filter.principal = Some(principal.ok_or_else(|| {
                ArmError::new(
                    StatusCode::BAD_REQUEST,
                    "UnsupportedQuery",
                    format!(
                        "The filter '{text}' is not supported. Supported filters are either 'atScope()' or 'principalId eq '{{value}}' or assignedTo('{{value}}')'."
                    ),
                )
            })?);
        }
        Ok(filter)
    }

    /// Whether a list at `scope` shows an assignment: those at, above and below it, save for what is filtered.
    pub fn takes(&self, assignment: &RoleAssignment, scope: &str) -> bool {
        let above = covers(&assignment.scope, scope);
        let below = covers(scope, &assignment.scope);
        let of_principal = |wanted: &String| assignment.principal_id.eq_ignore_ascii_case(wanted);
        (above || (below && !self.at_scope)) && self.principal.as_ref().is_none_or(of_principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_joined_and_unknown_ones_refused() {
        let both = Filter {
            at_scope: true,
            principal: Some("abc".to_owned()),
        };
        assert_eq!(Filter::parse(Some("atScope() and assignedTo('ABC')")).ok(), Some(both));
        assert_eq!(Filter::parse(Some(" ")).ok(), Some(Filter::default()));
        for unknown in ["roleName eq 'Reader'", "principalId eq abc", "atScope"] {
            assert!(Filter::parse(Some(unknown)).is_err(), "{unknown}");
        }
    }
}
