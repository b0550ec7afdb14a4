//! Microsoft Graph, as clients ask it who a principal is.

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{Answer, Wire, answer};

async fn ask(wire: &Wire, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let url = format!("{}/graph.microsoft.com/v1.0/{path}", wire.root());
    let mut request = wire.client.request(method, url).bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    answer(request.send().await.unwrap()).await
}

async fn token(wire: &Wire) -> String {
    wire.token_for(&format!("{}/graph.microsoft.com", wire.root())).await
}

#[tokio::test]
async fn a_principal_is_found_by_its_client_id_and_by_its_object_id_once_it_was_replicated() {
    let wire = Wire::start().await;
    let (application, _) = wire.application(&[]).await;
    let (client, object) = (
        application["clientId"].as_str().unwrap(),
        application["objectId"].as_str().unwrap(),
    );
    let by_name = format!("servicePrincipals?$filter=servicePrincipalNames/any(c:c%20eq%20'{client}')");
    let by_ids = json!({ "ids": [object], "types": ["user", "group", "servicePrincipal"] });
    let find = async || {
        let token = token(&wire).await;
        let name = ask(&wire, &token, Method::GET, &by_name, None).await.expect(200).body;
        let ids = ask(
            &wire,
            &token,
            Method::POST,
            "directoryObjects/getByIds",
            Some(by_ids.clone()),
        )
        .await
        .expect(200)
        .body;
        (name["value"].clone(), ids["value"].clone())
    };
    assert_eq!(find().await, (json!([]), json!([])));
    wire.advance(61).await;
    let (name, ids) = find().await;
    assert_eq!(name[0]["id"], object);
    assert_eq!(ids[0]["appId"], client);
    assert_eq!(ids[0]["@odata.type"], "#microsoft.graph.servicePrincipal");
    let one = format!("servicePrincipals/{object}");
    let one = ask(&wire, &token(&wire).await, Method::GET, &one, None)
        .await
        .expect(200);
    assert_eq!(one.body["servicePrincipalType"], "Application");
}

#[tokio::test]
async fn what_graph_does_not_know_and_tokens_for_others_are_refused() {
    let wire = Wire::start().await;
    ask(&wire, &wire.token, Method::GET, "servicePrincipals", None)
        .await
        .expect_error(401, "InvalidAuthenticationToken");
    let token = token(&wire).await;
    let get = async |path: &str| ask(&wire, &token, Method::GET, path, None).await;
    get("me").await.expect_error(400, "BadRequest");
    get("servicePrincipals?$filter=tags%20has%20'x'")
        .await
        .expect_error(400, "Request_UnsupportedQuery");
    get("servicePrincipals/11111111-2222-4333-8444-555555555555")
        .await
        .expect_error(404, "Request_ResourceNotFound");
    assert_eq!(get("users").await.expect(200).body, json!({ "value": [] }));
}
