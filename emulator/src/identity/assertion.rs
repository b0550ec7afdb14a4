//! Client assertions: tokens of other issuers, taken in place of a client secret (workload identity federation).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;

use super::{Directory, FederatedCredential};

/// Why an assertion was refused, in the words of Microsoft Entra's error codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// AADSTS50027: not a JWT, or one without the claims that are needed.
    #[error("Invalid JWT token. The token is malformed.")]
    Malformed,
    /// AADSTS700211: no federated credential has the issuer.
    #[error("No matching federated identity record found for presented assertion issuer '{0}'.")]
    Issuer(String),
    /// AADSTS700213: no federated credential of the issuer has the subject.
    #[error("No matching federated identity record found for presented assertion subject '{0}'.")]
    Subject(String),
    /// AADSTS7002138: a federated credential of the issuer has the subject but for its case.
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison."
    )]
    SubjectCase(String),
    /// AADSTS700212: no federated credential of issuer and subject has the audience.
    #[error("No matching federated identity record found for presented assertion audience '{0}'.")]
    Audience(String),
    /// AADSTS50166: the issuer has not been registered, so its keys are not known.
    #[error("Request to External OIDC endpoint failed: the keys of '{0}' cannot be had.")]
    UnknownIssuer(String),
    /// AADSTS700027: the signature is not that of a key of the issuer.
    #[error("The certificate used to sign the client assertion is not registered, or signature validation failed.")]
    Signature,
    /// AADSTS700024: the assertion is not valid now, by real time.
    #[error("Client assertion is not within its valid time range.")]
    Time,
}

impl AssertionError {
    /// The number after `AADSTS`.
    pub fn code(&self) -> u32 {
        match self {
            Self::Malformed => 50027,
            Self::Issuer(_) => 700_211,
            Self::Subject(_) => 700_213,
            Self::SubjectCase(_) => 7_002_138,
            Self::Audience(_) => 700_212,
            Self::UnknownIssuer(_) => 50166,
            Self::Signature => 700_027,
            Self::Time => 700_024,
        }
    }
}

/// Accepts an assertion in the name of whoever has these federated credentials, or says why not.
///
/// Issuer, subject and audience must equal one federated credential exactly; the signature must be that of a key that
/// was registered for the issuer; `nbf` and `exp` go by real time, as the token came from outside.
pub fn check(
    directory: &Directory,
    credentials: &[&FederatedCredential],
    assertion: &str,
) -> Result<(), AssertionError> {
    let mut parts = assertion.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(AssertionError::Malformed);
    };
    let (header_json, claims) = (decode(header)?, decode(payload)?);
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| AssertionError::Malformed)?;
    let issuer = claims["iss"].as_str().ok_or(AssertionError::Malformed)?;
    let subject = claims["sub"].as_str().ok_or(AssertionError::Malformed)?;
    let audiences: Vec<&str> = match &claims["aud"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => return Err(AssertionError::Malformed),
    };

    let of_issuer: Vec<_> = credentials.iter().filter(|one| one.issuer == issuer).collect();
    if of_issuer.is_empty() {
        return Err(AssertionError::Issuer(issuer.to_owned()));
    }
    let but_for_case = of_issuer.iter().any(|one| one.subject.eq_ignore_ascii_case(subject));
    let of_subject: Vec<_> = of_issuer.into_iter().filter(|one| one.subject == subject).collect();
    if of_subject.is_empty() && but_for_case {
        return Err(AssertionError::SubjectCase(subject.to_owned()));
    }
    if of_subject.is_empty() {
        return Err(AssertionError::Subject(subject.to_owned()));
    }
    let accepted = |audience: &&str| {
        of_subject
            .iter()
            .any(|one| one.audiences.iter().any(|known| known == audience))
    };
    if !audiences.iter().any(accepted) {
        return Err(AssertionError::Audience(audiences.join(" ")));
    }

    let jwks = directory
        .issuers
        .get(issuer)
        .ok_or_else(|| AssertionError::UnknownIssuer(issuer.to_owned()))?;
    let message = format!("{header}.{payload}");
    if !is_signed(jwks, &header_json, message.as_bytes(), &signature) {
        return Err(AssertionError::Signature);
    }
    let now = Timestamp::now().as_second();
    let expires = claims["exp"].as_i64().ok_or(AssertionError::Malformed)?;
    let not_before = claims["nbf"]
        .as_i64()
        .or_else(|| claims["iat"].as_i64())
        .unwrap_or_default();
    // Microsoft Entra allows five minutes of skew.
    if expires.saturating_add(300) <= now || not_before.saturating_sub(300) > now {
        return Err(AssertionError::Time);
    }
    Ok(())
}

fn decode(part: &str) -> Result<Value, AssertionError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| AssertionError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| AssertionError::Malformed)
}

/// Whether one of the issuer's keys (the one of the header's `kid`, if it says one) signed the message.
fn is_signed(jwks: &Value, header: &Value, message: &[u8], signature: &[u8]) -> bool {
    let Some(algorithm) = header["alg"].as_str() else {
        return false;
    };
    let keys = jwks["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.iter()
        .filter(|key| header["kid"].is_null() || key["kid"].is_null() || key["kid"] == header["kid"])
        .any(|key| verify(key, algorithm, message, signature).unwrap_or(false))
}

fn verify(key: &Value, algorithm: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
    let member = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?.trim_end_matches('=')).ok();
    let rsa = |parameters: &'static RsaParameters| {
        let components = RsaPublicKeyComponents {
            n: member("n")?,
            e: member("e")?,
        };
        Some(components.verify(parameters, message, signature).is_ok())
    };
    let ecdsa = |verification: &'static dyn VerificationAlgorithm| {
        let mut point = vec![4];
        point.extend(member("x")?);
        point.extend(member("y")?);
        Some(
            UnparsedPublicKey::new(verification, point)
                .verify(message, signature)
                .is_ok(),
        )
    };
    match algorithm {
        "RS256" => rsa(&RSA_PKCS1_2048_8192_SHA256),
        "RS384" => rsa(&RSA_PKCS1_2048_8192_SHA384),
        "RS512" => rsa(&RSA_PKCS1_2048_8192_SHA512),
        "ES256" => ecdsa(&ECDSA_P256_SHA256_FIXED),
        "ES384" => ecdsa(&ECDSA_P384_SHA384_FIXED),
        _ => None,
    }
}
