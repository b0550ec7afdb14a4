//! What an error means for the next pass, whatever layer it came from.

use std::{borrow::Cow, time::Duration};

use kube::core::Status;

/// What a failure asks of the controller: how soon the next try comes and whether it counts as a failure.
///
/// [`crate::runtime::requeue`] turns a class into a delay; nothing else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// The other side asked for a pause. Nothing is wrong with the object; it does not count as a failure.
    Throttled {
        /// The pause that was asked for. The next pass never starts earlier.
        after: Duration,
    },
    /// Something that the object depends on is not there yet. It does not count as a failure.
    Waiting {
        /// When the other side said that asking again is worthwhile, if it did.
        after: Option<Duration>,
    },
    /// The object changed between reading and writing; the next pass starts from a fresh copy.
    Conflict,
    /// The same call may well succeed later: a broken connection, an overloaded server, a pass that ran out of time.
    Transient,
    /// The credential or its permissions do not suffice in Azure. Permissions arrive late, so it is tried again, slowly.
    Denied,
    /// The API server of the cluster refuses the operator. One that was just started has not read its roles yet and refuses
    /// everybody for some seconds, so it is tried again soon, and told only if it lasts.
    Forbidden,
    /// The call will fail until somebody changes the object.
    Terminal,
    /// A defect of this program.
    Bug,
}

impl Class {
    /// A word for logs and counters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Waiting { .. } => "waiting",
            Self::Conflict => "conflict",
            Self::Transient => "transient",
            Self::Denied => "denied",
            Self::Forbidden => "forbidden",
            Self::Terminal => "terminal",
            Self::Bug => "bug",
        }
    }
}

/// An error that knows what it means for the controller and what a user should read in a condition.
///
/// All three are total: every error has a class, a reason and a message.
pub trait Classify: std::error::Error + Send + Sync + 'static {
    /// What the error asks of the controller.
    fn class(&self) -> Class;
    /// The `reason` of a condition: one CamelCase word.
    fn reason(&self) -> Cow<'static, str>;
    /// The `message` of a condition. It must be the same text for the same cause (no request ids that change on every
    /// try, no times), else every pass writes a new status. It never holds a secret.
    fn message(&self) -> String {
        self.to_string()
    }
}

/// An error of the Kubernetes API.
///
/// Its text is the server's message; kube's own Display, which prints the whole answer as Rust data, is not used.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe(.0))]
pub struct ApiError(#[from] kube::Error);

impl ApiError {
    /// The server's answer, if it gave one.
    pub fn status(&self) -> Option<&Status> {
        match &self.0 {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the API server says that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(is_missing)
    }

    /// Whether the object is larger than the API server or etcd takes.
    pub fn is_too_large(&self) -> bool {
        self.status().is_some_and(is_too_large)
    }

    /// Whether the write lost against another one, so that the decision must be made again on a fresh copy.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(is_conflict)
    }
}

impl Classify for ApiError {
    fn class(&self) -> Class {
        match &self.0 {
            kube::Error::Api(status) => class_of_status(status),
            kube::Error::Auth(_) => Class::Forbidden,
            kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => Class::Bug,
            _ => Class::Transient,
        }
    }

    fn reason(&self) -> Cow<'static, str> {
        match self.class() {
            Class::Terminal if self.is_too_large() => "ObjectTooLarge".into(),
            Class::Denied | Class::Forbidden => "Forbidden".into(),
            Class::Terminal => "KubernetesRejected".into(),
            Class::Conflict => "Conflict".into(),
            Class::Waiting { .. } => "NotFound".into(),
            Class::Throttled { .. } => "Throttled".into(),
            Class::Transient | Class::Bug => "KubernetesUnavailable".into(),
        }
    }
}

fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.message.is_empty() => {
            format!("the API server answered {} {}", status.code, status.reason)
        }
        kube::Error::Api(status) => status.message.clone(),
        // The text of a parse error may quote the object.
        kube::Error::SerdeError(_) => "the API server's answer could not be read".to_owned(),
        other => other.to_string(),
    }
}

/// Whether an answer says that an object does not exist. A bare 404 does not: it is that of a server that does not serve the kind
/// yet, or of something in front of it.
pub fn is_missing(status: &Status) -> bool {
    status.reason == "NotFound"
}

fn class_of_status(status: &Status) -> Class {
    if is_too_large(status) {
        return Class::Terminal;
    }
    if is_conflict(status) {
        return Class::Conflict;
    }
    match status.code {
        401 | 403 => Class::Forbidden,
        404 if is_missing(status) => Class::Waiting { after: None },
        429 => Class::Throttled {
            after: retry_after(status),
        },
        404 | 408 => Class::Transient,
        400..500 => Class::Terminal,
        _ => Class::Transient,
    }
}

fn retry_after(status: &Status) -> Duration {
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    Duration::from_secs(u64::from(seconds.max(1)))
}

/// A lost compare-and-swap is 409; a failed `test` of a JSON patch is a bare 422, which unlike a validation error names
/// neither a kind nor causes (kube-apiserver 1.36).
fn is_conflict(status: &Status) -> bool {
    let bare = status
        .details
        .as_ref()
        .is_none_or(|details| details.kind.is_empty() && details.causes.is_empty());
    status.code == 409 || (status.code == 422 && bare)
}

/// Beyond about 1.5 MiB etcd refuses, which the API server reports as 500; a body over 3 MiB is answered 413
/// (kube-apiserver 1.36, etcd 3.6).
fn is_too_large(status: &Status) -> bool {
    status.code == 413
        || (status.code == 500
            && (status.message.contains("request is too large")
                || status.message.contains("trying to send message larger than max")))
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    fn api(code: u16, message: &str) -> ApiError {
        ApiError(kube::Error::Api(Status::failure(message, "").with_code(code).boxed()))
    }

    fn details(kind: &str, causes: Vec<StatusCause>, retry_after_seconds: u32) -> StatusDetails {
        StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: kind.into(),
            uid: String::new(),
            causes,
            retry_after_seconds,
        }
    }

    #[test]
    fn an_etcd_refusal_is_terminal_although_its_code_is_500() {
        for error in [
            api(500, "etcdserver: request is too large"),
            api(
                500,
                "rpc error: code = ResourceExhausted desc = trying to send message larger than max (1 vs. 2)",
            ),
            api(413, "Request entity too large: limit is 3145728"),
        ] {
            assert!(error.is_too_large());
            assert_eq!(error.class(), Class::Terminal);
            assert_eq!(error.reason(), "ObjectTooLarge");
        }
        assert_eq!(api(500, "something else").class(), Class::Transient);
    }

    #[test]
    fn a_failed_json_patch_test_is_a_conflict_and_a_validation_error_is_not() {
        assert_eq!(api(422, "the server rejected our request").class(), Class::Conflict);
        let cause = StatusCause {
            reason: "FieldValueInvalid".into(),
            message: "no".into(),
            field: "spec".into(),
        };
        let status = Status::failure("invalid", "Invalid")
            .with_code(422)
            .with_details(details("Thing", vec![cause], 0));
        assert_eq!(ApiError(kube::Error::Api(status.boxed())).class(), Class::Terminal);
    }

    #[test]
    fn the_server_decides_how_long_a_throttled_call_waits() {
        let status = Status::failure("slow down", "TooManyRequests")
            .with_code(429)
            .with_details(details("", vec![], 7));
        let class = ApiError(kube::Error::Api(status.boxed())).class();
        assert_eq!(
            class,
            Class::Throttled {
                after: Duration::from_secs(7)
            }
        );
    }

    #[test]
    fn codes_have_the_classes_of_the_table() {
        for (code, class) in [
            (400, Class::Terminal),
            (401, Class::Forbidden),
            (403, Class::Forbidden),
            (404, Class::Transient),
            (408, Class::Transient),
            (409, Class::Conflict),
            (500, Class::Transient),
            (503, Class::Transient),
        ] {
            assert_eq!(api(code, "x").class(), class, "{code}");
        }
    }

    #[test]
    fn only_the_servers_own_word_makes_an_object_missing() {
        let said = |reason: &str| ApiError(kube::Error::Api(Status::failure("x", reason).with_code(404).boxed()));
        assert!(said("NotFound").is_not_found());
        assert_eq!(said("NotFound").class(), Class::Waiting { after: None });
        // "404 page not found": the kind is not served yet, or a proxy answered.
        let page = said("Failed to parse error data");
        assert!(!page.is_not_found());
        assert_eq!(page.class(), Class::Transient);
    }

    #[test]
    fn the_text_is_the_servers_message_and_nothing_else() {
        assert_eq!(api(403, "pools is forbidden").message(), "pools is forbidden");
    }
}
