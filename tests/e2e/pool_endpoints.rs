//! Where a pool is reached, as its status and its ConfigMap tell.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::{OFTEN, World, object};

fn pool(config_map: &str, has_mcp: bool) -> Value {
    let spec = json!({
        "resourceGroupRef": {"name": "jobs"}, "containerType": "Shell", "interval": OFTEN,
        "scaleConfiguration": {"maxConcurrentSessions": 5},
        "mcpServerSettings": {"isMcpServerEnabled": has_mcp},
        "export": {"configMap": {"name": config_map}},
    });
    object("SessionPool", "shell", &spec)
}

async fn exported(world: &World, name: &str) -> Option<Value> {
    let maps: Api<ConfigMap> = world.ours();
    let map = maps.get_opt(name).await.expect("an answer")?;
    Some(json!(map.data.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pools_endpoints_are_in_its_status_and_in_a_config_map_that_follows_them() {
    let world = World::new("endpoints").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    world.apply(&pool("shell", true)).await;
    world.until_available("SessionPool", "shell").await;

    let id = azure.pool_id("jobs", "shell");
    let properties = azure.find(&id).await.expect("the pool")["properties"].clone();
    let (endpoint, mcp) = (
        &properties["poolManagementEndpoint"],
        &properties["mcpServerSettings"]["mcpServerEndpoint"],
    );
    assert!(endpoint.is_string() && mcp.is_string(), "{properties}");
    let status = world.read("SessionPool", "shell").await.expect("it").data["status"].clone();
    assert_eq!(&status["poolManagementEndpoint"], endpoint);
    assert_eq!(&status["mcpServerEndpoint"], mcp);
    assert_eq!(status["exportedConfigMap"], "shell");
    assert_eq!(
        exported(&world, "shell").await.expect("the ConfigMap"),
        json!({"id": status["id"], "poolManagementEndpoint": endpoint, "mcpServerEndpoint": mcp})
    );

    // A server that is switched off is reached nowhere.
    world.apply(&pool("shell", false)).await;
    let without = json!({"id": status["id"], "poolManagementEndpoint": endpoint});
    world
        .until("the ConfigMap tells of no MCP server", || async {
            (exported(&world, "shell").await? == without).then_some(())
        })
        .await;
    world.until_available("SessionPool", "shell").await;
    let status = world.read("SessionPool", "shell").await.expect("it").data["status"].clone();
    assert!(status["mcpServerEndpoint"].is_null(), "{status}");

    world.apply(&pool("renamed", false)).await;
    world
        .until("the ConfigMap has the other name", || async {
            let is_there = exported(&world, "renamed").await == Some(without.clone());
            (is_there && exported(&world, "shell").await.is_none()).then_some(())
        })
        .await;
}
