//! AzureAccount: the credential, tenant, subscription and defaults that the objects of a namespace use.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form;
use super::immutable;
use super::reference::LocalReference;

/// The credential, tenant and subscription that the objects of a namespace use in Azure. Objects that name no account
/// use the one called `default`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "lifeguard.dev",
    version = "v1alpha1",
    kind = "AzureAccount",
    plural = "azureaccounts",
    shortname = "azacct",
    category = "lifeguard",
    namespaced,
    status = "AzureAccountStatus",
    derive = "PartialEq",
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "SUBSCRIPTION", type_ = "string", json_path = ".spec.subscriptionId"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct AzureAccountSpec {
    /// The Microsoft Entra tenant: a GUID or a verified domain. It cannot be changed.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::TENANT))]
    #[x_kube(validation = (immutable::IN_ANY_CASE, "tenantId cannot be changed; create another AzureAccount"))]
    pub tenant_id: String,
    /// The Azure subscription, as a GUID. It cannot be changed, because the objects that use the account are in it.
    #[schemars(
        length(min = 36, max = 36),
        regex(pattern = form::GUID)
    )]
    #[x_kube(validation = (immutable::IN_ANY_CASE, "subscriptionId cannot be changed; create another AzureAccount"))]
    pub subscription_id: String,
    /// The credential with which the operator signs in to Azure. Exactly one member must be set.
    pub credential: AccountCredential,
    /// Default resource group of the objects that use the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub resource_group: Option<String>,
    /// Default Azure region of the objects that use the account, such as `northcentralus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub location: Option<String>,
}

/// How the operator signs in: exactly one member is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(has(self.workloadIdentity) ? 1 : 0) + (has(self.clientSecret) ? 1 : 0) + (has(self.clientCertificate) ? 1 : 0) + (has(self.hostIdentity) ? 1 : 0) == 1",
    "exactly one of workloadIdentity, clientSecret, clientCertificate and hostIdentity must be set"
))]
pub struct AccountCredential {
    /// Workload identity federation: the operator exchanges a token of a ServiceAccount of this namespace for a token
    /// of Azure. No secret is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
    /// A client secret of an app registration, kept in a Secret of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ClientSecret>,
    /// A certificate of an app registration, kept with its private key in a Secret of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificateCredential>,
    /// The operator's own identity: that of the machine, container app or ServiceAccount that it runs as. Refused
    /// unless the installation allows it for this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_identity: Option<HostIdentityCredential>,
}

/// Workload identity federation with a ServiceAccount of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.clientId) != has(self.managedIdentityRef)", "exactly one of clientId and managedIdentityRef must be set"))]
pub struct WorkloadIdentity {
    /// Client id of the managed identity or app registration that trusts the ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 36, max = 36),
        regex(pattern = form::GUID)
    )]
    pub client_id: Option<String>,
    /// A ManagedIdentity of this namespace that trusts the ServiceAccount. The account waits until it is ready. It must
    /// use a different AzureAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_identity_ref: Option<LocalReference>,
    /// The ServiceAccount of this namespace whose token is exchanged. Default: the one named `lifeguard`. The operator
    /// may request tokens only for the names that its installation lists, by default `lifeguard` and
    /// `lifeguard-runner`.
    #[serde(default = "default_service_account")]
    pub service_account_ref: LocalReference,
}

fn default_service_account() -> LocalReference {
    LocalReference {
        name: "lifeguard".into(),
    }
}

/// A client secret in a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// Client id of the app registration.
    #[schemars(
        length(min = 36, max = 36),
        regex(pattern = form::GUID)
    )]
    pub client_id: String,
    /// The key of a Secret of this namespace that holds the client secret.
    pub secret_key_ref: ClientSecretReference,
}

/// Names a Secret and the key that holds a client secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ClientSecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::OBJECT_NAME))]
    pub name: String,
    /// Key in the Secret's `data`. Default `clientSecret`.
    #[serde(default = "default_secret_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = form::DATA_KEY))]
    pub key: String,
}

fn default_secret_key() -> String {
    "clientSecret".into()
}

/// A certificate in a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateCredential {
    /// Client id of the app registration.
    #[schemars(
        length(min = 36, max = 36),
        regex(pattern = form::GUID)
    )]
    pub client_id: String,
    /// A Secret of this namespace, of type `kubernetes.io/tls`: its key `tls.crt` holds the certificate, `tls.key` the
    /// private RSA key, both as PEM.
    pub secret_ref: LocalReference,
}

/// The identity of the operator itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostIdentityCredential {
    /// Client id of one of the user-assigned identities of the operator's host. Default: its system-assigned identity,
    /// or the one that its ServiceAccount is annotated with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 36, max = 36),
        regex(pattern = form::GUID)
    )]
    pub client_id: Option<String>,
}

/// The observed state of an AzureAccount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureAccountStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has observed the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`; and `Reconciling` or `Stalled`, which are present only while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Display name of the subscription in Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_name: Option<String>,
    /// The value of the annotation `lifeguard.dev/reconcile-requested-at` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl AzureAccountSpec {
    /// The default account's name, for objects without `accountRef`.
    pub const DEFAULT_NAME: &str = "default";

    /// The account's name for an object with this `accountRef`.
    pub fn name_for(account_ref: Option<&LocalReference>) -> &str {
        account_ref.map_or(Self::DEFAULT_NAME, |it| it.name.as_str())
    }
}
