//! Which credential an account has, who that is, and what proves it.

use k8s_openapi::api::core::v1::Secret;
use kube::{Client, ResourceExt};

use crate::api::azure_account::{
    AccountCredential, ClientCertificateCredential, ClientSecret, HostIdentityCredential, WorkloadIdentity,
};
use crate::api::{AzureAccount, ManagedIdentity};
use crate::azure::{ClientCertificate, Cloud, Credential, HostIdentity, Http, Tokens};
use crate::controller::reference::{account_id, known_client_id, usable_identity_in};
use crate::controller::secret;
use crate::controller::watched::Watched;
use crate::runtime::Key;

use super::error::AccountError;
use super::federation::Federation;

/// The keys of a Secret of type `kubernetes.io/tls`.
const CERTIFICATE_KEY: &str = "tls.crt";
const PRIVATE_KEY: &str = "tls.key";

/// Which namespaces may be the operator's host, and what that is.
#[derive(Debug, Clone)]
pub struct HostAccess {
    identity: HostIdentity,
    allowed: Vec<String>,
}

impl HostAccess {
    /// The host's identity for these namespaces; `*` stands for all of them.
    pub fn new(identity: HostIdentity, allowed: Vec<String>) -> Self {
        Self { identity, allowed }
    }

    fn allows(&self, namespace: &str) -> bool {
        self.allowed.iter().any(|it| it == "*" || it == namespace)
    }
}

/// The one way that an account proves who it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    WorkloadIdentity(&'a WorkloadIdentity),
    ClientSecret(&'a ClientSecret),
    ClientCertificate(&'a ClientCertificateCredential),
    HostIdentity(&'a HostIdentityCredential),
}

/// How an identity that an account refers to is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// It has to be ready.
    Ready,
    /// It has to be known: something is to be removed with it, perhaps while it is itself about to go.
    Known,
}

impl<'a> Way<'a> {
    /// The way that a spec sets. That it is exactly one is a rule of the definition.
    pub(super) fn of(spec: &'a AccountCredential) -> Result<Self, AccountError> {
        let AccountCredential {
            workload_identity,
            client_secret,
            client_certificate,
            host_identity,
        } = spec;
        match (workload_identity, client_secret, client_certificate, host_identity) {
            (Some(it), None, None, None) => Ok(Self::WorkloadIdentity(it)),
            (None, Some(it), None, None) => Ok(Self::ClientSecret(it)),
            (None, None, Some(it), None) => Ok(Self::ClientCertificate(it)),
            (None, None, None, Some(it)) => Ok(Self::HostIdentity(it)),
            _ => Err(AccountError::NoCredential),
        }
    }

    /// Whether Entra ID knows the principal by a federated credential, which may be newer than it has noticed.
    pub(super) fn is_federated(self) -> bool {
        match self {
            Self::WorkloadIdentity(_) => true,
            Self::ClientSecret(_) | Self::ClientCertificate(_) | Self::HostIdentity(_) => false,
        }
    }

    /// Who the account is, in a text that no other principal has. Reads no Secret and asks nobody.
    ///
    /// A namespace that may not be who it says it is gets no further than here.
    pub(super) fn principal(
        self,
        account: &Key,
        identities: &Watched<ManagedIdentity>,
        host: &HostAccess,
        demand: Demand,
    ) -> Result<AccountPrincipal, AccountError> {
        let namespace = account.namespace.as_str();
        match self {
            Self::WorkloadIdentity(WorkloadIdentity {
                client_id,
                managed_identity_ref,
                service_account_ref: _,
            }) => match (client_id, managed_identity_ref) {
                (Some(client_id), None) => Ok(AccountPrincipal::Application(client_id.clone())),
                (None, Some(reference)) => {
                    let identity = identities.get(&Key::new(namespace, &reference.name));
                    if identity.is_some_and(|it| account_of(&it) == *account) {
                        let name = reference.name.clone();
                        return Err(AccountError::IdentityOfItself { name });
                    }
                    let usable = usable_identity_in(identities, namespace, &reference.name);
                    match (usable, demand) {
                        (Ok(identity), _) => Ok(AccountPrincipal::Application(identity.client_id)),
                        (Err(unusable), Demand::Ready) => Err(AccountError::Identity(unusable)),
                        (Err(unusable), Demand::Known) => known_client_id(identities, namespace, &reference.name)
                            .map(AccountPrincipal::Application)
                            .ok_or(AccountError::Identity(unusable)),
                    }
                }
                (Some(_), Some(_)) | (None, None) => Err(AccountError::NoCredential),
            },
            Self::ClientSecret(ClientSecret { client_id, .. })
            | Self::ClientCertificate(ClientCertificateCredential { client_id, .. }) => {
                Ok(AccountPrincipal::Application(client_id.clone()))
            }
            Self::HostIdentity(HostIdentityCredential { client_id }) if host.allows(namespace) => Ok(client_id
                .clone()
                .map_or(AccountPrincipal::Host, AccountPrincipal::Application)),
            Self::HostIdentity(_) => {
                let namespace = namespace.to_owned();
                Err(AccountError::HostIdentityNotAllowed { namespace })
            }
        }
    }

    /// Reads what proves the principal. Nothing of another namespace is read.
    pub(super) async fn read(self, client: &Client, namespace: &str) -> Result<Proof, AccountError> {
        match self {
            Self::WorkloadIdentity(it) => Ok(Proof::ServiceAccount(it.service_account_ref.name.clone())),
            Self::HostIdentity(_) => Ok(Proof::Host),
            Self::ClientSecret(ClientSecret { secret_key_ref, .. }) => {
                let field = "clientSecret.secretKeyRef";
                let secret = read(client, namespace, &secret_key_ref.name, field).await?;
                let value = secret.value(&secret_key_ref.key)?;
                let name = secret_key_ref.name.clone();
                let key = secret_key_ref.key.clone();
                let text = String::from_utf8(value).map_err(|_| AccountError::SecretNotText { name, key })?;
                Ok(Proof::Secret {
                    version: secret.version,
                    // `echo secret | base64` ends with a newline that is no part of any client secret.
                    value: text.trim_end_matches(['\r', '\n']).to_owned(),
                })
            }
            Self::ClientCertificate(ClientCertificateCredential { secret_ref, .. }) => {
                let secret = read(client, namespace, &secret_ref.name, "clientCertificate.secretRef").await?;
                let (certificate, key) = (secret.value(CERTIFICATE_KEY)?, secret.value(PRIVATE_KEY)?);
                let name = secret_ref.name.clone();
                let certificate = match ClientCertificate::from_pem(&certificate, &key) {
                    Ok(certificate) => certificate,
                    Err(problem) => return Err(AccountError::Certificate { name, problem }),
                };
                if let Some(problem) = certificate.invalid_at(jiff::Timestamp::now()) {
                    return Err(AccountError::CertificateNotValid { name, problem });
                }
                Ok(Proof::Certificate {
                    version: secret.version,
                    certificate,
                })
            }
        }
    }
}

/// The account that an identity is made with.
fn account_of(identity: &ManagedIdentity) -> Key {
    let namespace = identity.metadata.namespace.as_deref().unwrap_or_default();
    account_id(namespace, identity.spec.azure.management.account_ref.as_ref()).key
}

/// What tokens are got with.
pub(super) struct Means<'a> {
    pub client: &'a Client,
    pub cloud: &'a Cloud,
    pub http: &'a Http,
    pub host: &'a HostAccess,
}

/// Who an account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AccountPrincipal {
    /// An application or managed identity with this client id.
    Application(String),
    /// What the operator's host is by default.
    Host,
}

impl AccountPrincipal {
    fn client_id(&self) -> Option<&str> {
        match self {
            Self::Application(client_id) => Some(client_id),
            Self::Host => None,
        }
    }

    /// A text that tells it from all other principals: no client id is a word.
    pub(super) fn as_str(&self) -> &str {
        self.client_id().unwrap_or("host")
    }
}

/// What proves who an account is.
pub(super) enum Proof {
    Secret {
        version: String,
        value: String,
    },
    Certificate {
        version: String,
        certificate: ClientCertificate,
    },
    /// Tokens of this ServiceAccount of the account's own namespace.
    ServiceAccount(String),
    /// The operator's host.
    Host,
}

impl Proof {
    /// The version of the Secret that it was read from.
    pub(super) fn version(&self) -> Option<&str> {
        match self {
            Self::Secret { version, .. } | Self::Certificate { version, .. } => Some(version),
            Self::ServiceAccount(_) | Self::Host => None,
        }
    }

    /// Tokens of the principal in the tenant of the account. Of ServiceAccounts, only those of the account's own namespace
    /// are ever asked for.
    pub(super) fn tokens(self, account: &AzureAccount, principal: &AccountPrincipal, means: &Means<'_>) -> Tokens {
        let (http, authority) = (means.http.clone(), means.cloud.authority.clone());
        let tenant = account.spec.tenant_id.as_str();
        let client_id = principal.client_id();
        let application = client_id.unwrap_or_default();
        let credential = match self {
            Self::Host => return Tokens::new(means.host.identity.token_source(http, authority, tenant, client_id)),
            Self::Secret { value, .. } => Credential::client_secret(http, authority, tenant, application, value),
            Self::Certificate { certificate, .. } => {
                Credential::certificate(http, authority, tenant, application, certificate)
            }
            Self::ServiceAccount(name) => {
                let namespace = account.namespace().unwrap_or_default();
                let audience = &means.cloud.federation_audience;
                let federation = Federation::new(means.client.clone(), &namespace, &name, audience);
                Credential::assertion(http, authority, tenant, application, federation.into_source())
            }
        };
        Tokens::new(credential)
    }
}

/// A Secret that was read.
struct Found {
    version: String,
    secret: Secret,
    name: String,
    field: &'static str,
}

impl Found {
    fn value(&self, key: &str) -> Result<Vec<u8>, AccountError> {
        let data = self.secret.data.as_ref();
        let value = data.and_then(|data| data.get(key)).filter(|value| !value.0.is_empty());
        value
            .map(|value| value.0.clone())
            .ok_or_else(|| AccountError::SecretKeyNotFound {
                name: self.name.clone(),
                key: key.to_owned(),
                field: self.field,
            })
    }
}

async fn read(client: &Client, namespace: &str, name: &str, field: &'static str) -> Result<Found, AccountError> {
    let name = name.to_owned();
    match secret::read(client, namespace, &name).await {
        Ok(Some(secret)) => Ok(Found {
            version: secret.resource_version().unwrap_or_default(),
            secret,
            name,
            field,
        }),
        Ok(None) => Err(AccountError::SecretNotFound { name, field }),
        Err(source) => Err(AccountError::Unreadable {
            name,
            since: jiff::Timestamp::now(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn host(allowed: &[&str]) -> HostAccess {
        // Another test may have installed it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let identity = HostIdentity::of_environment(|_| None).unwrap();
        HostAccess::new(identity, allowed.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn a_namespace_is_the_operators_host_only_where_it_is_listed() {
        for (allowed, is_allowed) in [
            (&[][..], false),
            (&["other"], false),
            (&["batc"], false),
            (&["other", "batch"], true),
            (&["*"], true),
        ] {
            assert_eq!(host(allowed).allows("batch"), is_allowed, "{allowed:?}");
        }
    }

    #[test]
    fn a_credential_has_exactly_one_way() {
        let of = |credential: serde_json::Value| {
            let credential: AccountCredential = serde_json::from_value(credential).unwrap();
            Way::of(&credential).map(|way| way.is_federated()).ok()
        };
        let secret = json!({"clientId": "c", "secretKeyRef": {"name": "s"}});
        let certificate = json!({"clientId": "c", "secretRef": {"name": "s"}});
        for (credential, is_federated) in [
            (json!({"workloadIdentity": {"clientId": "c"}}), Some(true)),
            (json!({"clientSecret": secret}), Some(false)),
            (json!({"clientCertificate": certificate}), Some(false)),
            (json!({"hostIdentity": {}}), Some(false)),
            (json!({}), None),
            (json!({"hostIdentity": {}, "clientSecret": secret}), None),
        ] {
            assert_eq!(of(credential.clone()), is_federated, "{credential}");
        }
    }

    #[test]
    fn principals_are_told_apart() {
        let application = AccountPrincipal::Application("12345678-0000-0000-0000-000000000000".to_owned());
        assert_ne!(application.as_str(), AccountPrincipal::Host.as_str());
        assert_eq!(AccountPrincipal::Host.client_id(), None);
    }
}
