//! The service as the owner of a pool sees it, past the operator.

use lifeguard::api::SessionPool;
use serde_json::{Value, json};

use crate::world::World;

/// The identifiers of the sessions that a pool of the test's namespace has, as `listSessions` tells.
pub async fn live_sessions(world: &World, pool: &str) -> Vec<String> {
    let (endpoint, token) = entrance(world, pool).await;
    let url = format!("{endpoint}/listSessions?api-version=2025-02-02-preview");
    let answer = json_of(world.http().get(url).bearer_auth(token)).await;
    let sessions = answer["sessions"].as_array().expect("a list of sessions");
    sessions
        .iter()
        .map(|it| it["identifier"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Allocates a session of somebody else's.
pub async fn take_session(world: &World, pool: &str, identifier: &str) {
    let (endpoint, token) = entrance(world, pool).await;
    let url = format!("{endpoint}/executions?api-version=2025-02-02-preview&identifier={identifier}");
    let body = json!({"shellCommand": "true"});
    json_of(world.http().post(url).bearer_auth(token).json(&body)).await;
}

/// Ends a session of somebody else's.
pub async fn end_session(world: &World, pool: &str, identifier: &str) {
    let (endpoint, token) = entrance(world, pool).await;
    let url = format!("{endpoint}/session?api-version=2025-02-02-preview&identifier={identifier}");
    let answer = world
        .http()
        .delete(url)
        .bearer_auth(token)
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
}

/// The endpoint of a pool, and a token for it.
pub async fn entrance(world: &World, pool: &str) -> (String, String) {
    let pool: SessionPool = world.ours().get(pool).await.expect("the pool");
    let endpoint = pool
        .status
        .and_then(|it| it.pool_management_endpoint)
        .expect("a ready pool");
    let azure = world.azure();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &azure.client_id),
        ("client_secret", &azure.client_secret),
        ("scope", "https://dynamicsessions.io/.default"),
    ];
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        azure.authority.trim_end_matches('/'),
        azure.tenant_id
    );
    let token: Value = json_of(world.http().post(url).form(&form)).await;
    let token = token["access_token"].as_str().expect("a token").to_owned();
    (endpoint.trim_end_matches('/').to_owned(), token)
}

/// Waits until a pool has no session.
pub async fn until_released(world: &World, pool: &str) {
    world
        .until(&format!("no session is left in {pool}"), || async {
            live_sessions(world, pool).await.is_empty().then_some(())
        })
        .await;
}

/// Destroys every session of a pool, as a crash of the platform would.
pub async fn crash_sessions(world: &World, pool: &str) {
    let id = pool_id(world, pool);
    let ended = world
        .control(reqwest::Method::DELETE, &format!("sessions?pool={id}"), None)
        .await;
    assert!(ended["ended"].as_u64() > Some(0), "there were no sessions: {ended}");
}

/// The resource id of a pool in the group `jobs`.
pub fn pool_id(world: &World, pool: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/jobs/providers/Microsoft.App/sessionPools/{pool}",
        world.azure().subscription_id
    )
}

async fn json_of(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).expect("JSON")
}
