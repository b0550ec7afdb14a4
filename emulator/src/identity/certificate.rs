//! Client assertions that an application signs itself, with the key of a certificate that is registered for it
//! ("Microsoft identity platform application authentication certificate credentials").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Entra allows five minutes of skew.
const SKEW_SECONDS: i64 = 300;

/// Why an assertion was refused, in the words of Microsoft Entra's error codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateAssertionError {
    /// AADSTS50027: not a JWT, or one without the claims that are needed.
    #[error("Invalid JWT token. The token is malformed.")]
    Malformed,
    /// AADSTS700021: issuer or subject is another application.
    #[error("Client assertion application identifier doesn't match 'client_id' parameter.")]
    Application,
    /// AADSTS700023: it is meant for somebody else.
    #[error("Client assertion audience claim does not match Realm issuer.")]
    Audience,
    /// AADSTS700024: it is not valid now, by real time.
    #[error("Client assertion is not within its valid time range.")]
    Time,
    /// AADSTS700027: no registered certificate has the thumbprint, or its signature is not of that certificate's key.
    #[error(
        "The certificate with identifier used to sign the client assertion is not registered on application, or the signature validation failed."
    )]
    Unregistered,
    /// AADSTS700027: the certificate is registered and not valid now, by real time.
    #[error("The certificate with identifier used to sign the client assertion is expired on application.")]
    Expired,
}

impl CertificateAssertionError {
    /// The number after `AADSTS`.
    pub fn code(&self) -> u32 {
        match self {
            Self::Malformed => 50027,
            Self::Application => 700_021,
            Self::Audience => 700_023,
            Self::Time => 700_024,
            Self::Unregistered | Self::Expired => 700_027,
        }
    }
}

/// Whether an assertion names its own client as the issuer, so that a certificate and no federated credential decides.
pub fn is_of_client(assertion: &str, client_id: &str) -> bool {
    let claims = assertion.split('.').nth(1).and_then(|part| decode(part).ok());
    claims.is_some_and(|claims| is_text(&claims["iss"], client_id))
}

/// Whether a text holds a certificate in PEM that signs by RSA.
pub fn is_certificate(pem: &str) -> bool {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .is_ok_and(|der| X509Certificate::from_der(&der).is_ok_and(|(_, parsed)| parsed.public_key().parsed().is_ok()))
}

/// Accepts an assertion of the application `client_id` that the key of `certificate` (PEM) signed for one of `audiences`.
///
/// RS256 and PS256 are taken, and thumbprints by SHA-256 (`x5t#S256`) and, as of older clients, by SHA-1 (`x5t`).
pub fn check(
    certificate: Option<&str>,
    client_id: &str,
    audiences: &[String],
    assertion: &str,
) -> Result<(), CertificateAssertionError> {
    use CertificateAssertionError as E;
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(E::Malformed);
    };
    let message = format!("{header}.{payload}");
    let (header, claims) = (decode(header)?, decode(payload)?);
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| E::Malformed)?;
    if !is_text(&claims["iss"], client_id) || !is_text(&claims["sub"], client_id) {
        return Err(E::Application);
    }
    if !audiences.iter().any(|audience| is_text(&claims["aud"], audience)) {
        return Err(E::Audience);
    }
    let der = certificate.and_then(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).ok());
    let der = der.ok_or(E::Unregistered)?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| E::Unregistered)?;
    let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest(algorithm, &der));
    let is_named = match (&header["x5t#S256"], &header["x5t"]) {
        (Value::String(given), _) => *given == thumbprint(&SHA256),
        (_, Value::String(given)) => *given == thumbprint(&SHA1_FOR_LEGACY_USE_ONLY),
        _ => false,
    };
    let key = parsed.public_key().subject_public_key.data.as_ref();
    let is_signed = match header["alg"].as_str() {
        Some("RS256") => {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message.as_bytes(), &signature)
        }
        Some("PS256") => UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(message.as_bytes(), &signature),
        _ => return Err(E::Malformed),
    };
    if !is_named || is_signed.is_err() {
        return Err(E::Unregistered);
    }
    let now = Timestamp::now().as_second();
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() || now < validity.not_before.timestamp() {
        return Err(E::Expired);
    }
    let expires = claims["exp"].as_i64().ok_or(E::Malformed)?;
    let not_before = claims["nbf"]
        .as_i64()
        .or_else(|| claims["iat"].as_i64())
        .unwrap_or_default();
    if expires + SKEW_SECONDS <= now || not_before - SKEW_SECONDS > now {
        return Err(E::Time);
    }
    Ok(())
}

fn is_text(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|value| value.eq_ignore_ascii_case(text))
}

fn decode(part: &str) -> Result<Value, CertificateAssertionError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| CertificateAssertionError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| CertificateAssertionError::Malformed)
}
