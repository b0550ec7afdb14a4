//! The authority's RSA key: made once, kept in a file, published as a JWKS.

use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// File name of the key in the data directory.
pub(crate) const KEY_FILE: &str = "authority.key";
const KEY_BITS: usize = 2048;

/// Why the authority has no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("cannot keep the authority's key in its file")]
    Io(#[from] std::io::Error),
    /// The key could not be made.
    #[error("cannot make the authority's key")]
    Generate(#[from] rsa::Error),
    /// The key could not be read or written as PKCS #8.
    #[error("the authority's key in its file is damaged")]
    Encoding(#[from] rsa::pkcs8::Error),
    /// ring refused the key.
    #[error("the authority's key in its file cannot be used")]
    Rejected,
}

/// The key that signs access tokens (RS256).
pub struct SigningKey {
    pair: RsaKeyPair,
    id: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    random: SystemRandom,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Makes a key, which appears in its file as a whole and in the place of no other.
fn generate(path: &Path) -> Result<(), KeyError> {
    let private = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS)?;
    let draft = path.with_extension(Uuid::new_v4().to_string());
    crate::tls::write_private(&draft, private.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF)?.as_bytes())?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl SigningKey {
    /// The key in a file, made if it is not there. Of several emulators that make it at once, all use the first one's.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        if !path.exists() {
            generate(path)?;
        }
        let private = RsaPrivateKey::from_pkcs8_pem(&std::fs::read_to_string(path)?)?;
        let pair = RsaKeyPair::from_pkcs8(private.to_pkcs8_der()?.as_bytes()).map_err(|_| KeyError::Rejected)?;
        let modulus = private.n().to_bytes_be();
        let id = URL_SAFE_NO_PAD.encode(&Sha256::digest(&modulus)[..20]);
        Ok(Self {
            pair,
            id,
            exponent: private.e().to_bytes_be(),
            modulus,
            random: SystemRandom::new(),
        })
    }

    /// `kid` of the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The signature of `message` (RSASSA-PKCS1-v1_5 with SHA-256).
    #[expect(
        clippy::missing_panics_doc,
        reason = "the buffer always has the length that ring asks for"
    )]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .expect("invariant: the buffer is as long as the modulus");
        signature
    }

    /// Whether this key signed `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public().as_ref())
            .verify(message, signature)
            .is_ok()
    }

    /// The JWKS document that publishes the key.
    pub fn jwks(&self) -> Value {
        json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            "n": URL_SAFE_NO_PAD.encode(&self.modulus),
            "e": URL_SAFE_NO_PAD.encode(&self.exponent),
        }] })
    }
}
