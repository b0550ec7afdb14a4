//! Resource groups.

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{POOLS, RESOURCES, Wire, shell_pool};

#[tokio::test]
async fn a_group_is_created_with_201_and_replaced_with_200() {
    let wire = Wire::start().await;
    let path = wire.group("Group-1").replace("resourceGroups", "resourcegroups");
    let created = wire
        .put(
            &path,
            RESOURCES,
            json!({ "location": "West Europe", "tags": { "a": "1" } }),
        )
        .await
        .expect(201)
        .body;
    assert_eq!(created["id"], wire.group("Group-1"));
    assert_eq!(created["location"], "westeurope");
    assert_eq!(created["properties"]["provisioningState"], "Succeeded");
    let replaced = wire
        .put(&path.to_uppercase(), RESOURCES, json!({ "LOCATION": "westeurope" }))
        .await
        .expect(200);
    assert_eq!(replaced.body["name"], "Group-1", "the spelling of the creation stays");
    assert!(replaced.body.get("tags").is_none(), "a PUT replaces the tags");
}

#[tokio::test]
async fn head_says_whether_a_group_is_there() {
    let wire = Wire::start().await.with_group("rg").await;
    wire.arm(Method::HEAD, &wire.group("RG"), RESOURCES, None)
        .await
        .expect(204);
    wire.arm(Method::HEAD, &wire.group("other"), RESOURCES, None)
        .await
        .expect(404);
    wire.get(&wire.group("other"), RESOURCES)
        .await
        .expect_error(404, "ResourceGroupNotFound");
    wire.delete(&wire.group("other"), RESOURCES)
        .await
        .expect_error(404, "ResourceGroupNotFound");
}

#[tokio::test]
async fn a_group_never_moves() {
    let wire = Wire::start().await.with_group("rg").await;
    wire.put(&wire.group("rg"), RESOURCES, json!({ "location": "eastus" }))
        .await
        .expect_error(409, "InvalidResourceGroupLocation");
}

#[tokio::test]
async fn a_patch_replaces_the_tags_and_nothing_else() {
    let wire = Wire::start().await;
    let path = wire.group("rg");
    let body = json!({ "location": "westeurope", "tags": { "a": "1", "b": "2" }, "managedBy": "/x" });
    wire.put(&path, RESOURCES, body).await.expect(201);
    let patched = wire
        .patch(&path, RESOURCES, json!({ "tags": { "c": "3" } }))
        .await
        .expect(200)
        .body;
    assert_eq!(patched["tags"], json!({ "c": "3" }));
    assert_eq!(patched["managedBy"], "/x");
}

#[tokio::test]
async fn groups_that_arm_would_refuse_are_refused() {
    let wire = Wire::start().await;
    let tags = |count: usize| {
        (0..count)
            .map(|at| (format!("t{at}"), json!("v")))
            .collect::<serde_json::Map<_, _>>()
    };
    let cases: Vec<(&str, Value, &str)> = vec![
        ("rg", json!({}), "LocationRequired"),
        (
            "rg",
            json!({ "location": "atlantis" }),
            "LocationNotAvailableForResourceGroup",
        ),
        (
            "rg",
            json!({ "location": "westeurope", "color": "red" }),
            "InvalidRequestContent",
        ),
        ("rg.", json!({ "location": "westeurope" }), "InvalidResourceGroup"),
        ("r%24g", json!({ "location": "westeurope" }), "InvalidResourceGroup"),
        (
            "rg",
            json!({ "location": "westeurope", "tags": { "a/b": "1" } }),
            "InvalidTagNameCharacters",
        ),
        (
            "rg",
            json!({ "location": "westeurope", "tags": { "a": "x".repeat(257) } }),
            "InvalidTagValueLength",
        ),
        (
            "rg",
            json!({ "location": "westeurope", "tags": { "a".repeat(513): "x" } }),
            "InvalidTagNameLength",
        ),
        (
            "rg",
            json!({ "location": "westeurope", "tags": tags(51) }),
            "TooManyTags",
        ),
    ];
    for (name, body, code) in cases {
        wire.put(&wire.group(name), RESOURCES, body)
            .await
            .expect_error(400, code);
    }
    wire.put(
        &wire.group("rg"),
        RESOURCES,
        json!({ "location": "westeurope", "tags": tags(50) }),
    )
    .await
    .expect(201);
}

#[tokio::test]
async fn a_deletion_takes_its_time_and_everything_in_the_group_with_it() {
    let wire = Wire::start().await.with_group("rg").await;
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect(200);
    let deletion = wire.delete(&wire.group("rg"), RESOURCES).await.expect(202);
    assert_eq!(deletion.header("retry-after"), Some("15"));
    let location = deletion.header("location").unwrap().to_owned();

    let going = wire.get(&wire.group("rg"), RESOURCES).await.expect(200);
    assert_eq!(going.body["properties"]["provisioningState"], "Deleting");
    wire.put(&wire.pool("rg", "second"), POOLS, shell_pool())
        .await
        .expect_error(409, "ResourceGroupBeingDeleted");
    wire.put(&wire.group("rg"), RESOURCES, json!({ "location": "westeurope" }))
        .await
        .expect_error(409, "ResourceGroupBeingDeleted");
    let poll = wire.follow(&location).await.expect(202);
    assert!(poll.header("location").is_some() && poll.header("retry-after").is_some());

    wire.advance(31).await;
    wire.follow(&location).await.expect(200);
    wire.get(&wire.group("rg"), RESOURCES)
        .await
        .expect_error(404, "ResourceGroupNotFound");
    wire.get(&wire.pool("rg", "pool"), POOLS)
        .await
        .expect_error(404, "ResourceGroupNotFound");
    let wire = wire.with_group("rg").await;
    wire.get(&wire.pool("rg", "pool"), POOLS)
        .await
        .expect_error(404, "ResourceNotFound");
}

#[tokio::test]
async fn lists_are_filtered_by_tag_and_paged() {
    let wire = Wire::with(json!({ "arm": { "pageSize": 2 } })).await;
    for (name, tag) in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "x")] {
        let body = json!({ "location": "westeurope", "tags": { "Kind": tag } });
        wire.put(&wire.group(name), RESOURCES, body).await.expect(201);
    }
    let filter = "tagName%20eq%20'kind'%20and%20tagValue%20eq%20'x'";
    let path = format!("{}/resourcegroups?$filter={filter}", wire.subscription());
    let first = wire.get(&path, RESOURCES).await.expect(200).body;
    let second = wire.follow(first["nextLink"].as_str().unwrap()).await.expect(200).body;
    let names: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["value"].as_array().unwrap())
        .map(|group| group["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "c", "d"]);
    assert!(second.get("nextLink").is_none());
}

#[tokio::test]
async fn the_resources_of_a_group_are_listed_whatever_their_type() {
    let wire = Wire::start().await.with_group("rg").await;
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect(200);
    let path = format!("{}/resources?$expand=provisioningState", wire.group("rg"));
    let list = wire.get(&path, RESOURCES).await.expect(200).body;
    assert_eq!(list["value"][0]["type"], "Microsoft.App/sessionPools");
    assert_eq!(list["value"][0]["location"], "northcentralus");
    assert_eq!(list["value"][0]["provisioningState"], "Succeeded");
    let path = format!(
        "{}/resources?$filter=resourceType eq 'Microsoft.KeyVault/vaults'",
        wire.group("rg")
    );
    let list = wire.get(&path.replace(' ', "%20"), RESOURCES).await.expect(200).body;
    assert_eq!(list, json!({ "value": [] }));
    // As `az resource list --resource-group` asks.
    for (group, found) in [("RG", 1), ("other", 0)] {
        let path = format!(
            "{}/resources?$filter=resourceGroup%20eq%20'{group}'",
            wire.subscription()
        );
        let list = wire.get(&path, RESOURCES).await.expect(200).body;
        assert_eq!(list["value"].as_array().unwrap().len(), found);
    }
}

#[tokio::test]
async fn values_of_tags_are_shown_another_way_by_a_get_when_the_switch_says_so() {
    for (switch, shown) in [("AsWritten", "Big"), ("LowerCase", "big")] {
        let wire = Wire::with(json!({ "arm": { "tagValuesOnRead": switch } })).await;
        let path = wire.group("rg");
        let body = json!({ "location": "westeurope", "tags": { "Size": "Big" } });
        let written = wire.put(&path, RESOURCES, body).await.expect(201);
        assert_eq!(written.body["tags"], json!({ "Size": "Big" }));
        let read = wire.get(&path, RESOURCES).await.expect(200);
        assert_eq!(read.body["tags"], json!({ "Size": shown }), "{switch}");
    }
}
