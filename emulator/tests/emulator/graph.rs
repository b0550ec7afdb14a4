//! Microsoft Graph, as clients ask it who a principal is.

use std::time::Duration;

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

/// What a person does who registers an application: the registration, and then its service principal.
async fn register(wire: &Wire, token: &str) -> (Value, Value) {
    let name = json!({ "displayName": "batch", "signInAudience": "AzureADMyOrg" });
    let application = ask(wire, token, Method::POST, "applications", Some(name)).await;
    let application = application.expect(201).body;
    let body = json!({ "appId": application["appId"], "accountEnabled": true });
    let made = ask(wire, token, Method::POST, "servicePrincipals", Some(body)).await;
    (application, made.expect(201).body)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

async fn add_password(wire: &Wire, token: &str, application: &Value, credential: Value) -> Value {
    let path = format!("applications/{}/addPassword", text(application, "id"));
    let body = json!({ "passwordCredential": credential });
    let added = ask(wire, token, Method::POST, &path, Some(body)).await;
    added.expect(200).body
}

#[tokio::test]
async fn a_registered_application_signs_in_with_each_of_its_secrets_until_that_is_removed_or_over() {
    let wire = Wire::start().await;
    let graph = token(&wire).await;
    let (application, principal) = register(&wire, &graph).await;
    let client_id = text(&application, "appId");
    assert_eq!(text(&principal, "displayName"), "batch");
    assert_ne!(principal["id"], application["id"], "two objects of the directory");
    let kept = add_password(&wire, &graph, &application, json!({})).await;
    let (start, end) = (jiff::Timestamp::now(), jiff::Timestamp::now() + Duration::from_hours(1));
    let hour = json!({ "displayName": "rbac", "startDateTime": start, "endDateTime": end });
    let short = add_password(&wire, &graph, &application, hour).await;

    let sign_in = async |secret: &Value| {
        let resource = "https://management.azure.com";
        wire.ask_token(client_id, text(secret, "secretText"), resource).await
    };
    let refused = sign_in(&kept).await.expect(400).body;
    assert_eq!(
        refused["error_codes"],
        json!([700_016]),
        "the directory does not know it everywhere yet"
    );
    wire.advance(61).await;
    sign_in(&kept).await.expect(200);
    sign_in(&short).await.expect(200);

    let path = format!("applications/{}", text(&application, "id"));
    let shown = ask(&wire, &graph, Method::GET, &path, None).await.expect(200).body;
    assert_eq!(shown["passwordCredentials"][1]["keyId"], short["keyId"]);
    assert_eq!(shown["passwordCredentials"][1]["secretText"], Value::Null);

    wire.advance(3600).await;
    let graph = token(&wire).await;
    let over = sign_in(&short).await.expect(401).body;
    assert_eq!(over["error_codes"], json!([7_000_215]));
    let remove = json!({ "keyId": kept["keyId"] });
    let removal = format!("{path}/removePassword");
    ask(&wire, &graph, Method::POST, &removal, Some(remove.clone()))
        .await
        .expect(204);
    sign_in(&kept).await.expect(401);
    ask(&wire, &graph, Method::POST, &removal, Some(remove))
        .await
        .expect_error(400, "Request_BadRequest");
}

#[tokio::test]
async fn a_registered_application_is_found_by_its_name_and_goes_with_its_service_principal() {
    let wire = Wire::start().await;
    let graph = token(&wire).await;
    let (application, principal) = register(&wire, &graph).await;
    let get = async |path: &str| ask(&wire, &graph, Method::GET, path, None).await;
    let found = async |filter: &str| {
        let answer = get(&format!("applications?$filter={filter}")).await.expect(200).body;
        answer["value"].as_array().expect("a list").len()
    };
    assert_eq!(found("startswith(displayName,'BAT')").await, 1);
    assert_eq!(found("startswith(displayName,'other')").await, 0);
    assert_eq!(
        found(&format!("appId%20eq%20'{}'", text(&application, "appId"))).await,
        1
    );
    get("applications?$filter=tags%20has%20'x'")
        .await
        .expect_error(400, "Request_UnsupportedQuery");
    let again = json!({ "appId": application["appId"] });
    ask(&wire, &graph, Method::POST, "servicePrincipals", Some(again))
        .await
        .expect_error(409, "Request_MultipleObjectsWithSameKeyValue");

    wire.advance(61).await;
    let (path, of_principal) = (
        format!("applications/{}", text(&application, "id")),
        format!("servicePrincipals/{}", text(&principal, "id")),
    );
    get(&of_principal).await.expect(200);
    ask(&wire, &graph, Method::DELETE, &path, None).await.expect(204);
    for gone in [&path, &of_principal] {
        get(gone).await.expect_error(404, "Request_ResourceNotFound");
    }
    let orphan = json!({ "appId": application["appId"] });
    ask(&wire, &graph, Method::POST, "servicePrincipals", Some(orphan))
        .await
        .expect_error(400, "Request_BadRequest");
}

#[tokio::test]
async fn only_the_first_principal_registers_applications() {
    let wire = Wire::start().await;
    let (other, _) = wire.application(&[]).await;
    let resource = format!("{}/graph.microsoft.com", wire.root());
    let (id, secret) = (text(&other, "clientId"), text(&other, "clientSecret"));
    let answer = wire.ask_token(id, secret, &resource).await.expect(200);
    let name = json!({ "displayName": "batch" });
    ask(
        &wire,
        text(&answer.body, "access_token"),
        Method::POST,
        "applications",
        Some(name),
    )
    .await
    .expect_error(403, "Authorization_RequestDenied");
    ask(
        &wire,
        &token(&wire).await,
        Method::POST,
        "applications",
        Some(json!({})),
    )
    .await
    .expect_error(400, "Request_BadRequest");
}
