//! What cannot be changed may be said in other words: in another spelling, by its default, or by what only other objects can
//! tell, which the operator looks at. What says something else is refused.

use serde_json::{Value, json};

use super::Change::{Update, UpdateStarted};
use super::{A_GUID, B_GUID, carry_out};
use crate::server::{client, namespace};

const APP: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.App/containerApps/one";
const POOL: &str =
    "/subscriptions/00000000-0000-0000-0000-00000000000a/resourceGroups/g/providers/Microsoft.App/sessionPools/one";

fn principal(members: &Value) -> Value {
    let mut principal = json!({"managedIdentityRef": null, "principalId": "a0000000-0000-0000-0000-000000000000"});
    super::merge(&mut principal, members);
    json!({"principal": principal})
}

fn scope(id: &str) -> Value {
    json!({"scope": {"sessionPoolRef": null, "resourceId": id}})
}

fn app(members: &Value) -> Value {
    let mut app = json!({"name": null});
    super::merge(&mut app, members);
    json!({"target": {"containerApp": app}})
}

fn job_of(id: &str) -> Value {
    json!({"target": {"sessionPoolRef": null, "sessionPool": {"resourceId": id}}})
}

/// What every kind with a region and a name in Azure has; the objects are named `NAME`.
fn of_resources(kind: &'static str) -> [(&'static str, Value, Value); 5] {
    [
        (kind, json!({}), json!({"azureName": NAME})),
        (kind, json!({"azureName": NAME}), json!({})),
        (
            kind,
            json!({"location": "West Europe"}),
            json!({"location": "westeurope"}),
        ),
        (kind, json!({"location": "westEUROPE"}), json!({})),
        (kind, json!({}), json!({"location": "westeurope"})),
    ]
}

/// What every kind with a resource group has. Which group a reference or an account means, only the operator can tell.
fn of_members_of_groups(kind: &'static str) -> [(&'static str, Value, Value); 6] {
    let (named, referred) = (
        json!({"resourceGroup": "one"}),
        json!({"resourceGroupRef": {"name": "one"}}),
    );
    [
        (kind, named.clone(), json!({"resourceGroup": "One"})),
        (kind, named.clone(), referred.clone()),
        (kind, referred.clone(), named.clone()),
        (kind, json!({}), named.clone()),
        (kind, named, json!({})),
        (kind, referred, json!({"resourceGroupRef": {"name": "alias"}})),
    ]
}

const NAME: &str = "immutable";

#[tokio::test]
async fn what_means_the_same_in_other_words_is_no_change() {
    let client = client().await;
    let namespace = namespace("same");
    let mut pairs = vec![
        ("SessionPool", json!({}), json!({"poolManagementType": "Dynamic"})),
        ("RoleAssignment", json!({"role": "Reader"}), json!({"role": "READER"})),
        (
            "RoleAssignment",
            json!({"role": "acdd72a7-3385-48ef-bd42-f606fba81ae7"}),
            json!({"role": "ACDD72A7-3385-48EF-BD42-F606FBA81AE7"}),
        ),
        (
            "RoleAssignment",
            principal(&json!({})),
            principal(&json!({
                "principalId": "A0000000-0000-0000-0000-000000000000", "principalType": "ServicePrincipal",
            })),
        ),
        (
            "RoleAssignment",
            principal(&json!({"principalType": "ServicePrincipal"})),
            principal(&json!({})),
        ),
        ("RoleAssignment", scope(POOL), scope(&POOL.to_lowercase())),
        (
            "IdentityAssignment",
            app(&json!({"name": "one"})),
            app(&json!({"name": "One"})),
        ),
        (
            "IdentityAssignment",
            app(&json!({"resourceId": APP})),
            app(&json!({"resourceId": APP.to_lowercase()})),
        ),
        (
            "IdentityAssignment",
            app(&json!({"resourceId": APP})),
            app(&json!({"name": "ONE", "resourceGroup": "g"})),
        ),
        (
            "IdentityAssignment",
            app(&json!({"name": "one", "resourceGroupRef": {"name": "g"}})),
            app(&json!({"name": "one", "resourceGroup": "g"})),
        ),
    ];
    for kind in ["ResourceGroup", "SessionPool", "ManagedIdentity"] {
        pairs.extend(of_resources(kind));
    }
    for kind in ["SessionPool", "ManagedIdentity"] {
        pairs.extend(of_members_of_groups(kind));
    }
    for (kind, before, after) in pairs {
        let change = Update(before.clone(), after.clone());
        carry_out(&client, &namespace, NAME, kind, &change)
            .await
            .unwrap_or_else(|refusal| panic!("{kind}: {before} to {after}: {refusal}"));
    }
    let other_case = UpdateStarted(job_of(POOL), job_of(&POOL.to_lowercase()));
    carry_out(&client, &namespace, NAME, "CommandJob", &other_case)
        .await
        .expect("the same pool");
}

#[tokio::test]
async fn what_means_something_else_is_refused_by_its_field() {
    let client = client().await;
    let namespace = namespace("another");
    let no_guid = "another.example";
    let reader = json!({"role": "Reader"});
    let mut pairs = vec![
        ("AzureAccount", json!({}), json!({"tenantId": no_guid}), "tenantId"),
        (
            "AzureAccount",
            json!({}),
            json!({"subscriptionId": B_GUID}),
            "subscriptionId",
        ),
        (
            "SessionPool",
            json!({}),
            json!({"containerType": "PythonLTS"}),
            "containerType",
        ),
        ("RoleAssignment", reader.clone(), json!({"role": "Contributor"}), "role"),
        ("RoleAssignment", reader, json!({"role": A_GUID}), "role"),
        (
            "RoleAssignment",
            principal(&json!({})),
            principal(&json!({"principalId": B_GUID})),
            "principal",
        ),
        (
            "RoleAssignment",
            principal(&json!({})),
            principal(&json!({"principalType": "User"})),
            "principal",
        ),
        ("RoleAssignment", json!({}), principal(&json!({})), "principal"),
        (
            "RoleAssignment",
            scope(POOL),
            scope(&POOL.replace("/one", "/two")),
            "scope",
        ),
        ("RoleAssignment", json!({}), scope(POOL), "scope"),
        (
            "IdentityAssignment",
            app(&json!({"resourceId": APP})),
            app(&json!({"resourceId": APP.replace("/g/", "/h/")})),
            "target",
        ),
        (
            "IdentityAssignment",
            app(&json!({"resourceId": APP})),
            app(&json!({"name": "ne"})),
            "target",
        ),
        (
            "IdentityAssignment",
            app(&json!({"name": "two"})),
            app(&json!({"resourceId": APP})),
            "target",
        ),
    ];
    for kind in ["ResourceGroup", "SessionPool", "ManagedIdentity"] {
        pairs.extend([
            (kind, json!({}), json!({"azureName": "another"}), "azureName"),
            (kind, json!({"azureName": "another"}), json!({}), "azureName"),
            (
                kind,
                json!({"azureName": "one"}),
                json!({"azureName": "two"}),
                "azureName",
            ),
            (
                kind,
                json!({"location": "East US"}),
                json!({"location": "East US 2"}),
                "location",
            ),
        ]);
    }
    for kind in ["SessionPool", "ManagedIdentity"] {
        let [one, two] = ["one", "two"].map(|name| json!({"resourceGroup": name}));
        pairs.push((kind, one, two, "resourceGroup"));
    }
    for (kind, before, after, field) in pairs {
        let change = Update(before.clone(), after.clone());
        let refusal = carry_out(&client, &namespace, NAME, kind, &change)
            .await
            .expect_err(&format!("{kind}: {before} could become {after}"));
        let words = format!("{field} cannot be changed");
        assert!(refusal.contains(&words), "{kind}: {before} to {after}: {refusal}");
    }
    let another = UpdateStarted(job_of(POOL), job_of(&POOL.replace("/one", "/two")));
    carry_out(&client, &namespace, NAME, "CommandJob", &another)
        .await
        .expect_err("another pool");
}
