//! What Azure's refusals mean.
//!
//! The ARM *code* decides, because one status carries opposite meanings: 409 is "wait" for
//! `AnotherOperationInProgress`, "register the provider" for `MissingSubscriptionRegistration` and "never" for
//! `ScopeLocked`. The status decides only where the code is unknown.

use std::time::Duration;

use super::credential::CredentialError;
use super::http::{Reached, TransportError};

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Try again after this time; this is not a failure.
    Throttled(Duration),
    /// Something else has to finish first: an operation, a deletion, replication.
    Waiting,
    /// The resource changed or exists in another form: read it again.
    Conflict,
    /// The same request may succeed later.
    Transient,
    /// The credential or its rights do not allow it.
    Denied,
    /// The resource, or what holds it, does not exist.
    NotFound,
    /// The subscription has to register the resource provider first.
    Unregistered,
    /// Nothing changes until somebody changes the request or Azure's configuration.
    Terminal,
}

/// The pause where Azure throttles without saying for how long; azure-core's own default is 30 s for polling.
pub const DEFAULT_THROTTLE: Duration = Duration::from_secs(10);

/// A refusal of ARM, read from its body in whichever shape it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// The HTTP status.
    pub status: u16,
    /// The code of the body, or `HttpStatus{n}` where it had none.
    pub code: String,
    /// The message in one bounded line; never empty.
    pub message: String,
    /// The codes of nested details, outermost first.
    pub details: Vec<String>,
    /// Azure's id of the request, for its support.
    pub request_id: Option<String>,
    /// The pause that Azure asked for.
    pub retry_after: Option<Duration>,
}

/// Why a call to Azure Resource Manager gave no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AzureError {
    /// There is no token for the call; nothing was sent.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The gate of the subscription is closed; nothing was sent.
    #[error("Azure throttles this subscription for another {} s", after.as_secs().max(1))]
    GateClosed {
        /// The pause until the next try.
        after: Duration,
    },
    /// There was no usable response.
    #[error("no response from Azure: {0}")]
    Transport(#[from] TransportError),
    /// Azure refused.
    #[error("{}: {}", .0.code, .0.message)]
    Service(Box<ServiceError>),
    /// Azure accepted, but its response does not have the documented shape.
    #[error("unexpected response from Azure: {message}")]
    Unexpected {
        /// What is wrong with it.
        message: String,
        /// Azure's id of the request.
        request_id: Option<String>,
    },
    /// The request could not be built; nothing was sent.
    #[error("the request cannot be built: {0}")]
    InvalidRequest(String),
}

impl AzureError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Credential(error) => error.class(),
            Self::GateClosed { after } => ErrorClass::Throttled(*after),
            Self::Transport(_) | Self::Unexpected { .. } => ErrorClass::Transient,
            Self::Service(error) => error.class(),
            Self::InvalidRequest(_) => ErrorClass::Terminal,
        }
    }

    /// A short, stable name: Azure's own code where there is one.
    pub fn code(&self) -> &str {
        match self {
            Self::Credential(error) => error.code(),
            Self::GateClosed { .. } => "Throttled",
            Self::Transport(error) if error.timed_out => "DeadlineExceeded",
            Self::Transport(error) => match error.reached {
                Reached::Nothing => "Unreachable",
                Reached::Unknown => "ConnectionBroken",
            },
            Self::Service(error) => &error.code,
            Self::Unexpected { .. } => "UnexpectedAnswer",
            Self::InvalidRequest(_) => "InvalidRequest",
        }
    }

    /// The HTTP status, if Azure answered with an error.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Service(error) => Some(error.status),
            _ => None,
        }
    }

    /// Azure's id of the request, if it answered with one.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Service(error) => error.request_id.as_deref(),
            Self::Unexpected { request_id, .. } => request_id.as_deref(),
            _ => None,
        }
    }

    /// The pause that Azure asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Service(error) => error.retry_after,
            Self::GateClosed { after } => Some(*after),
            Self::Credential(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Whether the resource, or what holds it, does not exist.
    pub fn is_not_found(&self) -> bool {
        self.class() == ErrorClass::NotFound
    }
}

impl ServiceError {
    /// What to do about it: by the code, then by the codes of its details, then by the status.
    pub fn class(&self) -> ErrorClass {
        let by_code = std::iter::once(&self.code)
            .chain(&self.details)
            .find_map(|code| class_of_code(code));
        let class = by_code.unwrap_or_else(|| class_of_status(self.status));
        match class {
            // A resource provider's 429 has codes that elsewhere mean an operation in progress.
            ErrorClass::Throttled(_) | ErrorClass::Waiting if self.status == 429 => self.throttled(),
            ErrorClass::Throttled(_) => self.throttled(),
            class => class,
        }
    }

    fn throttled(&self) -> ErrorClass {
        ErrorClass::Throttled(self.retry_after.unwrap_or(DEFAULT_THROTTLE))
    }
}

/// The meaning of the codes that the resource types used here answer with. Sources: the pages "Resolve common Azure
/// deployment errors" and "Resolve errors for resource provider registration", azure-mgmt-core 1.6.0, and the
/// classification of Azure Service Operator, which learned it in production.
const CODES: &[(ErrorClass, &[&str])] = &[
    (
        ErrorClass::Throttled(DEFAULT_THROTTLE),
        &[
            "SubscriptionRequestsThrottled",
            "TooManyRequests",
            "ResourceRequestsThrottled",
            "TenantRequestsThrottled",
        ],
    ),
    (
        ErrorClass::Waiting,
        &[
            "AnotherOperationInProgress",
            "OperationInProgress",
            "RetryableErrorDueToAnotherOperation",
            "Conflict",
            "ResourceGroupBeingDeleted",
            "ResourceBeingDeleted",
            "ResourceNotProvisioned",
            "ParentResourceNotProvisioned",
            "ManagedEnvironmentNotReady",
            "DeploymentActive",
            // A new identity is not known everywhere for some minutes.
            "PrincipalNotFound",
            "FailedIdentityOperation",
            "InvalidSubscriptionRegistrationState",
            // About one new role assignment in a hundred; the same request works a moment later.
            "HashConflictOnDifferentRoleAssignmentIds",
        ],
    ),
    (
        ErrorClass::Conflict,
        &["PreconditionFailed", "ConditionNotMet", "RoleAssignmentExists"],
    ),
    (
        ErrorClass::Transient,
        &[
            "InternalServerError",
            "ServiceUnavailable",
            "GatewayTimeout",
            "BadGateway",
            "ServerTimeout",
            "RequestTimeout",
            "AllocationFailed",
        ],
    ),
    (
        ErrorClass::Denied,
        &[
            "AuthorizationFailed",
            "LinkedAuthorizationFailed",
            "InvalidAuthenticationToken",
            "ExpiredAuthenticationToken",
            "InvalidAuthenticationTokenTenant",
            "InvalidAuthenticationTokenAudience",
            "AuthenticationFailed",
            "AuthenticationFailedMissingToken",
            "Forbidden",
            "Unauthorized",
        ],
    ),
    (
        ErrorClass::NotFound,
        &[
            "ResourceNotFound",
            "ResourceGroupNotFound",
            "ParentResourceNotFound",
            "NotFound",
        ],
    ),
    (
        ErrorClass::Unregistered,
        &["MissingSubscriptionRegistration", "SubscriptionNotRegistered"],
    ),
    (
        ErrorClass::Terminal,
        &[
            "SubscriptionNotFound",
            "InvalidSubscriptionId",
            "DisabledSubscription",
            "ReadOnlyDisabledSubscription",
            "InvalidApiVersionParameter",
            "MissingApiVersionParameter",
            "NoRegisteredProviderFound",
            "InvalidResourceNamespace",
            "InvalidResourceType",
            "InvalidRequestContent",
            "InvalidRequestFormat",
            "BadRequest",
            "BadRequestFormat",
            "LocationRequired",
            "MissingRequiredParameter",
            "InvalidParameter",
            "InvalidParameterValue",
            "InvalidResourceName",
            "ReservedResourceName",
            "InvalidResourceLocation",
            "InvalidResourceGroupLocation",
            "InvalidTemplate",
            "InvalidTemplateDeployment",
            "PropertyChangeNotAllowed",
            "RequestDisallowedByPolicy",
            "PolicyViolation",
            "ScopeLocked",
            "QuotaExceeded",
            "SkuNotAvailable",
            "LocationNotAvailableForResourceType",
            "LocationNotAvailableForResourceGroup",
            "RoleAssignmentUpdateNotPermitted",
            "RoleAssignmentLimitExceeded",
            "RoleDefinitionDoesNotExist",
            "DynamicApisNotAllowed",
        ],
    ),
];

fn class_of_code(code: &str) -> Option<ErrorClass> {
    CODES
        .iter()
        .find(|(_, codes)| codes.iter().any(|known| known.eq_ignore_ascii_case(code)))
        .map(|(class, _)| *class)
}

fn class_of_status(status: u16) -> ErrorClass {
    match status {
        429 => ErrorClass::Throttled(DEFAULT_THROTTLE),
        401 | 403 | 407 => ErrorClass::Denied,
        404 | 410 => ErrorClass::NotFound,
        408 | 425 => ErrorClass::Transient,
        409 | 423 => ErrorClass::Waiting,
        412 => ErrorClass::Conflict,
        400..=499 | 501 | 505 => ErrorClass::Terminal,
        _ => ErrorClass::Transient,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AzureError, CODES, DEFAULT_THROTTLE, ErrorClass, ServiceError};

    fn class(status: u16, code: &str, details: &[&str], retry_after: Option<u64>) -> ErrorClass {
        AzureError::Service(Box::new(ServiceError {
            status,
            code: code.to_owned(),
            message: "m".to_owned(),
            details: details.iter().map(|code| (*code).to_owned()).collect(),
            request_id: None,
            retry_after: retry_after.map(Duration::from_secs),
        }))
        .class()
    }

    #[test]
    fn the_code_decides_before_the_status() {
        for (status, code, expected) in [
            (409, "MissingSubscriptionRegistration", ErrorClass::Unregistered),
            (409, "AnotherOperationInProgress", ErrorClass::Waiting),
            (409, "ScopeLocked", ErrorClass::Terminal),
            (409, "RoleAssignmentExists", ErrorClass::Conflict),
            (400, "PrincipalNotFound", ErrorClass::Waiting),
            (403, "RequestDisallowedByPolicy", ErrorClass::Terminal),
            (403, "AuthorizationFailed", ErrorClass::Denied),
            (404, "SubscriptionNotFound", ErrorClass::Terminal),
            (404, "InvalidResourceType", ErrorClass::Terminal),
            (404, "resourcenotfound", ErrorClass::NotFound),
            (
                500,
                "SubscriptionRequestsThrottled",
                ErrorClass::Throttled(DEFAULT_THROTTLE),
            ),
        ] {
            assert_eq!(class(status, code, &[], None), expected, "{status} {code}");
        }
    }

    #[test]
    fn the_status_decides_where_the_code_is_unknown() {
        for (status, expected) in [
            (400, ErrorClass::Terminal),
            (401, ErrorClass::Denied),
            (404, ErrorClass::NotFound),
            (408, ErrorClass::Transient),
            (409, ErrorClass::Waiting),
            (423, ErrorClass::Waiting),
            (412, ErrorClass::Conflict),
            (429, ErrorClass::Throttled(DEFAULT_THROTTLE)),
            (500, ErrorClass::Transient),
            (501, ErrorClass::Terminal),
            (503, ErrorClass::Transient),
        ] {
            assert_eq!(class(status, "SomethingNew", &[], None), expected, "{status}");
        }
    }

    #[test]
    fn a_detail_decides_where_the_outer_code_says_nothing() {
        assert_eq!(
            class(409, "DeploymentFailed", &["Inner", "SkuNotAvailable"], None),
            ErrorClass::Terminal
        );
    }

    #[test]
    fn a_429_throttles_for_as_long_as_azure_says() {
        let hinted = ErrorClass::Throttled(Duration::from_secs(17));
        assert_eq!(class(429, "TooManyRequests", &[], Some(17)), hinted);
        assert_eq!(class(429, "RetryableErrorDueToAnotherOperation", &[], Some(17)), hinted);
        assert_eq!(class(429, "QuotaExceeded", &[], Some(17)), ErrorClass::Terminal);
    }

    #[test]
    fn no_code_has_two_meanings() {
        let mut codes: Vec<String> = CODES
            .iter()
            .flat_map(|(_, codes)| codes.iter())
            .map(|code| code.to_ascii_lowercase())
            .collect();
        let all = codes.len();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
