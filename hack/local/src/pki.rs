//! Keys and certificates of a control plane: made once in a folder, then kept.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};

use crate::Error;

/// Bits of the key that signs ServiceAccount tokens: what Entra expects of an RS256 issuer.
const SIGNING_KEY_BITS: usize = 2048;

/// The folder with the files, all in PEM. Private keys are readable by their owner only.
#[derive(Debug, Clone)]
pub(crate) struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes what is missing. Files that exist are kept, so that kubeconfigs and tokens stay valid over a restart.
    pub(crate) fn ensure(folder: &Path) -> Result<Self, Error> {
        let pki = Self {
            folder: folder.to_owned(),
        };
        // Written last: a folder without it was interrupted and is made again as a whole.
        if pki.service_account_key().is_file() {
            return Ok(pki);
        }
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;

        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.distinguished_name = name("lifeguard-local", None);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = authority.self_signed(&authority_key)?;
        pki.write("ca.pem", &certificate.pem())?;
        let issuer = Issuer::new(authority, authority_key);

        let hosts = [
            "127.0.0.1",
            "localhost",
            "kubernetes",
            "kubernetes.default.svc",
            "10.0.0.1",
        ];
        let mut server = CertificateParams::new(hosts.map(str::to_owned).to_vec())?;
        server.distinguished_name = name("kube-apiserver", None);
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        pki.write_signed("kube-apiserver", &server, &issuer)?;

        for client in [Client::Administrator, Client::ControllerManager] {
            let (common_name, group) = match client {
                Client::Administrator => ("lifeguard-local-admin", Some("system:masters")),
                Client::ControllerManager => ("system:kube-controller-manager", None),
            };
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name = name(common_name, group);
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            pki.write_signed(client.file_stem(), &parameters, &issuer)?;
        }

        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, SIGNING_KEY_BITS)
            .map_err(|error| Error::SigningKey(error.to_string()))?;
        let key = key
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| Error::SigningKey(error.to_string()))?;
        pki.write("service-account.key", &key)?;
        Ok(pki)
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(crate) fn server(&self) -> (PathBuf, PathBuf) {
        (
            self.folder.join("kube-apiserver.pem"),
            self.folder.join("kube-apiserver.key"),
        )
    }

    pub(crate) fn client(&self, client: Client) -> (PathBuf, PathBuf) {
        let stem = client.file_stem();
        (
            self.folder.join(format!("{stem}.pem")),
            self.folder.join(format!("{stem}.key")),
        )
    }

    pub(crate) fn service_account_key(&self) -> PathBuf {
        self.folder.join("service-account.key")
    }

    fn write_signed(
        &self,
        stem: &str,
        parameters: &CertificateParams,
        issuer: &Issuer<'_, KeyPair>,
    ) -> Result<(), Error> {
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, issuer)?;
        self.write(&format!("{stem}.pem"), &certificate.pem())?;
        self.write(&format!("{stem}.key"), &key.serialize_pem())
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        write_private(&self.folder.join(file), text)
    }
}

/// Who a client certificate is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    Administrator,
    ControllerManager,
}

impl Client {
    fn file_stem(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::ControllerManager => "kube-controller-manager",
        }
    }
}

/// Writes a file that only its owner may read, in one step for those who read or write it meanwhile.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let write = || {
        // Made for its owner only, under a name that nobody else writes to.
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(Error::file("write", path))
}

fn name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}
