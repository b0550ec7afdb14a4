//! Certificates of applications, for tests of what signs in with one.

use std::fmt;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, date_time_ymd};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};

use crate::Error;

const KEY_BITS: usize = 2048;

/// A self-signed certificate and its RSA key, as `az ad sp create-for-rbac --create-cert` makes them. Both are PEM.
#[derive(Clone)]
pub struct ApplicationCertificate {
    /// The certificate.
    pub certificate: String,
    /// The private key, as PKCS #8.
    pub key: String,
}

impl fmt::Debug for ApplicationCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApplicationCertificate")
    }
}

impl ApplicationCertificate {
    /// Makes one that is valid from the beginning of a year to that of another.
    pub fn generate(from_year: i32, to_year: i32) -> Result<Self, Error> {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS)
            .map_err(|error| Error::SigningKey(error.to_string()))?;
        let key = key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| Error::SigningKey(error.to_string()))?
            .to_string();
        let certificate = Self::certify(&key, from_year, to_year)?;
        Ok(Self { certificate, key })
    }

    /// Another certificate of the same key.
    pub fn reissued(&self, from_year: i32, to_year: i32) -> Result<Self, Error> {
        Ok(Self {
            certificate: Self::certify(&self.key, from_year, to_year)?,
            key: self.key.clone(),
        })
    }

    fn certify(key: &str, from_year: i32, to_year: i32) -> Result<String, Error> {
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(key, &PKCS_RSA_SHA256)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "application");
        parameters.not_before = date_time_ymd(from_year, 1, 1);
        parameters.not_after = date_time_ymd(to_year, 1, 1);
        Ok(parameters.self_signed(&pair)?.pem())
    }
}
