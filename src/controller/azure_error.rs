//! What an error of Azure means: what it asks of the runtime, and which reason of the API it is.

use crate::api::condition::Reason;
use crate::azure::error::ServiceError;
use crate::azure::{AzureError, CredentialError, ErrorClass};
use crate::runtime::Class;

/// What an error of Azure asks of the runtime.
pub fn class_of(error: &AzureError) -> Class {
    match error.class() {
        ErrorClass::Throttled(after) => Class::Throttled { after },
        ErrorClass::Waiting | ErrorClass::NotFound | ErrorClass::Unregistered | ErrorClass::Conflict => {
            Class::Waiting {
                after: error.retry_after(),
            }
        }
        ErrorClass::Transient => Class::Transient,
        ErrorClass::Denied => Class::Denied,
        ErrorClass::Terminal => Class::Terminal,
    }
}

/// The reason that an error of Azure is.
pub fn reason_of(error: &AzureError) -> Reason {
    match error {
        AzureError::Credential(error) => reason_of_credential(error),
        AzureError::Service(error) => reason_of_service(error),
        AzureError::GateClosed { .. } => Reason::Throttled,
        AzureError::Transport(_) | AzureError::Unexpected { .. } => Reason::Unavailable,
        AzureError::InvalidRequest(_) => Reason::InvalidSpec,
    }
}

/// Whether the error means that no token can be obtained, or that none is accepted, until somebody acts.
pub fn is_credential_refused(error: &AzureError) -> bool {
    match error {
        AzureError::Credential(error) => match error {
            CredentialError::Rejected { .. } | CredentialError::Configuration { .. } => {
                !matches!(error.class(), ErrorClass::Transient)
            }
            CredentialError::Assertion { class, .. } | CredentialError::Host { class, .. } => {
                matches!(class, ErrorClass::Waiting | ErrorClass::Denied)
            }
            CredentialError::Unavailable { .. } | CredentialError::Deadline { .. } => false,
        },
        AzureError::Service(error) => error.status == 401,
        AzureError::GateClosed { .. }
        | AzureError::Transport(_)
        | AzureError::Unexpected { .. }
        | AzureError::InvalidRequest(_) => false,
    }
}

fn reason_of_credential(error: &CredentialError) -> Reason {
    match error {
        CredentialError::Rejected { .. } | CredentialError::Configuration { .. } => Reason::InvalidCredential,
        CredentialError::Unavailable { .. } | CredentialError::Deadline { .. } => Reason::Unavailable,
        CredentialError::Host { class, .. } => match class {
            ErrorClass::Denied | ErrorClass::Terminal => Reason::InvalidCredential,
            ErrorClass::Throttled(_) => Reason::Throttled,
            ErrorClass::Waiting
            | ErrorClass::Conflict
            | ErrorClass::Transient
            | ErrorClass::NotFound
            | ErrorClass::Unregistered => Reason::Unavailable,
        },
        // See `federation`: what is missing is waited for, what is not allowed is a matter of the installation.
        CredentialError::Assertion { class, .. } => match class {
            ErrorClass::Waiting => Reason::ServiceAccountNotFound,
            ErrorClass::Denied => Reason::InvalidSpec,
            ErrorClass::Throttled(_)
            | ErrorClass::Conflict
            | ErrorClass::Transient
            | ErrorClass::NotFound
            | ErrorClass::Unregistered
            | ErrorClass::Terminal => Reason::Unavailable,
        },
    }
}

fn reason_of_service(error: &ServiceError) -> Reason {
    let is = |codes: &[&str]| codes.iter().any(|code| error.code.eq_ignore_ascii_case(code));
    if is(&["SubscriptionNotFound", "InvalidSubscriptionId"]) {
        return Reason::SubscriptionNotFound;
    }
    if is(&["PrincipalNotFound"]) {
        return Reason::PrincipalNotFound;
    }
    if is(&["FailedIdentityOperation"]) {
        return Reason::IdentityNotFound;
    }
    if is(&["RoleDefinitionDoesNotExist"]) {
        return Reason::RoleNotFound;
    }
    if is(&["RoleAssignmentExists"]) {
        return Reason::AlreadyExists;
    }
    match error.class() {
        ErrorClass::Throttled(_) => Reason::Throttled,
        ErrorClass::Waiting | ErrorClass::Conflict => Reason::Provisioning,
        ErrorClass::Transient => Reason::Unavailable,
        ErrorClass::Denied if error.status == 401 => Reason::InvalidCredential,
        ErrorClass::Denied => Reason::Unauthorized,
        ErrorClass::NotFound => Reason::ReferenceNotFound,
        ErrorClass::Unregistered => Reason::RegisteringProvider,
        ErrorClass::Terminal => Reason::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use crate::azure::credential::Rejection;

    use super::*;

    fn service(status: u16, code: &str) -> AzureError {
        AzureError::Service(Box::new(ServiceError {
            status,
            code: code.to_owned(),
            message: "m".to_owned(),
            details: Vec::new(),
            request_id: None,
            retry_after: None,
        }))
    }

    #[test]
    fn azures_codes_have_the_reasons_of_the_api() {
        for (status, code, reason) in [
            (404, "SubscriptionNotFound", Reason::SubscriptionNotFound),
            (403, "AuthorizationFailed", Reason::Unauthorized),
            (401, "InvalidAuthenticationTokenTenant", Reason::InvalidCredential),
            (404, "ResourceGroupNotFound", Reason::ReferenceNotFound),
            (409, "MissingSubscriptionRegistration", Reason::RegisteringProvider),
            (409, "AnotherOperationInProgress", Reason::Provisioning),
            (409, "ScopeLocked", Reason::Rejected),
            (400, "InvalidRequestContent", Reason::Rejected),
            (429, "TooManyRequests", Reason::Throttled),
            (400, "PrincipalNotFound", Reason::PrincipalNotFound),
            (400, "FailedIdentityOperation", Reason::IdentityNotFound),
            (400, "HashConflictOnDifferentRoleAssignmentIds", Reason::Provisioning),
            (423, "Locked", Reason::Provisioning),
            (400, "RoleDefinitionDoesNotExist", Reason::RoleNotFound),
            (409, "RoleAssignmentExists", Reason::AlreadyExists),
            (400, "RoleAssignmentUpdateNotPermitted", Reason::Rejected),
            (503, "HttpStatus503", Reason::Unavailable),
        ] {
            assert_eq!(reason_of(&service(status, code)), reason, "{code}");
        }
    }

    #[test]
    fn a_refused_credential_is_told_from_an_authority_that_does_not_answer() {
        let rejected = CredentialError::Rejected {
            rejection: Rejection::Secret,
            code: "AADSTS7000215".to_owned(),
            message: "m".to_owned(),
        };
        assert!(is_credential_refused(&rejected.into()));
        assert!(is_credential_refused(&service(401, "InvalidAuthenticationToken")));
        let silent = CredentialError::Unavailable {
            message: "m".to_owned(),
            retry_after: None,
        };
        assert!(!is_credential_refused(&silent.into()));
        assert!(!is_credential_refused(&service(403, "AuthorizationFailed")));
    }
}
