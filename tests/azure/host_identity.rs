//! Tokens of the identity of the operator's own host.

use std::time::Duration;

use lifeguard::azure::error::ErrorClass;
use lifeguard::azure::{CredentialError, HostIdentity, TokenScope, Tokens};
use serde_json::json;

use crate::emulated::Emulated;
use crate::tokens::{claims, sessions};

/// The path of the endpoints on the host's own port.
const IMDS: &str = "/metadata/identity/oauth2/token";

fn tokens(azure: &Emulated, variables: &[(&str, &str)], client_id: Option<&str>) -> Tokens {
    let host = HostIdentity::of_environment(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    let authority = azure.cloud.authority.clone();
    let tenant = &azure.ready().tenant_id;
    Tokens::new(
        host.unwrap()
            .token_source(azure.http.clone(), authority, tenant, client_id),
    )
}

fn of_imds(azure: &Emulated, client_id: Option<&str>) -> Tokens {
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.ready().imds.as_str())];
    tokens(azure, &variables, client_id)
}

fn class(error: &CredentialError) -> ErrorClass {
    assert!(matches!(error, CredentialError::Host { .. }), "{error:?}");
    error.class()
}

#[tokio::test]
async fn a_virtual_machine_and_a_container_app_give_tokens_of_their_own_identity() {
    let azure = Emulated::start().await;
    let ready = azure.ready();
    let app = [
        ("IDENTITY_ENDPOINT", ready.identity_endpoint.as_str()),
        ("IDENTITY_HEADER", ready.identity_header.as_str()),
    ];
    let mut principals = Vec::new();
    for tokens in [of_imds(&azure, None), tokens(&azure, &app, None)] {
        for scope in [&sessions(), &azure.cloud.resource_manager_scope] {
            let token = tokens.get(scope).await.unwrap();
            let claims = claims(token.secret());
            assert_eq!(claims["aud"].as_str().unwrap().trim_end_matches('/'), scope.audience());
            assert!(claims["xms_mirid"].is_string(), "it is a managed identity");
            principals.push(claims["oid"].clone());
        }
    }
    principals.dedup();
    assert_eq!(principals.len(), 1, "both are the same host");
}

#[tokio::test]
async fn an_identity_that_the_host_does_not_have_is_refused_and_not_asked_for_again() {
    let azure = Emulated::start().await;
    let unknown = of_imds(&azure, Some("12345678-0000-0000-0000-000000000000"));
    let error = unknown.get(&sessions()).await.unwrap_err();
    assert_eq!(class(&error), ErrorClass::Denied, "{error}");
    assert_eq!(azure.requests("GET", IMDS).len(), 1);

    let wrong_header = [
        ("IDENTITY_ENDPOINT", azure.ready().identity_endpoint.as_str()),
        ("IDENTITY_HEADER", "canary"),
    ];
    let error = tokens(&azure, &wrong_header, None).get(&sessions()).await.unwrap_err();
    assert_eq!(class(&error), ErrorClass::Denied, "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"));

    let error = of_imds(&azure, None)
        .get(&TokenScope::of_audience("https://unknown.example"))
        .await
        .unwrap_err();
    assert_eq!(class(&error), ErrorClass::Terminal, "{error}");
}

#[tokio::test]
async fn hiccups_of_the_metadata_service_are_sat_out_and_longer_ones_are_left_to_the_next_pass() {
    let azure = Emulated::start().await;
    let ready = |status: u16| json!({"status": status, "body": "{\"error\": \"busy\"}"});
    for (status, times, outcome, requests) in [
        (404, 2, Ok(()), 3),
        (500, 1, Ok(()), 2),
        (503, 3, Err(ErrorClass::Transient), 3),
        (410, 1, Err(ErrorClass::Transient), 1),
        (429, 1, Err(ErrorClass::Throttled(Duration::from_secs(10))), 1),
    ] {
        azure.emulator.state().faults().clear();
        azure.emulator.state().journal().clear_requests();
        azure.fault("GET", IMDS, times, ready(status));
        let result = of_imds(&azure, None).get(&sessions()).await;
        let result = result.map(|_| ()).map_err(|error| class(&error));
        assert_eq!(result, outcome, "{status}");
        assert_eq!(azure.requests("GET", IMDS).len(), requests, "{status}");
    }
}

#[tokio::test]
async fn where_no_metadata_service_is_nobody_waits_for_one() {
    let azure = Emulated::start().await;
    // A port that nothing listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nowhere = format!("http://127.0.0.1:{port}");
    let tokens = tokens(&azure, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", nowhere.as_str())], None);
    let error = tokens.get(&sessions()).await.unwrap_err();
    assert_eq!(class(&error), ErrorClass::Transient);
    assert_eq!(error.code(), "HostUnreachable");
}

#[tokio::test]
async fn the_operators_own_workload_identity_exchanges_the_file_as_it_is_now() {
    let azure = Emulated::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let variables = [
        ("AZURE_TENANT_ID", azure.ready().tenant_id.as_str()),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let error = tokens(&azure, &variables, None).get(&sessions()).await.unwrap_err();
    assert!(error.to_string().contains("hostIdentity.clientId is needed"), "{error}");

    let named = tokens(&azure, &variables, Some(&azure.ready().client_id));
    let error = named.get(&sessions()).await.unwrap_err();
    assert_eq!(class(&error), ErrorClass::Transient, "{error}");
    let header = r#"{"alg":"RS256"}"#;
    let token: Vec<String> = [header, r#"{"iss":"https://nobody","sub":"s","aud":"a"}"#, "x"]
        .map(|part| {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(part)
        })
        .to_vec();
    std::fs::write(&file, format!("{}\n", token.join("."))).unwrap();
    let error = named.get(&sessions()).await.unwrap_err();
    // The authority read the token: it knows of no such federation.
    assert!(error.may_be_replication(), "{error}");
    let sent = azure.requests("POST", "/oauth2/v2.0/token");
    assert_eq!(sent.len(), 1);
}
