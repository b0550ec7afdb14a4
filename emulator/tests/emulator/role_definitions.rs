//! `Microsoft.Authorization/roleDefinitions`, and what roles cover.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::wire::{POOLS, ROLES, Wire, shell_pool};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";

#[tokio::test]
async fn a_role_is_found_by_its_name() {
    let wire = Wire::start().await;
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions?$filter=roleName%20eq%20'Azure%20ContainerApps%20Session%20Executor'",
        wire.group("any")
    );
    let list = wire.get(&path, "2022-05-01-preview").await.expect(200).body;
    assert_eq!(list["value"].as_array().unwrap().len(), 1);
    assert_eq!(list["value"][0]["name"], EXECUTOR);
    assert_eq!(
        list["value"][0]["id"],
        format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions/{EXECUTOR}",
            wire.subscription()
        )
    );
    assert!(list["value"][0]["properties"]["permissions"][0]["dataActions"].is_array());
}

#[tokio::test]
async fn every_role_of_the_documents_is_found_by_name_and_by_guid() {
    let wire = Wire::start().await;
    let roles = [
        ("Owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
        ("Contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c"),
        ("Reader", READER),
        ("User Access Administrator", "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"),
        ("Azure ContainerApps Session Executor", EXECUTOR),
        (
            "Container Apps SessionPools Contributor",
            "f7669afb-68b2-44b4-9c5f-6d2a47fddda0",
        ),
        (
            "Container Apps SessionPools Reader",
            "af61e8fc-2633-4b95-bed3-421ad6826515",
        ),
        ("Container Apps Contributor", "358470bc-b998-42bd-ab17-a7e34c199c0f"),
        ("Container Apps Operator", "f3bd1b5c-91fa-40e7-afe7-0c11d331232c"),
        (
            "Azure Container Instances Contributor Role",
            "5d977122-f97e-4b4d-a52f-6b43003ddb4d",
        ),
        ("Managed Identity Operator", "f1a07417-d97a-45cb-824c-7a7467783830"),
        ("Managed Identity Contributor", "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"),
        ("Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6"),
        ("Key Vault Administrator", "00482a5a-887f-4fb3-b363-3b7fe8e74483"),
        ("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d"),
    ];
    let definitions = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions",
        wire.subscription()
    );
    for (name, guid) in roles {
        let filter = name.replace(' ', "%20");
        let list = wire
            .get(&format!("{definitions}?$filter=roleName%20eq%20'{filter}'"), ROLES)
            .await
            .expect(200)
            .body;
        assert_eq!(list["value"][0]["name"], guid);
        let one = wire.get(&format!("{definitions}/{guid}"), ROLES).await.expect(200).body;
        assert_eq!(one["properties"]["roleName"], name);
        assert_eq!(one["properties"]["type"], "BuiltInRole");
    }
    wire.get(&format!("{definitions}/{}", Uuid::new_v4()), ROLES)
        .await
        .expect_error(404, "RoleDefinitionDoesNotExist");
}

#[tokio::test]
async fn role_definitions_are_for_those_who_may_read_them() {
    let wire = Wire::start().await.with_group("rg").await;
    let definitions = format!("{}/providers/Microsoft.Authorization/roleDefinitions", wire.group("rg"));
    let one = format!("{definitions}/{READER}");
    let (_, nobody) = wire.application(&[]).await;
    for path in [&definitions, &one] {
        wire.arm_as(&nobody, Method::GET, path, ROLES, None)
            .await
            .expect_error(403, "AuthorizationFailed");
    }
    let (_, reader) = wire
        .application(&[(&wire.group("rg"), "af61e8fc-2633-4b95-bed3-421ad6826515")])
        .await;
    wire.arm_as(&reader, Method::GET, &one, ROLES, None).await.expect(200);
    let management_group = "/providers/Microsoft.Management/managementGroups/mg";
    let path = format!("{management_group}/providers/Microsoft.Authorization/roleDefinitions");
    wire.get(&path, ROLES).await.expect_error(404, "InvalidResourceType");
}

#[tokio::test]
async fn conditions_of_a_filter_of_role_definitions_are_joined_and_unknown_ones_refused() {
    let wire = Wire::start().await;
    let list = async |filter: &str| {
        let filter = filter.replace(' ', "%20");
        let path = format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions?$filter={filter}",
            wire.subscription()
        );
        wire.get(&path, ROLES).await
    };
    let both = list("roleName eq 'Reader' and type eq 'BuiltInRole'")
        .await
        .expect(200)
        .body;
    assert_eq!(both["value"][0]["name"], READER);
    let custom = list("atScopeAndBelow() and type eq 'CustomRole'")
        .await
        .expect(200)
        .body;
    assert_eq!(custom["value"], json!([]));
    for odd in ["roleName eq Reader", "displayName eq 'Reader'", "Reader"] {
        list(odd).await.expect_error(400, "UnsupportedQuery");
    }
}

#[tokio::test]
async fn a_wildcard_between_slashes_covers_the_resource_itself() {
    let wire = Wire::start().await.with_group("rg").await;
    let pool = wire.pool("rg", "pool");
    wire.put(&pool, POOLS, shell_pool()).await.expect(200);
    let (_, reader) = wire
        .application(&[(&pool, "af61e8fc-2633-4b95-bed3-421ad6826515")])
        .await;
    wire.arm_as(&reader, Method::GET, &pool, POOLS, None).await.expect(200);
    wire.arm_as(&reader, Method::GET, &wire.pool("rg", "pool2"), POOLS, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    wire.arm_as(&reader, Method::DELETE, &pool, POOLS, None)
        .await
        .expect_error(403, "AuthorizationFailed");
}
