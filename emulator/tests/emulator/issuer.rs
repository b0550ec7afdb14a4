//! A token issuer beside the emulator, as a Kubernetes cluster is one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::wire::{self, Wire};

pub const ISSUER: &str = "https://oidc.example/cluster";
pub const SUBJECT: &str = "system:serviceaccount:default:lifeguard";
pub const AUDIENCE: &str = "api://AzureADTokenExchange";

/// A token issuer with an ES256 key.
pub struct Issuer(EcdsaKeyPair);

impl Issuer {
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap())
    }

    pub fn jwks(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "one", "alg": "ES256", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        }] })
    }

    /// Makes the emulator trust the issuer under [`ISSUER`].
    pub async fn register(&self, wire: &Wire) {
        let body = json!({ "issuer": ISSUER, "jwks": self.jwks() });
        wire.control(Method::POST, "issuers", Some(body)).await.expect(204);
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "kid": "one", "typ": "JWT" });
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

pub fn claims(issuer: &str, subject: &str, audience: &str, lifetime: i64) -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({ "iss": issuer, "sub": subject, "aud": [audience], "iat": now - 5, "exp": now + lifetime })
}

/// Asks for a token for ARM with an assertion.
pub async fn exchange(wire: &Wire, client_id: &str, assertion: &str) -> wire::Answer {
    exchange_for(wire, client_id, assertion, "https://management.azure.com").await
}

/// Asks for a token for a resource with an assertion.
pub async fn exchange_for(wire: &Wire, client_id: &str, assertion: &str, resource: &str) -> wire::Answer {
    let scope = format!("{resource}/.default");
    wire.post_form(&[
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", &scope),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion),
    ])
    .await
}
