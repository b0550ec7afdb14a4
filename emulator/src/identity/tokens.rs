//! Access tokens: issued by the authority, checked by every endpoint.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::SigningKey;
use crate::clock::Clock;

/// Who a token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// Object id of the service principal or managed identity.
    pub object_id: String,
    /// Its client id.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// The resource that a managed identity comes and goes with (`xms_mirid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
}

/// The part of Azure that a token is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Azure Resource Manager.
    ResourceManager,
    /// The data plane of session pools.
    Sessions,
    /// Microsoft Graph.
    Graph,
}

impl Audience {
    /// Names under which this part of Azure is asked for in a token request, without a trailing slash.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::ResourceManager => &["https://management.azure.com", "https://management.core.windows.net"],
            // The second is the name of the preview, which semantic-kernel still asks for.
            Self::Sessions => &["https://dynamicsessions.io", "https://acasessions.io"],
            Self::Graph => &["https://graph.microsoft.com"],
        }
    }
}

/// Resources that the authority issues tokens for without being any of their services.
const OTHER_RESOURCES: [&str; 2] = ["https://vault.azure.net", "https://storage.azure.com"];

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request has no `Authorization: Bearer` header.
    #[error("the request has no bearer token")]
    Missing,
    /// The token is not a JWT of this authority.
    #[error("the token is not a token of this authority")]
    Invalid,
    /// The token's lifetime is over, by the virtual clock.
    #[error("the token has expired")]
    Expired,
    /// The token is for something else.
    #[error("the token is for the audience {0}")]
    Audience(String),
}

/// Issues and checks access tokens.
#[derive(Debug)]
pub struct Tokens {
    key: SigningKey,
    clock: Arc<Clock>,
    tenant_id: String,
    root: String,
}

impl Tokens {
    /// The tokens of one tenant; `root` is the emulator's own URL, which is an audience of every endpoint.
    pub fn new(key: SigningKey, clock: Arc<Clock>, tenant_id: String, root: String) -> Self {
        Self {
            key,
            clock,
            tenant_id,
            root,
        }
    }

    /// The JWKS document of the authority.
    pub fn jwks(&self) -> Value {
        self.key.jwks()
    }

    /// Whether tokens are issued for a resource, as it stands in a scope or `resource` parameter.
    pub fn knows_resource(&self, resource: &str) -> bool {
        let resource = resource.trim_end_matches('/');
        let own = resource.starts_with(&self.root);
        own || [Audience::ResourceManager, Audience::Sessions, Audience::Graph]
            .iter()
            .flat_map(|audience| audience.names())
            .chain(&OTHER_RESOURCES)
            .any(|name| name.eq_ignore_ascii_case(resource))
    }

    /// Signs a token for `resource`, whose spelling the `aud` claim keeps.
    pub fn issue(&self, principal: &Principal, resource: &str, lifetime_seconds: u32) -> String {
        let now = self.clock.now().as_second();
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5t": self.key.id(), "kid": self.key.id() });
        let issuer = format!("https://sts.windows.net/{}/", self.tenant_id);
        let mut claims = json!({
            "aud": resource,
            "iss": issuer,
            "iat": now,
            "nbf": now,
            // A second more than `expires_in` says, so that a client that is exact is never late.
            "exp": now + i64::from(lifetime_seconds) + 1,
            "appid": principal.client_id,
            // A secret or a certificate; the platform's own certificate for managed identities.
            "appidacr": if principal.resource_id.is_some() { "2" } else { "1" },
            "idp": issuer,
            "idtyp": "app",
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": self.tenant_id,
            "uti": URL_SAFE_NO_PAD.encode(&Uuid::new_v4().as_bytes()[..]),
            "ver": "1.0",
        });
        if let Some(resource_id) = &principal.resource_id {
            claims["xms_mirid"] = json!(resource_id);
        }
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// The principal of a request whose token is signed, current and meant for `audience`.
    pub fn verify(&self, headers: &HeaderMap, audience: Audience) -> Result<Principal, TokenError> {
        let token = bearer(headers).ok_or(TokenError::Missing)?;
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Invalid)?;
        if !self.key.verifies(message.as_bytes(), &signature) {
            return Err(TokenError::Invalid);
        }
        let claims = claims(token).ok_or(TokenError::Invalid)?;
        if claims["exp"].as_i64().unwrap_or_default() <= self.clock.now().as_second() {
            return Err(TokenError::Expired);
        }
        let aud = claims["aud"].as_str().unwrap_or_default();
        let bare = aud.trim_end_matches('/');
        let public = audience.names().iter().any(|name| name.eq_ignore_ascii_case(bare));
        let own = bare.strip_prefix(&self.root).is_some_and(|host| match audience {
            Audience::ResourceManager => host.is_empty(),
            Audience::Sessions => host.is_empty() || host.ends_with(".dynamicsessions.io"),
            Audience::Graph => host.strip_prefix('/') == Some(super::graph::HOST),
        });
        if !public && !own {
            return Err(TokenError::Audience(aud.to_owned()));
        }
        principal(&claims).ok_or(TokenError::Invalid)
    }

    /// The principal that a request's token names, for the journal only: nothing is checked.
    pub fn peek(&self, headers: &HeaderMap) -> Option<Principal> {
        principal(&claims(bearer(headers)?)?)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn principal(claims: &Value) -> Option<Principal> {
    Some(Principal {
        object_id: claims["oid"].as_str()?.to_owned(),
        client_id: claims["appid"].as_str()?.to_owned(),
        tenant_id: claims["tid"].as_str()?.to_owned(),
        resource_id: claims["xms_mirid"].as_str().map(str::to_owned),
    })
}
