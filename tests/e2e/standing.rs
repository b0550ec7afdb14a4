//! Where objects stand, read from their status.

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::world::{World, object};

/// The `Ready` condition of an object: status, reason and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

impl World {
    /// The object as it is.
    pub async fn read(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        self.objects(&self.namespace, &object(kind, name, &Value::Null))
            .get_opt(name)
            .await
            .expect("an answer")
    }

    /// The object's `Ready` condition, if it describes the present generation.
    pub async fn standing(&self, kind: &str, name: &str) -> Option<Ready> {
        let object = self.read(kind, name).await?;
        ready(&object)
    }

    /// Waits until the object's `Ready` condition has this reason, and returns it.
    pub async fn until_reason(&self, kind: &str, name: &str, reason: &str) -> Ready {
        let last = std::sync::Mutex::new(None);
        let what = format!("{kind} {name} has the reason {reason}");
        self.until(&what, || async {
            let standing = self.standing(kind, name).await;
            let found = standing.clone().filter(|it| it.reason == reason);
            let mut last = last.lock().expect("no panic");
            if *last != standing {
                // What a test waited for in vain is understood from what came instead.
                eprintln!("{kind} {name}: {standing:?}");
                last.clone_from(&standing);
            }
            found
        })
        .await
    }

    /// Waits until the object is `Available`.
    pub async fn until_available(&self, kind: &str, name: &str) -> Ready {
        self.until_reason(kind, name, "Available").await
    }

    /// Waits until the object is gone.
    pub async fn until_gone(&self, kind: &str, name: &str) {
        self.until(&format!("{kind} {name} is gone"), || async {
            self.read(kind, name).await.is_none().then_some(())
        })
        .await;
    }

    /// Waits until each of the resources whose paths end so was read so often from now on; returns all requests meanwhile.
    pub async fn until_read(&self, paths: &[impl AsRef<str>], times: usize) -> Vec<Value> {
        self.forget_requests().await;
        let reads = |requests: &[Value], path: &str| {
            let wanted = path.to_lowercase();
            let is_read = |it: &&Value| {
                let path = it["path"].as_str().unwrap_or_default().to_lowercase();
                // The ones with a name below it, where assignments are read by name.
                let is_of_it = path.ends_with(&wanted)
                    || (wanted.ends_with("/roleassignments") && path.contains(&format!("{wanted}/")));
                is_of_it && it["method"] == "GET"
            };
            requests.iter().filter(is_read).count()
        };
        self.until(&format!("{times} looks"), || async {
            let requests = self.requests().await;
            let is_enough = paths.iter().all(|it| reads(&requests, it.as_ref()) >= times);
            is_enough.then_some(requests)
        })
        .await
    }

    /// Asks for the object's deletion.
    pub async fn delete(&self, kind: &str, name: &str) {
        let api = self.objects(&self.namespace, &object(kind, name, &Value::Null));
        api.delete(name, &DeleteParams::default())
            .await
            .expect("it can be deleted");
    }

    /// Merges into an object.
    pub async fn merge(&self, kind: &str, name: &str, patch: &Value) {
        let api = self.objects(&self.namespace, &object(kind, name, &Value::Null));
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("it can be patched");
    }

    /// Operations of Azure take no time, and the subscription was used before.
    pub async fn hasten(&self) {
        self.behave(&json!({"arm": {
            "operationSeconds": 0.5, "groupDeletionSeconds": 0.5, "registrationSeconds": 0, "providersRegistered": true,
        }}))
        .await;
    }
}

/// The `Ready` condition of an object, if it describes the present generation.
pub fn ready(object: &DynamicObject) -> Option<Ready> {
    let status = object.data.get("status")?;
    if status.get("observedGeneration")?.as_i64() != object.metadata.generation {
        return None;
    }
    let ready = status
        .get("conditions")?
        .as_array()?
        .iter()
        .find(|it| it["type"] == "Ready")?;
    let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    Some(Ready {
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
    })
}

impl World {
    /// Waits until an object of a namespace gives this reason, and returns what it says.
    pub async fn until_in(&self, namespace: &str, kind: &str, name: &str, reason: &str) -> String {
        let api = self.objects(namespace, &object(kind, name, &json!({})));
        let last = std::sync::Mutex::new(None);
        self.until(
            &format!("{kind} {name} of {namespace} has the reason {reason}"),
            || async {
                let standing = ready(&api.get_opt(name).await.ok()??)?;
                let shown = Some(format!("{}: {}", standing.reason, standing.message));
                let mut last = last.lock().expect("no panic");
                if *last != shown {
                    eprintln!("{kind} {name}: {shown:?}");
                    last.clone_from(&shown);
                }
                (standing.reason == reason).then_some(standing.message)
            },
        )
        .await
    }
}
