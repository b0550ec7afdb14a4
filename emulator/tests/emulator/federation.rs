//! Federated credentials of user-assigned identities, and the tokens that they are good for.

use reqwest::Method;
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, SUBJECT, claims, exchange, exchange_for};
use crate::wire::{self, IDENTITIES, POOLS, RESOURCES, Wire, shell_pool};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

fn credential(subject: &str) -> Value {
    json!({ "properties": { "issuer": ISSUER, "subject": subject, "audiences": [AUDIENCE] } })
}

fn code(answer: &wire::Answer) -> u64 {
    answer.body["error_codes"][0].as_u64().unwrap()
}

/// An emulator with the identity `one`, whose credentials have the path that is answered too.
async fn with_identity() -> (Wire, Value, String) {
    let wire = Wire::start().await.with_group("rg").await;
    let identity = wire.with_identity("rg", "one").await;
    let credentials = format!("{}/federatedIdentityCredentials", wire.identity("rg", "one"));
    (wire, identity, credentials)
}

fn client_id(identity: &Value) -> &str {
    identity["properties"]["clientId"].as_str().unwrap()
}

#[tokio::test]
async fn a_credential_is_created_replaced_read_listed_and_deleted() {
    let (wire, identity, credentials) = with_identity().await;
    let path = format!("{credentials}/cluster");
    let created = wire.put(&path, IDENTITIES, credential(SUBJECT)).await.expect(201).body;
    let id = format!(
        "{}/federatedIdentityCredentials/cluster",
        identity["id"].as_str().unwrap()
    );
    assert_eq!(created["id"], id);
    assert_eq!(
        created["type"],
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
    );
    assert_eq!(created["properties"], credential(SUBJECT)["properties"]);
    let replaced = wire.put(&path, IDENTITIES, credential("other")).await.expect(200).body;
    assert_eq!(replaced["properties"]["subject"], "other");
    assert_eq!(wire.get(&path, IDENTITIES).await.expect(200).body, replaced);
    wire.put(&format!("{credentials}/another"), IDENTITIES, credential(SUBJECT))
        .await
        .expect(201);
    let list = wire.get(&credentials, IDENTITIES).await.expect(200).body;
    let names: Vec<&Value> = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["another", "cluster"]);
    wire.delete(&path, IDENTITIES).await.expect(200);
    wire.delete(&path, IDENTITIES).await.expect(204);
    wire.get(&path, IDENTITIES).await.expect_error(404, "ResourceNotFound");
}

#[tokio::test]
async fn what_the_provider_refuses() {
    let (wire, _, credentials) = with_identity().await;
    let put = |name: &str, body: Value| {
        let path = format!("{credentials}/{name}");
        let wire = &wire;
        async move { wire.put(&path, IDENTITIES, body).await }
    };
    for name in ["ab", "_abc", "a.bc", &"a".repeat(121)] {
        put(name, credential(SUBJECT))
            .await
            .expect_error(400, "InvalidResourceName");
    }
    let changed = |name: &str, value: Value| {
        let mut body = credential(SUBJECT);
        body["properties"][name] = value;
        body
    };
    for body in [
        changed("issuer", json!("http://oidc.example")),
        changed("subject", json!("")),
        changed("issuer", json!("https://")),
        changed("issuer", json!("https://oidc.example/a b")),
        changed("audiences", json!([])),
        changed("audiences", json!([1, AUDIENCE])),
        changed("audiences", json!([AUDIENCE, "api://another"])),
        changed("audiences", json!(AUDIENCE)),
    ] {
        put("cluster", body).await.expect_error(400, "InvalidParameter");
    }
    put("cluster", changed("name", json!("x")))
        .await
        .expect_error(400, "InvalidRequestContent");
    put("cluster", credential(SUBJECT)).await.expect(201);
    put("again", credential(SUBJECT)).await.expect_error(409, "Conflict");
    let orphan = format!("{}/federatedIdentityCredentials/one", wire.identity("rg", "absent"));
    wire.put(&orphan, IDENTITIES, credential(SUBJECT))
        .await
        .expect_error(404, "ParentResourceNotFound");
    wire.put(&format!("{credentials}/old"), "2018-11-30", credential("old"))
        .await
        .expect_error(400, "NoRegisteredProviderFound");
}

#[tokio::test]
async fn an_identity_has_at_most_twenty_credentials() {
    let (wire, _, credentials) = with_identity().await;
    let quick = json!({ "identities": { "credentialWriteSeconds": 0 } });
    wire.control(Method::PUT, "behaviour", Some(quick)).await.expect(200);
    for number in 0..20 {
        let path = format!("{credentials}/number-{number}");
        wire.put(&path, IDENTITIES, credential(&number.to_string()))
            .await
            .expect(201);
    }
    wire.put(&format!("{credentials}/one-more"), IDENTITIES, credential("more"))
        .await
        .expect_error(400, "BadRequest");
    wire.put(&format!("{credentials}/number-3"), IDENTITIES, credential("changed"))
        .await
        .expect(200);
}

#[tokio::test]
async fn writes_that_overlap_are_refused_and_others_are_not() {
    let (wire, _, credentials) = with_identity().await;
    wire.with_identity("rg", "two").await;
    let slow = json!({ "identities": { "credentialWriteSeconds": 2 } });
    wire.control(Method::PUT, "behaviour", Some(slow)).await.expect(200);
    let (first, second) = (format!("{credentials}/first"), format!("{credentials}/second"));
    let elsewhere = format!("{}/federatedIdentityCredentials/first", wire.identity("rg", "two"));
    let (one, two, other) = tokio::join!(
        wire.put(&first, IDENTITIES, credential("first")),
        wire.put(&second, IDENTITIES, credential("second")),
        wire.put(&elsewhere, IDENTITIES, credential("first")),
    );
    other.expect(201);
    let (won, lost) = if one.status.as_u16() == 201 {
        (one, two)
    } else {
        (two, one)
    };
    won.expect(201);
    lost.expect_error(
        409,
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
    );
    let list = wire.get(&credentials, IDENTITIES).await.expect(200).body;
    assert_eq!(list["value"].as_array().unwrap().len(), 1);
    wire.put(&format!("{credentials}/third"), IDENTITIES, credential("third"))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_fresh_identity_gets_tokens_once_it_and_its_credential_have_spread() {
    let (wire, identity, credentials) = with_identity().await;
    let issuer = Issuer::new();
    issuer.register(&wire).await;
    let client = client_id(&identity);
    let token = || issuer.sign(&claims(ISSUER, SUBJECT, AUDIENCE, 600));

    assert_eq!(code(&exchange(&wire, client, &token()).await.expect(400)), 700_016);
    wire.advance(61).await;
    assert_eq!(code(&exchange(&wire, client, &token()).await.expect(400)), 70021);
    wire.put(&format!("{credentials}/first"), IDENTITIES, credential("another"))
        .await
        .expect(201);
    wire.advance(31).await;
    let path = format!("{credentials}/cluster");
    wire.put(&path, IDENTITIES, credential(SUBJECT)).await.expect(201);
    assert_eq!(code(&exchange(&wire, client, &token()).await.expect(400)), 700_213);
    wire.advance(31).await;
    exchange(&wire, client, &token()).await.expect(200);

    wire.put(&path, IDENTITIES, credential(SUBJECT)).await.expect(200);
    exchange(&wire, client, &token()).await.expect(200);
    wire.delete(&path, IDENTITIES).await.expect(200);
    assert_eq!(code(&exchange(&wire, client, &token()).await.expect(400)), 700_213);
}

#[tokio::test]
async fn an_assertion_that_differs_in_anything_is_refused() {
    let (wire, identity, credentials) = with_identity().await;
    let issuer = Issuer::new();
    issuer.register(&wire).await;
    wire.put(&format!("{credentials}/cluster"), IDENTITIES, credential(SUBJECT))
        .await
        .expect(201);
    wire.advance(61).await;
    let slash = format!("{ISSUER}/");
    let cases = [
        (issuer.sign(&claims(&slash, SUBJECT, AUDIENCE, 600)), 700_211),
        (issuer.sign(&claims(ISSUER, "another", AUDIENCE, 600)), 700_213),
        (
            issuer.sign(&claims(ISSUER, &SUBJECT.to_ascii_uppercase(), AUDIENCE, 600)),
            7_002_138,
        ),
        (issuer.sign(&claims(ISSUER, SUBJECT, "api://other", 600)), 700_212),
        (Issuer::new().sign(&claims(ISSUER, SUBJECT, AUDIENCE, 600)), 700_027),
        (issuer.sign(&claims(ISSUER, SUBJECT, AUDIENCE, -1000)), 700_024),
    ];
    for (assertion, expected) in cases {
        let answer = exchange(&wire, client_id(&identity), &assertion).await;
        assert!(answer.status.is_client_error());
        assert_eq!(code(&answer), expected, "{:?}", answer.body);
    }
    let secret = wire.ask_token(client_id(&identity), "guess", "https://management.azure.com");
    assert_eq!(code(&secret.await.expect(401)), 7_000_215);
}

#[tokio::test]
async fn a_token_says_whose_it_is_and_is_good_for_what_the_identity_may() {
    let (wire, identity, credentials) = with_identity().await;
    let issuer = Issuer::new();
    issuer.register(&wire).await;
    wire.put(&format!("{credentials}/cluster"), IDENTITIES, credential(SUBJECT))
        .await
        .expect(201);
    let scope = wire.group("rg");
    let assignment = format!(
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{}",
        uuid::Uuid::new_v4()
    );
    let body = json!({ "properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
        "principalId": identity["properties"]["principalId"],
        "principalType": "ServicePrincipal",
    } });
    wire.put(&assignment, wire::ROLES, body).await.expect(201);
    wire.advance(61).await;
    let assertion = issuer.sign(&claims(ISSUER, SUBJECT, AUDIENCE, 600));
    let answer = exchange(&wire, client_id(&identity), &assertion).await.expect(200);
    let token = answer.body["access_token"].as_str().unwrap();
    let claims = wire::claims(token);
    assert_eq!(claims["oid"], identity["properties"]["principalId"]);
    assert_eq!(claims["sub"], identity["properties"]["principalId"]);
    assert_eq!(claims["appid"], identity["properties"]["clientId"]);
    assert_eq!(claims["xms_mirid"], identity["id"]);
    assert_eq!(claims["tid"], identity["properties"]["tenantId"]);
    wire.arm_as(token, Method::GET, &scope, RESOURCES, None)
        .await
        .expect(200);
    wire.arm_as(token, Method::DELETE, &scope, RESOURCES, None)
        .await
        .expect_error(403, "AuthorizationFailed");
}

#[tokio::test]
async fn an_executor_s_token_opens_its_pool_and_no_other() {
    let (wire, identity, credentials) = with_identity().await;
    let issuer = Issuer::new();
    issuer.register(&wire).await;
    wire.put(&format!("{credentials}/cluster"), IDENTITIES, credential(SUBJECT))
        .await
        .expect(201);
    let mut endpoints = Vec::new();
    for name in ["mine", "other"] {
        let pool = wire
            .put(&wire.pool("rg", name), POOLS, shell_pool())
            .await
            .expect(200)
            .body;
        endpoints.push(
            pool["properties"]["poolManagementEndpoint"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let assignment = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        wire.pool("rg", "mine"),
        uuid::Uuid::new_v4()
    );
    let body = json!({ "properties": {
        "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0",
        "principalId": identity["properties"]["principalId"],
        "principalType": "ServicePrincipal",
    } });
    wire.put(&assignment, wire::ROLES, body).await.expect(201);
    wire.advance(61).await;
    let assertion = issuer.sign(&claims(ISSUER, SUBJECT, AUDIENCE, 600));
    let answer = exchange_for(&wire, client_id(&identity), &assertion, "https://dynamicsessions.io").await;
    let token = answer.expect(200).body["access_token"].as_str().unwrap().to_owned();
    let list = |endpoint: &str| {
        let url = format!("{endpoint}/listSessions?api-version={POOLS}");
        let request = wire.client.get(url).bearer_auth(&token);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(list(&endpoints[0]).await, 200);
    assert_eq!(list(&endpoints[1]).await, 403);
    wire.delete(&assignment, wire::ROLES).await.expect(200);
    assert_eq!(list(&endpoints[0]).await, 200, "the removal has not spread");
    wire.advance(61).await;
    assert_eq!(list(&endpoints[0]).await, 403);
}
