//! The federated credentials that a spec asks for.

use crate::api::managed_identity::FederatedCredential;
use serde_json::Value;

use crate::azure::managed_identity::{
    FederatedIdentityCredential, delete_federated_credential, federated_credentials, is_refused_for_good,
    put_federated_credential,
};
use crate::azure::{ArmClient, AzureError, ResourceId};
use crate::controller::azure_resource::children::Child;

use super::trust::{AllowedIssuers, Trust};

impl Child for FederatedIdentityCredential {
    const NOUN: &'static str = "federated credential";
    const PATH: &'static str = "federatedCredentials";
    const WRITTEN: &'static str = "CredentialWritten";
    const REMOVED: &'static str = "CredentialRemoved";

    fn name(&self) -> &str {
        &self.name
    }

    fn properties(&self) -> Value {
        self.body()["properties"].take()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.trusts_the_same(other)
    }

    /// Issuer and subject are unique together.
    fn clashes_with(&self, other: &Self) -> bool {
        Self::clashes_with(self, other)
    }

    fn meaning(&self) -> String {
        format!("{} of {} may act as the identity", self.subject, self.issuer)
    }

    fn is_refused_for_good(error: &AzureError) -> bool {
        is_refused_for_good(error)
    }

    async fn list(arm: &ArmClient, id: &ResourceId) -> Result<Option<Vec<Self>>, AzureError> {
        federated_credentials(arm, id).await
    }

    async fn put(&self, arm: &ArmClient, id: &ResourceId) -> Result<(), AzureError> {
        put_federated_credential(arm, id, self).await.map(|_| ())
    }

    async fn delete(arm: &ArmClient, id: &ResourceId, name: &str) -> Result<(), AzureError> {
        delete_federated_credential(arm, id, name).await
    }
}

/// Whether the issuer of this cluster has to be known: it is meant, or what is meant may be it.
pub fn needs_cluster_issuer(credentials: &[FederatedCredential], allowed: &AllowedIssuers) -> bool {
    let needs = |issuer: &str| allowed.trust(issuer, None) == Trust::Unknown;
    credentials.iter().any(|it| it.issuer.as_deref().is_none_or(needs))
}

/// Whether a credential may be written. One of this cluster's own issuer may.
pub fn trust(credential: &FederatedCredential, allowed: &AllowedIssuers, cluster_issuer: Option<&str>) -> Trust {
    match (credential.issuer.as_deref(), cluster_issuer) {
        (Some(issuer), _) => allowed.trust(issuer, cluster_issuer),
        (None, Some(_)) => Trust::Allowed,
        (None, None) => Trust::Unknown,
    }
}

/// What Azure should have. Credentials of this cluster's issuer are left out while that is not known.
pub fn wanted<'a>(
    credentials: impl IntoIterator<Item = &'a FederatedCredential>,
    namespace: &str,
    cluster_issuer: Option<&str>,
    cloud_audience: &str,
) -> Vec<FederatedIdentityCredential> {
    let of_one = |it: &FederatedCredential| {
        let issuer = it.issuer.as_deref().or(cluster_issuer)?;
        let subject = match (&it.service_account_ref, &it.subject) {
            (Some(account), _) => format!("system:serviceaccount:{namespace}:{}", account.name),
            (None, subject) => subject.clone().unwrap_or_default(),
        };
        let audiences = if it.audiences.is_empty() {
            vec![cloud_audience.to_owned()]
        } else {
            it.audiences.clone()
        };
        Some(FederatedIdentityCredential {
            name: it.name.clone(),
            issuer: issuer.to_owned(),
            subject,
            audiences,
        })
    };
    credentials.into_iter().filter_map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn credentials(spec: Value) -> Vec<FederatedCredential> {
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_service_account_is_one_of_the_same_namespace_and_of_this_cluster() {
        let spec = credentials(json!([{"name": "one", "serviceAccountRef": {"name": "runner"}}]));
        assert!(needs_cluster_issuer(&spec, &AllowedIssuers::new(&["*".to_owned()])));
        assert_eq!(wanted(&spec, "team", None, "aud"), []);
        let found = wanted(&spec, "team", Some("https://cluster/"), "aud");
        assert_eq!(
            found,
            [FederatedIdentityCredential {
                name: "one".to_owned(),
                issuer: "https://cluster/".to_owned(),
                subject: "system:serviceaccount:team:runner".to_owned(),
                audiences: vec!["aud".to_owned()],
            }]
        );
    }

    #[test]
    fn other_issuers_and_audiences_are_taken_as_they_are_given() {
        let spec = credentials(json!([
            {"name": "ci", "issuer": "https://ci.example", "subject": "repo:a/b:ref:c", "audiences": ["x"]},
            {"name": "other", "serviceAccountRef": {"name": "a"}, "issuer": "https://other"},
        ]));
        let listed = ["https://ci.example", "https://other"].map(str::to_owned);
        assert!(!needs_cluster_issuer(&spec, &AllowedIssuers::new(&listed)));
        assert!(needs_cluster_issuer(&spec, &AllowedIssuers::new(&listed[..1])));
        let found = wanted(&spec, "team", None, "aud");
        let told: Vec<_> = found
            .iter()
            .map(|it| (it.issuer.as_str(), it.subject.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("https://ci.example", "repo:a/b:ref:c"),
                ("https://other", "system:serviceaccount:team:a")
            ]
        );
        assert_eq!(found[0].audiences, ["x"]);
    }
}
