//! The operator's key and the Secret that holds it. Everything secret that must be derived again after a restart
//! derives from it.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, Mac};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use sha2::Sha256;

use crate::runtime::ApiError;

/// The operator's key: 32 random bytes. It is never shown.
#[derive(Clone)]
pub struct OperatorKey([u8; 32]);

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey(…)")
    }
}

impl OperatorKey {
    /// Takes the bytes of the key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A digest of secret values that reveals nothing about them to whoever lacks the key: 32 hexadecimal digits.
    pub fn digest<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> String {
        hex(&self.derive("values", values)[..16])
    }

    /// HMAC-SHA-256 of `parts` under the key. The parts keep their borders; `purpose` keeps uses apart.
    pub fn derive<'a>(&self, purpose: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("invariant: HMAC takes keys of any length");
        let mut add = |part: &[u8]| {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        };
        add(purpose.as_bytes());
        parts.into_iter().for_each(add);
        mac.finalize().into_bytes().into()
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("invariant: writing to a String does not fail");
            text
        })
}

/// Name of the Secret in the operator's own namespace.
pub const SECRET_NAME: &str = "lifeguard-operator-key";

const SECRET_KEY: &str = "key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The API server refused or did not answer.
    #[error("the secret {SECRET_NAME} in namespace {namespace} could not be read or created")]
    Api {
        /// The operator's namespace.
        namespace: String,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// The Secret is not what this operator makes.
    #[error("the secret {SECRET_NAME} in namespace {namespace} must hold 32 bytes under `{SECRET_KEY}`")]
    Malformed {
        /// The operator's namespace.
        namespace: String,
    },
    /// The system gave no random bytes.
    #[error("no random bytes could be obtained for the operator's key")]
    NoRandomness,
}

/// Reads the key, and creates it if there is none. It is only ever created, never overwritten: of two operators that
/// start together, both end up with the key of the faster one.
///
/// Losing the Secret loses no result that is already in a status; attempts that were under way end as `Lost`.
pub async fn load_or_create(secrets: &Api<Secret>, namespace: &str) -> Result<OperatorKey, KeyError> {
    let api_error = |source: kube::Error| KeyError::Api {
        namespace: namespace.to_owned(),
        source: source.into(),
    };
    if let Some(secret) = secrets.get_opt(SECRET_NAME).await.map_err(api_error)? {
        return read(&secret, namespace);
    }
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(SECRET_NAME.into()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(SECRET_KEY.to_owned(), ByteString(bytes.to_vec()))])),
        immutable: Some(true),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(OperatorKey::new(bytes)),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            read(&secrets.get(SECRET_NAME).await.map_err(api_error)?, namespace)
        }
        Err(error) => Err(api_error(error)),
    }
}

fn read(secret: &Secret, namespace: &str) -> Result<OperatorKey, KeyError> {
    secret
        .data
        .as_ref()
        .and_then(|it| it.get(SECRET_KEY))
        .and_then(|it| <[u8; 32]>::try_from(it.0.as_slice()).ok())
        .map(OperatorKey::new)
        .ok_or_else(|| KeyError::Malformed {
            namespace: namespace.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> OperatorKey {
        OperatorKey::new([byte; 32])
    }

    #[test]
    fn values_are_digested_with_their_borders_and_under_the_key() {
        assert_ne!(
            key(1).digest([b"ab".as_slice(), b"c"]),
            key(1).digest([b"a".as_slice(), b"bc"])
        );
        assert_ne!(key(1).digest([b"ab".as_slice()]), key(2).digest([b"ab".as_slice()]));
        assert_eq!(key(1).digest([b"ab".as_slice()]), key(1).digest([b"ab".as_slice()]));
    }

    #[test]
    fn debug_output_does_not_show_the_key() {
        assert!(!format!("{:?}", key(7)).contains('7'));
    }
}
