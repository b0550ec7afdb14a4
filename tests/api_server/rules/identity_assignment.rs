//! Of IdentityAssignment.

use serde_json::{Value, json};

use super::Change::{Create, Update};
use super::{Case, identity};

const APP: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.App/containerApps/one";
const GROUP: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerInstance/containerGroups/one";

const POOL: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.App/sessionPools/one";

fn pool(id: &str) -> Value {
    json!({"target": {"containerApp": null, "sessionPool": {"resourceId": id}}})
}

pub fn cases() -> Vec<Case> {
    let assignment = |path, rule, accepted, refused| Case {
        kind: "IdentityAssignment",
        path,
        rule,
        accepted,
        refused,
    };
    let mut cases = vec![
        assignment(
            "spec.target",
            "the target cannot be changed to one of another type; create another object",
            Update(json!({}), json!({"suspend": true})),
            Update(
                json!({}),
                json!({"target": {"containerApp": null, "containerGroup": {"name": "one"}}}),
            ),
        ),
        assignment(
            "spec.target.sessionPool.resourceId",
            "resourceId cannot be changed; create another object",
            Update(pool(POOL), pool(&POOL.to_lowercase())),
            Update(pool(POOL), pool(&POOL.replace("one", "two"))),
        ),
        assignment(
            "spec.target",
            "exactly one of containerApp, containerGroup and sessionPool must be set",
            Create(json!({"target": {"containerApp": null, "containerGroup": {"name": "one"}}})),
            Create(json!({"target": {"containerGroup": {"name": "one"}}})),
        ),
        assignment(
            "spec.target",
            "containerApp.resourceId must be the id of a Microsoft.App/containerApps resource",
            Create(json!({"target": {"containerApp": {"name": null, "resourceId": APP}}})),
            Create(json!({"target": {"containerApp": {"name": null, "resourceId": GROUP}}})),
        ),
        assignment(
            "spec.target",
            "containerGroup.resourceId must be the id of a Microsoft.ContainerInstance/containerGroups resource",
            Create(json!({"target": {"containerApp": null, "containerGroup": {"resourceId": GROUP}}})),
            Create(json!({"target": {"containerApp": null, "containerGroup": {"resourceId": APP}}})),
        ),
    ];
    for (property, other) in [("containerApp", None), ("containerGroup", Some("containerApp"))] {
        let spec = |resource: Value| {
            let mut target = json!({property: resource});
            if let Some(other) = other {
                target[other] = json!(null);
            }
            json!({"target": target})
        };
        let target = |resource: Value| Create(spec(resource));
        let path = if property == "containerApp" {
            "spec.target.containerApp"
        } else {
            "spec.target.containerGroup"
        };
        let id = if property == "containerApp" { APP } else { GROUP };
        cases.extend([
            assignment(
                path,
                "exactly one of name and resourceId must be set",
                target(json!({"name": null, "resourceId": id})),
                target(json!({"name": "one", "resourceId": id})),
            ),
            assignment(
                path,
                "resourceGroup and resourceGroupRef may be set only together with name",
                target(json!({"name": "one", "resourceGroup": "group"})),
                target(json!({"name": null, "resourceId": id, "resourceGroup": "group"})),
            ),
            assignment(
                path,
                "only one of resourceGroup and resourceGroupRef may be set",
                target(json!({"name": "one", "resourceGroupRef": {"name": "group"}})),
                target(json!({"name": "one", "resourceGroup": "group", "resourceGroupRef": {"name": "group"}})),
            ),
            assignment(
                path,
                "the target cannot be changed: this is the name or id of another resource; create another object",
                Update(
                    spec(json!({"name": "ONE"})),
                    spec(json!({"name": null, "resourceId": id})),
                ),
                Update(spec(json!({"name": "one"})), spec(json!({"name": "two"}))),
            ),
            assignment(
                path,
                "resourceGroup cannot be changed; create another object",
                Update(
                    spec(json!({"name": "one", "resourceGroup": "group"})),
                    spec(json!({"name": "one", "resourceGroup": "Group"})),
                ),
                Update(
                    spec(json!({"name": "one", "resourceGroup": "group"})),
                    spec(json!({"name": "one", "resourceGroup": "other"})),
                ),
            ),
        ]);
    }
    cases.extend(identity::of("IdentityAssignment"));
    cases
}
