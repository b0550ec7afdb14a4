//! Of AzureAccount.

use serde_json::json;

use super::Change::{Create, Update};
use super::{A_GUID, B_GUID, Case};

pub fn cases() -> Vec<Case> {
    let account = |path, rule, accepted, refused| Case {
        kind: "AzureAccount",
        path,
        rule,
        accepted,
        refused,
    };
    let secret = json!({"clientId": A_GUID, "secretKeyRef": {"name": "secret"}});
    vec![
        account(
            "spec.tenantId",
            "tenantId cannot be changed; create another AzureAccount",
            Update(json!({}), json!({"tenantId": A_GUID.to_uppercase()})),
            Update(json!({}), json!({"tenantId": B_GUID})),
        ),
        account(
            "spec.subscriptionId",
            "subscriptionId cannot be changed; create another AzureAccount",
            Update(json!({}), json!({"subscriptionId": A_GUID.to_uppercase()})),
            Update(json!({}), json!({"subscriptionId": B_GUID})),
        ),
        account(
            "spec.credential",
            "exactly one of workloadIdentity, clientSecret, clientCertificate and hostIdentity must be set",
            Create(json!({"credential": {"workloadIdentity": null, "clientSecret": secret}})),
            Create(json!({"credential": {"clientSecret": secret}})),
        ),
        account(
            "spec.credential.workloadIdentity",
            "exactly one of clientId and managedIdentityRef must be set",
            Create(
                json!({"credential": {"workloadIdentity": {"clientId": null, "managedIdentityRef": {"name": "one"}}}}),
            ),
            Create(json!({"credential": {"workloadIdentity": {"managedIdentityRef": {"name": "one"}}}})),
        ),
    ]
}
