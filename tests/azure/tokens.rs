//! Tokens from the authority.

use std::time::Duration;

use futures::FutureExt;
use lifeguard::azure::credential::{AssertionSource, Credential, CredentialError, Rejection};
use lifeguard::azure::error::ErrorClass;
use lifeguard::azure::{TokenScope, Tokens};
use serde_json::{Value, json};

use crate::emulated::Emulated;

pub fn sessions() -> TokenScope {
    TokenScope::of_audience("https://dynamicsessions.io")
}

async fn refusal(credential: Credential) -> CredentialError {
    Tokens::new(credential).get(&sessions()).await.unwrap_err()
}

pub fn rejection(error: &CredentialError) -> Option<Rejection> {
    match error {
        CredentialError::Rejected { rejection, .. } => Some(*rejection),
        _ => None,
    }
}

/// The claims of a token.
pub fn claims(token: &str) -> Value {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload)
            .unwrap(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_client_secret_gets_one_token_for_each_audience() {
    let azure = Emulated::start().await;
    let tokens = azure.tokens();
    for _ in 0..3 {
        let token = tokens.get(&sessions()).await.unwrap();
        assert_eq!(claims(token.secret())["aud"], "https://dynamicsessions.io");
        tokens.get(&azure.cloud.resource_manager_scope).await.unwrap();
    }
    assert_eq!(azure.requests("POST", "/oauth2/v2.0/token").len(), 2);
}

#[tokio::test]
async fn a_wrong_secret_an_unknown_application_and_an_unknown_tenant_are_told_apart() {
    let azure = Emulated::start().await;
    let ready = azure.ready();
    let unknown = "00000000-0000-4000-8000-000000000001";

    let error = refusal(azure.credential_with(&ready.tenant_id, &ready.client_id, "wrong-canary")).await;
    assert_eq!(
        (rejection(&error), error.code()),
        (Some(Rejection::Secret), "AADSTS7000215")
    );
    assert_eq!(error.class(), ErrorClass::Denied);
    assert!(!format!("{error} {error:?}").contains("wrong-canary"));

    let error = refusal(azure.credential_with(&ready.tenant_id, unknown, "secret")).await;
    assert_eq!(
        (rejection(&error), error.code()),
        (Some(Rejection::UnknownApplication), "AADSTS700016")
    );

    let error = refusal(azure.credential_with(unknown, &ready.client_id, &ready.client_secret)).await;
    assert_eq!(rejection(&error), Some(Rejection::UnknownTenant));

    let error = refusal(azure.credential_with("no tenant", &ready.client_id, &ready.client_secret)).await;
    assert!(matches!(error, CredentialError::Configuration { .. }), "{error:?}");
}

#[tokio::test]
async fn an_audience_that_nobody_knows_is_not_tried_for_ever() {
    let azure = Emulated::start().await;
    let error = azure
        .tokens()
        .get(&TokenScope::of_audience("https://unknown.example"))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Terminal, "{error}");
}

#[tokio::test]
async fn a_federated_token_is_exchanged() {
    let azure = Emulated::start().await;
    // The emulator's own authority stands in for another issuer: its tokens are signed and its keys are public.
    let foreign = azure
        .tokens()
        .get(&azure.cloud.resource_manager_scope)
        .await
        .unwrap()
        .secret()
        .to_owned();
    let (issuer, subject) = (claims(&foreign)["iss"].clone(), claims(&foreign)["sub"].clone());
    let keys = format!(
        "{}/{}/discovery/v2.0/keys",
        azure.ready().authority,
        azure.ready().tenant_id
    );
    let client = reqwest::Client::builder()
        .tls_certs_merge(reqwest::Certificate::from_pem_bundle(azure.cloud.ca_bundle.as_ref().unwrap()).unwrap())
        .build()
        .unwrap();
    let jwks: Value = client.get(keys).send().await.unwrap().json().await.unwrap();
    let control = |path: &str| format!("{}/_emulator/{path}", azure.ready().arm);
    client
        .post(control("issuers"))
        .json(&json!({"issuer": issuer, "jwks": jwks}))
        .send()
        .await
        .unwrap();
    let federated = json!({"issuer": issuer, "subject": subject, "audiences": ["https://management.azure.com"]});
    let application: Value = client
        .post(control("applications"))
        .json(&json!({"federatedCredentials": [federated]}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();

    let credential = |assertion: String| {
        let source = AssertionSource::new(move || futures::future::ready(Ok(assertion.clone())).boxed());
        let client_id = application["clientId"].as_str().unwrap();
        let authority = azure.cloud.authority.clone();
        Credential::assertion(
            azure.http.clone(),
            authority,
            &azure.ready().tenant_id,
            client_id,
            source,
        )
    };
    let token = Tokens::new(credential(foreign)).get(&sessions()).await.unwrap();
    assert_eq!(claims(token.secret())["oid"], application["objectId"]);

    let other = azure.tokens().get(&sessions()).await.unwrap().secret().to_owned();
    let error = refusal(credential(other)).await;
    assert_eq!(rejection(&error), Some(Rejection::Federation), "{error}");
    assert!(error.may_be_replication());
}

#[tokio::test]
async fn without_an_assertion_nothing_is_asked() {
    let azure = Emulated::start().await;
    let failure = CredentialError::Assertion {
        class: ErrorClass::Transient,
        message: "no ServiceAccount".to_owned(),
    };
    let given = failure.clone();
    let source = AssertionSource::new(move || futures::future::ready(Err(given.clone())).boxed());
    let credential = Credential::assertion(
        azure.http.clone(),
        azure.cloud.authority.clone(),
        &azure.ready().tenant_id,
        "id",
        source,
    );
    assert_eq!(refusal(credential).await, failure);
    assert!(azure.requests("POST", "/token").is_empty());
}

#[tokio::test]
async fn an_authority_that_fails_is_asked_once_and_again_only_by_the_next_call() {
    let azure = Emulated::start().await;
    for (action, class) in [
        (
            json!({"status": 503, "body": "<html>busy</html>"}),
            ErrorClass::Transient,
        ),
        (json!({"status": 500}), ErrorClass::Transient),
        (
            json!({"status": 200, "body": "<html>portal</html>"}),
            ErrorClass::Transient,
        ),
        (json!({"reset": true}), ErrorClass::Transient),
        (json!({"dropResponse": true}), ErrorClass::Transient),
        (json!({"truncateBytes": 20}), ErrorClass::Transient),
        (
            json!({"status": 429, "headers": {"Retry-After": "17"}}),
            ErrorClass::Throttled(Duration::from_secs(17)),
        ),
        (json!({"status": 429}), ErrorClass::Throttled(Duration::from_secs(10))),
    ] {
        azure.emulator.state().journal().clear_requests();
        azure.fault("POST", "/token", 1, action.clone());
        let tokens = azure.tokens();
        let error = tokens.get(&sessions()).await.unwrap_err();
        assert_eq!(error.class(), class, "{action}: {error}");
        assert_eq!(azure.requests("POST", "/token").len(), 1, "{action}");
        tokens.get(&sessions()).await.unwrap();
    }
}
