//! The values of a pool's secrets. They are read when they are needed and live in memory only.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use kube::Client;

use crate::api::session_pool::PoolSecret;
use crate::controller::operator_key::OperatorKey;
use crate::controller::secret;
use crate::runtime::ApiError;

/// The values of all secrets of a pool together. `docs/limits.md` says so to users.
const VALUES_BYTES: usize = 1024 * 1024;

/// Keys of one Secret.
type Keys<'a> = BTreeMap<&'a str, Bytes>;

/// A secret of a pool with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue {
    /// Its name in Azure.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why the values are not complete.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A Secret or its key is missing, or its value is no text.
    #[error("spec.secrets[{index}]: {problem}")]
    Missing {
        /// The position in the spec.
        index: usize,
        /// What is wrong.
        problem: String,
    },
    /// The values are more than a pool can be given.
    #[error(
        "spec.secrets[{index}]: up to this one, the values of the pool's secrets have more than {VALUES_BYTES} bytes in total"
    )]
    TooLarge {
        /// The position in the spec.
        index: usize,
    },
    /// The API server did not answer as it should.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Reads the values of all secrets, each Secret once. Those that are optional and missing are left out.
pub async fn read(client: &Client, namespace: &str, secrets: &[PoolSecret]) -> Result<Vec<SecretValue>, SecretError> {
    let mut known: BTreeMap<&str, Option<Keys<'_>>> = BTreeMap::new();
    let mut values = Vec::with_capacity(secrets.len());
    let (mut read, mut given) = (0, 0);
    for (index, pool_secret) in secrets.iter().enumerate() {
        let selector = &pool_secret.value_from.secret_key_ref;
        let name = selector.name.as_str();
        if !known.contains_key(name) {
            let same = secrets.iter().map(|it| &it.value_from.secret_key_ref);
            let same = same.filter(|it| it.name == name).map(|it| it.key.as_str());
            let found = secret::read_keys(client, namespace, name, same).await?;
            read += found.iter().flat_map(BTreeMap::values).map(Bytes::len).sum::<usize>();
            known.insert(name, found);
        }
        let value = value(known.get(name).and_then(Option::as_ref), name, &selector.key);
        given += value.as_ref().map_or(0, |it| it.len());
        if read.max(given) > VALUES_BYTES {
            return Err(SecretError::TooLarge { index });
        }
        match value {
            Ok(value) => values.push(SecretValue {
                name: pool_secret.name.clone(),
                value: value.to_owned(),
            }),
            Err(_) if selector.optional == Some(true) => {}
            Err(problem) => return Err(SecretError::Missing { index, problem }),
        }
    }
    Ok(values)
}

/// A keyed digest of the values, whatever their order.
pub fn digest(values: &[SecretValue], key: &OperatorKey) -> String {
    let mut parts: Vec<(&str, &str)> = values.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect();
    parts.sort_unstable();
    key.digest(
        parts
            .iter()
            .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]),
    )
}

fn value<'a>(secret: Option<&'a Keys<'_>>, name: &str, key: &str) -> Result<&'a str, String> {
    let secret = secret.ok_or_else(|| format!("Secret {name} does not exist"))?;
    let bytes = secret
        .get(key)
        .ok_or_else(|| format!("Secret {name} has no key `{key}`"))?;
    str::from_utf8(bytes).map_err(|_| format!("the value under `{key}` of Secret {name} is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, value: &str) -> SecretValue {
        SecretValue {
            name: name.into(),
            value: value.into(),
        }
    }

    #[test]
    fn the_digest_depends_on_names_and_values_and_not_on_their_order() {
        let key = OperatorKey::new([3; 32]);
        let (a, b) = (secret("a", "1"), secret("b", "2"));
        let one = digest(&[a.clone(), b.clone()], &key);
        assert_eq!(one, digest(&[b.clone(), a.clone()], &key));
        assert_ne!(one, digest(&[secret("a", "2"), secret("b", "1")], &key));
        assert_ne!(one, digest(&[a], &key));
    }

    #[test]
    fn a_value_is_never_shown() {
        assert!(!format!("{:?}", secret("a", "canary")).contains("canary"));
    }
}
