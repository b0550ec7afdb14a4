//! Deployments on a Resource Manager in memory: what they ask of it, and when.

use std::collections::BTreeMap;

use azure_deployments::{
    Answer, Caller, Deployment, DeploymentError, DeploymentRequest, Deployments, ResourceManager, ResourceType, Scope,
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

const GROUP: &str = "/subscriptions/s/resourceGroups/rg";
const PHASE: SignedDuration = SignedDuration::from_secs(2);

/// Resources by lower-cased id, which are `InProgress` until [`Azure::provision`] is called.
struct Azure {
    now: Timestamp,
    resources: BTreeMap<String, Value>,
    registering: bool,
    allowed: bool,
    asked: Vec<String>,
}

impl Azure {
    fn new() -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH,
            resources: BTreeMap::new(),
            registering: false,
            allowed: true,
            asked: Vec::new(),
        }
    }

    fn provision(&mut self) {
        for resource in self.resources.values_mut() {
            resource["properties"]["provisioningState"] = json!("Succeeded");
        }
    }

    /// The requests since this was last called.
    fn asked(&mut self) -> Vec<String> {
        std::mem::take(&mut self.asked)
    }

    fn deploy(&self, template: &Value) -> Result<Deployment, DeploymentError> {
        let body = json!({ "properties": { "mode": "Complete", "template": template } });
        let request = DeploymentRequest::read("d", body.to_string().as_bytes())?;
        let scope = Scope {
            tenant_id: "t".to_owned(),
            subscription_id: "s".to_owned(),
            subscription_name: "subscription".to_owned(),
            group_id: GROUP.to_owned(),
            group_name: "rg".to_owned(),
            location: "westeurope".to_owned(),
            tags: Map::new(),
        };
        let caller = Caller {
            object_id: "o".to_owned(),
            client_id: "c".to_owned(),
        };
        Deployment::new(self, request, None, scope, caller, "correlation".to_owned())
    }
}

impl ResourceManager for Azure {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn phase(&self) -> SignedDuration {
        PHASE
    }

    fn resource_type(&self, namespace: &str, name: &str, _: &str) -> Result<ResourceType, DeploymentError> {
        assert!(format!("{namespace}/{name}").eq_ignore_ascii_case("Microsoft.App/sessionPools"));
        Ok(ResourceType {
            namespace: "Microsoft.App",
            name: "sessionPools",
            api_versions: &["2025-07-01"],
            locations: vec!["westeurope".to_owned()],
        })
    }

    fn is_allowed(&self, _: &Caller, action: &str, _: &str) -> bool {
        assert_eq!(action, "Microsoft.App/sessionPools/write");
        self.allowed
    }

    fn resources(&self, group_id: &str) -> Vec<String> {
        assert_eq!(group_id, GROUP);
        self.resources.keys().cloned().collect()
    }

    fn register(&mut self, _: &Caller, _: &str, _: &str) -> bool {
        self.registering
    }

    fn get(&mut self, _: &Caller, id: &str, _: &str) -> Result<Answer, DeploymentError> {
        let body = self.resources.get(&id.to_ascii_lowercase()).cloned();
        body.map(|body| Answer {
            status: StatusCode::OK,
            body,
        })
        .ok_or_else(|| DeploymentError::new(StatusCode::NOT_FOUND, "ResourceNotFound", "It is not there."))
    }

    fn put(&mut self, _: &Caller, id: &str, _: &str, body: &Value) -> Result<Answer, DeploymentError> {
        self.asked.push(format!("PUT {}", name(id)));
        let mut body = body.clone();
        body["properties"] = json!({ "provisioningState": "InProgress", "endpoint": format!("https://{}", name(id)) });
        self.resources.insert(id.to_ascii_lowercase(), body.clone());
        Ok(Answer {
            status: StatusCode::CREATED,
            body,
        })
    }

    fn delete(&mut self, _: &Caller, id: &str, _: &str) -> Result<(), DeploymentError> {
        self.asked.push(format!("DELETE {}", name(id)));
        self.resources.remove(&id.to_ascii_lowercase());
        Ok(())
    }
}

fn name(id: &str) -> String {
    id.rsplit('/').next().unwrap_or_default().to_owned()
}

fn pool(name: &str, tag: &str) -> Value {
    json!({
        "type": "Microsoft.App/sessionPools",
        "apiVersion": "2025-07-01",
        "name": name,
        "location": "[resourceGroup().location]",
        "tags": { "tag": tag },
    })
}

/// `second` reads the state of `first`.
fn two_pools() -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [pool("second", "[reference('first').endpoint]"), pool("first", "x")],
        "outputs": { "endpoint": { "type": "string", "value": "[reference('second').endpoint]" } },
    })
}

#[test]
fn a_resource_is_written_once_those_are_through_whose_state_it_reads() {
    let mut azure = Azure::new();
    let mut deployment = azure.deploy(&two_pools()).unwrap();
    deployment.advance(&mut azure);
    assert!(azure.asked().is_empty(), "it is Accepted for a while");
    azure.now += PHASE;
    deployment.advance(&mut azure);
    assert_eq!(azure.asked(), ["PUT first"]);
    deployment.advance(&mut azure);
    assert!(azure.asked().is_empty(), "the provider is not through");
    azure.provision();
    deployment.advance(&mut azure);
    assert_eq!(azure.asked(), ["PUT second"]);
    let second = azure.resources.values().find(|one| one["tags"]["tag"] != "x").unwrap();
    assert_eq!(second["tags"]["tag"], "https://first");
    assert_eq!(second["location"], "westeurope");
    azure.provision();
    deployment.advance(&mut azure);
    azure.now += PHASE;
    deployment.advance(&mut azure);
    let seen = deployment.body(azure.now);
    assert_eq!(seen["properties"]["provisioningState"], "Succeeded", "{seen}");
    assert_eq!(seen["properties"]["outputs"]["endpoint"]["value"], "https://second");
}

#[test]
fn nothing_is_written_while_a_provider_is_being_registered() {
    let mut azure = Azure::new();
    azure.registering = true;
    let mut deployment = azure.deploy(&two_pools()).unwrap();
    azure.now += PHASE;
    deployment.advance(&mut azure);
    assert!(azure.asked().is_empty());
    azure.registering = false;
    deployment.advance(&mut azure);
    assert_eq!(azure.asked(), ["PUT first"]);
}

#[test]
fn nothing_is_written_for_a_caller_who_may_not_write_all_of_it() {
    let mut azure = Azure::new();
    azure.allowed = false;
    let refused = azure.deploy(&two_pools()).unwrap_err();
    assert_eq!(
        (refused.status, refused.code),
        (StatusCode::FORBIDDEN, "InvalidTemplateDeployment")
    );
}

#[test]
fn a_deployment_that_is_written_to_a_file_after_every_move_and_read_again_does_the_same() {
    let mut azure = Azure::new();
    let old = format!("{GROUP}/providers/Microsoft.App/sessionPools/old");
    azure.resources.insert(old.to_ascii_lowercase(), json!({ "tags": {} }));
    let mut deployments = Deployments::default();
    assert!(deployments.put(azure.deploy(&two_pools()).unwrap()).unwrap());
    for _ in 0..5 {
        azure.now += PHASE;
        azure.provision();
        for mut deployment in deployments.due(azure.now) {
            deployment.advance(&mut azure);
            deployments.update(deployment);
        }
        deployments = serde_json::from_value(serde_json::to_value(&deployments).unwrap()).unwrap();
    }
    assert_eq!(azure.asked(), ["PUT first", "PUT second", "DELETE old"]);
    let ended = deployments.get(&format!("{GROUP}/providers/Microsoft.Resources/deployments/D"));
    assert!(!ended.unwrap().is_active());
    assert!(deployments.due(azure.now).is_empty());
}
