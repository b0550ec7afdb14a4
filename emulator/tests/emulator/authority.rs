//! Microsoft Entra's endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, SUBJECT, claims, exchange};
use crate::wire::{self, Wire};

async fn federated(wire: &Wire, issuer: &Issuer) -> String {
    issuer.register(wire).await;
    let body = json!({ "federatedCredentials": [{ "issuer": ISSUER, "subject": SUBJECT, "audiences": [AUDIENCE] }] });
    let application = wire.control(Method::POST, "applications", Some(body)).await.expect(201);
    application.body["clientId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn discovery_names_the_token_endpoint_and_keys_that_verify_its_tokens() {
    let wire = Wire::start().await;
    let tenant = &wire.emulator.ready().tenant_id;
    let url = format!("{}/{tenant}/v2.0/.well-known/openid-configuration", wire.root());
    let discovery = wire.follow(&url).await.expect(200).body;
    assert_eq!(
        discovery["token_endpoint"],
        format!("{}/{tenant}/oauth2/v2.0/token", wire.root())
    );
    let keys = wire
        .follow(discovery["jwks_uri"].as_str().unwrap())
        .await
        .expect(200)
        .body;

    let mut parts = wire.token.split('.');
    let (header, payload, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let kid: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(keys["keys"][0]["kid"], kid["kid"]);
    let member = |name: &str| URL_SAFE_NO_PAD.decode(keys["keys"][0][name].as_str().unwrap()).unwrap();
    let key = ring::signature::RsaPublicKeyComponents {
        n: member("n"),
        e: member("e"),
    };
    let message = format!("{header}.{payload}");
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    key.verify(
        &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        message.as_bytes(),
        &signature,
    )
    .unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(claims["aud"], "https://management.azure.com");
    assert_eq!(claims["tid"], json!(tenant));
}

#[tokio::test]
async fn wrong_credentials_are_refused_with_the_codes_of_entra() {
    let wire = Wire::start().await;
    let ready = wire.emulator.ready();
    let code = |answer: &wire::Answer| answer.body["error_codes"][0].as_u64().unwrap();
    let arm = "https://management.azure.com";

    let answer = wire.ask_token(&ready.client_id, "wrong", arm).await.expect(401);
    assert_eq!(
        (answer.body["error"].as_str().unwrap(), code(&answer)),
        ("invalid_client", 7_000_215)
    );
    assert!(
        answer.body["error_description"]
            .as_str()
            .unwrap()
            .starts_with("AADSTS7000215: ")
    );
    let answer = wire
        .ask_token("4b5c1f0e-0000-4000-8000-000000000000", "x", arm)
        .await
        .expect(400);
    assert_eq!(code(&answer), 700_016);
    let answer = wire
        .ask_token(&ready.client_id, &ready.client_secret, "https://nothing.example")
        .await
        .expect(400);
    assert_eq!(
        (answer.body["error"].as_str().unwrap(), code(&answer)),
        ("invalid_resource", 500_011)
    );
    let url = format!("{}/not-a-tenant/oauth2/v2.0/token", wire.root());
    let response = wire
        .client
        .post(url)
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    assert_eq!(code(&wire::answer(response).await.expect(400)), 90002);
}

#[tokio::test]
async fn the_v1_endpoint_answers_with_strings() {
    let wire = Wire::start().await;
    let ready = wire.emulator.ready();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", ready.client_id.as_str()),
        ("client_secret", ready.client_secret.as_str()),
        ("resource", "https://management.azure.com/"),
    ];
    let url = format!("{}/{}/oauth2/token", wire.root(), ready.tenant_id);
    let answer = wire::answer(wire.client.post(url).form(&form).send().await.unwrap())
        .await
        .expect(200);
    assert_eq!(answer.body["expires_in"], "3599");
    let token = answer.body["access_token"].as_str().unwrap();
    wire.arm_as(token, Method::GET, "/subscriptions", "2022-12-01", None)
        .await
        .expect(200);
}

#[tokio::test]
async fn an_assertion_that_equals_a_federated_credential_gets_a_token() {
    let wire = Wire::start().await;
    let issuer = Issuer::new();
    let client_id = federated(&wire, &issuer).await;
    let answer = exchange(&wire, &client_id, &issuer.sign(&claims(ISSUER, SUBJECT, AUDIENCE, 600)))
        .await
        .expect(200);
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 3599);
}

#[tokio::test]
async fn an_assertion_that_differs_in_anything_is_refused() {
    let wire = Wire::start().await;
    let issuer = Issuer::new();
    let client_id = federated(&wire, &issuer).await;
    let slash = format!("{ISSUER}/");
    let cases = [
        (issuer.sign(&claims(&slash, SUBJECT, AUDIENCE, 600)), 700_211),
        (
            issuer.sign(&claims(ISSUER, "system:serviceaccount:other:lifeguard", AUDIENCE, 600)),
            700_213,
        ),
        (issuer.sign(&claims(ISSUER, SUBJECT, "api://other", 600)), 700_212),
        (Issuer::new().sign(&claims(ISSUER, SUBJECT, AUDIENCE, 600)), 700_027),
        (issuer.sign(&claims(ISSUER, SUBJECT, AUDIENCE, -1000)), 700_024),
        ("no token".to_owned(), 50027),
    ];
    for (assertion, code) in cases {
        let answer = exchange(&wire, &client_id, &assertion).await;
        assert!(answer.status.is_client_error());
        assert_eq!(answer.body["error_codes"][0], code, "{:?}", answer.body);
    }
}

#[tokio::test]
async fn a_federated_credential_whose_issuer_is_not_known_cannot_be_checked() {
    let wire = Wire::start().await;
    let body = json!({ "federatedCredentials": [{ "issuer": ISSUER, "subject": SUBJECT, "audiences": [AUDIENCE] }] });
    let application = wire.control(Method::POST, "applications", Some(body)).await.expect(201);
    let assertion = Issuer::new().sign(&claims(ISSUER, SUBJECT, AUDIENCE, 600));
    let answer = exchange(&wire, application.body["clientId"].as_str().unwrap(), &assertion)
        .await
        .expect(400);
    assert_eq!(answer.body["error_codes"][0], 50166);
}

#[tokio::test]
async fn arm_refuses_no_token_a_forged_one_one_of_another_audience_and_one_that_expired() {
    let wire = Wire::start().await;
    let path = wire.subscription();
    let url = format!("{}{path}?api-version=2022-12-01", wire.root());
    let answer = wire::answer(wire.client.get(url).send().await.unwrap()).await;
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer authorization_uri=")
    );
    answer.expect_error(401, "AuthenticationFailed");

    let mut forged = wire.token.clone();
    let last = if forged.ends_with("AA") { "BB" } else { "AA" };
    forged.replace_range(forged.len() - 2.., last);
    wire.arm_as(&forged, Method::GET, &path, "2022-12-01", None)
        .await
        .expect_error(401, "InvalidAuthenticationToken");

    let other = wire.token_for("https://dynamicsessions.io").await;
    wire.arm_as(&other, Method::GET, &path, "2022-12-01", None)
        .await
        .expect_error(401, "InvalidAuthenticationToken");

    wire.advance(3600).await;
    wire.get(&path, "2022-12-01")
        .await
        .expect_error(401, "ExpiredAuthenticationToken");
    let fresh = wire.token_for("https://management.azure.com").await;
    wire.arm_as(&fresh, Method::GET, &path, "2022-12-01", None)
        .await
        .expect(200);
}

#[tokio::test]
async fn arm_takes_tokens_for_its_public_names_and_for_its_own_url() {
    let wire = Wire::start().await;
    let root = wire.root();
    let slash = format!("{root}/");
    for audience in [
        "https://management.azure.com/",
        "https://management.core.windows.net/",
        root.as_str(),
        slash.as_str(),
    ] {
        let token = wire.token_for(audience).await;
        wire.arm_as(&token, Method::GET, &wire.subscription(), "2022-12-01", None)
            .await
            .expect(200);
    }
}
