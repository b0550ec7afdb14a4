//! Client assertions that the key of a certificate signs.
//!
//! `azure_identity`'s own certificate credential needs OpenSSL, which this project does not link. The assertion is what
//! "Microsoft identity platform application authentication certificate credentials" describes, and
//! [`ClientAssertionCredential`](azure_identity::ClientAssertionCredential) sends it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::error::CredentialError;

/// How long an assertion is valid: as long as azure-identity's are.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// Why a certificate and key cannot prove who an application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is no PEM block of a certificate.
    #[error("the certificate is not in PEM form (-----BEGIN CERTIFICATE-----)")]
    CertificateNotPem,
    /// There is no PEM block of a private key that is not encrypted.
    #[error(
        "the private key is not in PEM form, or is encrypted (-----BEGIN PRIVATE KEY----- or RSA PRIVATE KEY is needed)"
    )]
    KeyNotPem,
    /// The block does not contain an X.509 certificate.
    #[error("the certificate is not an X.509 certificate")]
    Malformed,
    /// The certificate or the key has another algorithm, such as an elliptic curve.
    #[error("certificate and private key must be RSA: Entra ID accepts nothing else of applications")]
    NotRsa,
    /// The RSA key is damaged or has less than 2048 bits.
    #[error("the private key is damaged, or has less than 2048 bits")]
    UnusableKey,
    /// Certificate and key are not a pair.
    #[error("the private key does not belong to the certificate")]
    NotAPair,
}

/// A certificate of an application with its private RSA key, ready to sign. Clones share the key.
#[derive(Clone)]
pub struct ClientCertificate {
    thumbprint: String,
    not_before: Timestamp,
    not_after: Timestamp,
    key: Arc<RsaKeyPair>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("thumbprint", &self.thumbprint)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl ClientCertificate {
    /// Reads both from PEM. The first certificate of a chain is the application's, as in a Secret of type
    /// `kubernetes.io/tls`. Whether it is valid now is not checked.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let der = CertificateDer::from_pem_slice(certificate).map_err(|_| CertificateError::CertificateNotPem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::KeyNotPem)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| CertificateError::Malformed)?;
        let public = parsed.public_key();
        if public.algorithm.algorithm != OID_PKCS1_RSAENCRYPTION {
            return Err(CertificateError::NotRsa);
        }
        let pair = match &key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(CertificateError::NotRsa),
        };
        let pair = pair.map_err(|rejected| match rejected.to_string().as_str() {
            "WrongAlgorithm" => CertificateError::NotRsa,
            _ => CertificateError::UnusableKey,
        })?;
        if pair.public_key().as_ref() != public.subject_public_key.data.as_ref() {
            return Err(CertificateError::NotAPair);
        }
        // A certificate without an end says 9999-12-31T23:59:59Z (RFC 5280, 4.1.2.5), some hours later than a timestamp can.
        let time = |seconds: i64| {
            let within = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
            Timestamp::from_second(within).map_err(|_| CertificateError::Malformed)
        };
        Ok(Self {
            thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&der)),
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
            key: Arc::new(pair),
        })
    }

    /// Why the certificate cannot be used at this time, if it cannot.
    pub fn invalid_at(&self, now: Timestamp) -> Option<String> {
        if now >= self.not_after {
            Some(format!("the certificate expired at {}", self.not_after))
        } else if now < self.not_before {
            Some(format!("the certificate is not valid before {}", self.not_before))
        } else {
            None
        }
    }

    /// A new assertion that proves the application to the token endpoint `audience`.
    ///
    /// It is signed with PS256 and names the certificate by its SHA-256 thumbprint. The certificate itself (`x5c`) is left
    /// out: Entra ID knows the registered ones, and accepts others only of Microsoft's own applications.
    pub(super) fn assertion(&self, client_id: &str, audience: &str) -> Result<String, CredentialError> {
        let now = Timestamp::now();
        if let Some(message) = self.invalid_at(now) {
            return Err(CredentialError::Configuration { message });
        }
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": Uuid::new_v4().to_string(),
            "iat": now.as_second(),
            "nbf": now.as_second(),
            "exp": (now + LIFETIME).as_second(),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .map_err(|_| CredentialError::Configuration {
                message: "the private key of the certificate cannot sign".to_owned(),
            })?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use lifeguard_local::ApplicationCertificate;
    use rcgen::{CertificateParams, KeyPair};
    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    fn valid() -> ApplicationCertificate {
        ApplicationCertificate::generate(2020, 2200).unwrap()
    }

    fn read(certificate: &str, key: &str) -> Result<ClientCertificate, CertificateError> {
        ClientCertificate::from_pem(certificate.as_bytes(), key.as_bytes())
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said() {
        use CertificateError as E;
        let (ours, other) = (valid(), valid());
        let (certificate, key) = (ours.certificate.as_str(), ours.key.as_str());
        let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let curve_key = KeyPair::generate().unwrap();
        let curve = CertificateParams::default().self_signed(&curve_key).unwrap().pem();
        let curve_key = curve_key.serialize_pem();
        for (certificate, key, expected) in [
            ("", key, E::CertificateNotPem),
            ("MIIC", key, E::CertificateNotPem),
            (key, key, E::CertificateNotPem),
            (certificate, "", E::KeyNotPem),
            (certificate, certificate, E::KeyNotPem),
            (certificate, encrypted, E::KeyNotPem),
            (garbled, key, E::Malformed),
            (&curve, &curve_key, E::NotRsa),
            (certificate, &curve_key, E::NotRsa),
            (certificate, no_key, E::UnusableKey),
            (certificate, &other.key, E::NotAPair),
        ] {
            assert_eq!(read(certificate, key).unwrap_err(), expected, "{certificate}");
        }
    }

    #[test]
    fn of_a_chain_the_first_certificate_is_the_applications() {
        let ours = valid();
        let alone = read(&ours.certificate, &ours.key).unwrap();
        let chain = format!("{}{}", ours.certificate, valid().certificate);
        assert_eq!(read(&chain, &ours.key).unwrap().thumbprint, alone.thumbprint);
    }

    #[test]
    fn an_assertion_says_who_signs_it_for_whom_and_its_signature_holds() {
        let ours = valid();
        let certificate = read(&ours.certificate, &ours.key).unwrap();
        let audience = "https://authority/t/oauth2/v2.0/token";
        let assertion = certificate.assertion("app", audience).unwrap();
        let parts: Vec<&str> = assertion.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let header: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
        let claims: Value = serde_json::from_slice(&decode(parts[1])).unwrap();
        assert_eq!(header["alg"], "PS256");
        assert_eq!(header["x5t#S256"], certificate.thumbprint);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
        assert_eq!(claims["aud"], audience);
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(), 600);
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, certificate.key.public_key());
        let message = format!("{}.{}", parts[0], parts[1]);
        public.verify(message.as_bytes(), &decode(parts[2])).unwrap();
        assert_ne!(
            assertion,
            certificate.assertion("app", audience).unwrap(),
            "no assertion is sent twice"
        );
    }

    #[test]
    fn a_certificate_that_is_not_valid_now_signs_nothing() {
        let ours = ApplicationCertificate::generate(2019, 2020).unwrap();
        let error = read(&ours.certificate, &ours.key)
            .unwrap()
            .assertion("app", "https://authority")
            .unwrap_err();
        assert!(error.to_string().contains("expired at 2020-01-01"), "{error}");
        let early = ours.reissued(2190, 2200).unwrap();
        let why = read(&early.certificate, &early.key)
            .unwrap()
            .invalid_at(Timestamp::now());
        assert_eq!(
            why.as_deref(),
            Some("the certificate is not valid before 2190-01-01T00:00:00Z")
        );
    }

    #[test]
    fn a_certificate_without_an_end_is_valid() {
        let key = valid().key;
        let mut parameters = CertificateParams::default();
        parameters.not_after = rcgen::date_time_ymd(9999, 12, 31);
        let endless = parameters.self_signed(&KeyPair::from_pem(&key).unwrap()).unwrap().pem();
        let certificate = read(&endless, &key).unwrap();
        assert_eq!(certificate.invalid_at(Timestamp::now()), None);
    }

    #[test]
    fn the_key_is_never_shown() {
        let ours = valid();
        let shown = format!("{:?}", read(&ours.certificate, &ours.key).unwrap());
        assert!(shown.contains("thumbprint") && !shown.contains("Rsa"), "{shown}");
    }
}
