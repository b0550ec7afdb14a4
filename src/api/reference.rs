//! References to other objects. Every reference names an object of the **same namespace**; the one exception is
//! [`PoolReference`], which needs the pool's consent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form;

/// Names an object of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::OBJECT_NAME))]
    pub name: String,
}

/// Names a SessionPool, by default of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct PoolReference {
    /// Name of the SessionPool.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::OBJECT_NAME))]
    pub name: String,
    /// Namespace of the SessionPool; absent means the namespace of this object. A pool of another namespace must
    /// be shared with this one (`spec.sharing`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = form::NAMESPACE))]
    pub namespace: Option<String>,
}

/// Selects one key of a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretKeySelector {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::OBJECT_NAME))]
    pub name: String,
    /// Key in the Secret's `data`.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::DATA_KEY))]
    pub key: String,
    /// If true, a Secret or key that does not exist is left out; otherwise the object waits for it. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Selects one key of a ConfigMap of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ConfigMapKeySelector {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::OBJECT_NAME))]
    pub name: String,
    /// Key in the ConfigMap's `data` or `binaryData`.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::DATA_KEY))]
    pub key: String,
    /// If true, a ConfigMap or key that does not exist is left out; otherwise the object waits for it. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}
