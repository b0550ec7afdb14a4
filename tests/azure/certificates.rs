//! Tokens for certificates.

use lifeguard::azure::credential::{CredentialError, Rejection};
use lifeguard::azure::error::ErrorClass;
use lifeguard::azure::{ClientCertificate, Credential, Tokens};
use lifeguard_local::ApplicationCertificate;
use serde_json::{Value, json};

use crate::emulated::Emulated;
use crate::tokens::{claims, rejection, sessions};

async fn register(azure: &Emulated, certificate: &ApplicationCertificate) -> String {
    let ca = reqwest::Certificate::from_pem_bundle(azure.cloud.ca_bundle.as_ref().unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_merge(ca).build().unwrap();
    let request = client.post(format!("{}/_emulator/applications", azure.ready().arm));
    let body = json!({"certificate": certificate.certificate});
    let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
    answer["clientId"].as_str().unwrap().to_owned()
}

fn credential(azure: &Emulated, client_id: &str, certificate: &ApplicationCertificate) -> Credential {
    let read = ClientCertificate::from_pem(certificate.certificate.as_bytes(), certificate.key.as_bytes()).unwrap();
    let authority = azure.cloud.authority.clone();
    Credential::certificate(azure.http.clone(), authority, &azure.ready().tenant_id, client_id, read)
}

#[tokio::test]
async fn a_registered_certificate_gets_tokens_and_another_one_does_not() {
    let azure = Emulated::start().await;
    let registered = ApplicationCertificate::generate(2020, 2200).unwrap();
    let client_id = register(&azure, &registered).await;

    let tokens = Tokens::new(credential(&azure, &client_id, &registered));
    let token = tokens.get(&sessions()).await.unwrap();
    assert_eq!(claims(token.secret())["appid"], client_id.as_str());
    tokens.get(&azure.cloud.resource_manager_scope).await.unwrap();

    // The same key under another certificate is not the one that was registered.
    let other = [
        ApplicationCertificate::generate(2020, 2200).unwrap(),
        registered.reissued(2021, 2200).unwrap(),
    ];
    for certificate in other {
        let error = Tokens::new(credential(&azure, &client_id, &certificate))
            .get(&sessions())
            .await
            .unwrap_err();
        assert_eq!(rejection(&error), Some(Rejection::Certificate), "{error}");
        assert_eq!((error.code(), error.class()), ("AADSTS700027", ErrorClass::Denied));
    }
    let stranger = credential(&azure, &azure.ready().client_id, &registered);
    let error = Tokens::new(stranger).get(&sessions()).await.unwrap_err();
    assert_eq!(rejection(&error), Some(Rejection::Certificate), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_not_even_sent() {
    let azure = Emulated::start().await;
    let expired = ApplicationCertificate::generate(2019, 2020).unwrap();
    let client_id = register(&azure, &expired).await;
    let error = Tokens::new(credential(&azure, &client_id, &expired))
        .get(&sessions())
        .await
        .unwrap_err();
    assert!(matches!(error, CredentialError::Configuration { .. }), "{error}");
    assert!(azure.requests("POST", "/oauth2/v2.0/token").is_empty());
}
