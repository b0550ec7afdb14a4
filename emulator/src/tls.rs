//! The emulator's certificate authority and the certificate of its one TLS port, kept in the data directory.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// File name of the CA certificate in the data directory.
pub const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca.key";
const LEAF_FILE: &str = "tls.pem";
const LEAF_KEY_FILE: &str = "tls.key";

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the data directory could not be read or written.
    #[error("cannot keep certificates in the data directory")]
    Io(#[from] std::io::Error),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Generate(#[from] rcgen::Error),
    /// A certificate or key in the data directory is damaged.
    #[error("a certificate in the data directory is damaged")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// rustls refused certificate or key.
    #[error("the certificate in the data directory cannot be used")]
    Config(#[from] rustls::Error),
}

/// The TLS configuration of the port, from the data directory; CA and certificate are made on the first start.
///
/// HTTP/1.1 is the only protocol offered, as faults cut single connections.
pub fn server_config(data_dir: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    if !data_dir.join(LEAF_FILE).exists() {
        generate(data_dir)?;
    }
    let chain = CertificateDer::pem_file_iter(data_dir.join(LEAF_FILE))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(data_dir.join(LEAF_KEY_FILE))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn generate(data_dir: &Path) -> Result<(), TlsError> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "Azure emulator CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::from_params(&ca, &ca_key);

    let leaf_key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, "Azure emulator");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Python's strict verification (OpenSSL's X509_STRICT) wants the authority's key identifier.
    leaf.use_authority_key_identifier_extension = true;
    let leaf_certificate = leaf.signed_by(&leaf_key, &issuer)?;

    write_private(&data_dir.join(CA_KEY_FILE), ca_key.serialize_pem().as_bytes())?;
    write_private(&data_dir.join(LEAF_KEY_FILE), leaf_key.serialize_pem().as_bytes())?;
    std::fs::write(data_dir.join(CA_FILE), ca_certificate.pem())?;
    // Last, because its presence says that the others are there.
    std::fs::write(
        data_dir.join(LEAF_FILE),
        format!("{}{}", leaf_certificate.pem(), ca_certificate.pem()),
    )?;
    Ok(())
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)
}
