//! The clouds of Azure, and how they differ.

use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

use super::scope::TokenScope;
use super::session::PoolEndpoint;

/// The endpoints, audiences and trust of one Azure cloud. Values of the built-in clouds are those of azure-cli-core
/// 2.91.0 (`cloud.py`) and azure-mgmt-core 1.6.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    /// The cloud's name, such as `AzureCloud`.
    pub name: String,
    /// The root of Azure Resource Manager.
    pub resource_manager: Url,
    /// The scope of tokens for Azure Resource Manager.
    pub resource_manager_scope: TokenScope,
    /// The root of Microsoft Entra ID; always https.
    pub authority: Url,
    /// Dynamic sessions; absent where no public page names a host for them, as in the sovereign clouds.
    pub sessions: Option<Sessions>,
    /// The audience that Entra ID expects in a federated token.
    pub federation_audience: String,
    /// A PEM bundle that is trusted in addition to the system's roots.
    pub ca_bundle: Option<Vec<u8>>,
}

/// The data plane of dynamic sessions in one cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// The scope of tokens for the data plane.
    pub scope: TokenScope,
    /// Lower-case suffixes of the hosts of sessions of built-in pools. Tokens go to these hosts and to no others.
    pub host_suffixes: Vec<String>,
    /// Lower-case suffixes of the hosts of sessions of custom containers. Programs of the pool's author respond there, so
    /// nothing is sent there.
    pub container_host_suffixes: Vec<String>,
    /// The port of all these hosts.
    pub port: u16,
}

/// Why a cloud cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The cloud file or its CA bundle cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cloud file is not YAML of the expected shape.
    #[error("cloud file is not valid: {0}")]
    Parse(String),
    /// An endpoint is not an https URL without credentials.
    #[error("{field} must be an https URL without user, query or fragment")]
    Endpoint {
        /// The field of the cloud file.
        field: &'static str,
    },
}

/// Why a pool's endpoint is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// This cloud has no known host suffix for dynamic sessions.
    #[error("cloud {cloud} has no known host of dynamic sessions")]
    NoSessions {
        /// The cloud's name.
        cloud: String,
    },
    /// The endpoint is not an https URL, or its host or port is not of this cloud: a token sent there would be given away.
    #[error("the pool's endpoint is not a dynamic-sessions host of cloud {cloud}")]
    ForeignHost {
        /// The cloud's name.
        cloud: String,
    },
}

/// The hosts of built-in pools, `{region}.dynamicsessions.io` ("Use session pools").
const PUBLIC_SESSION_HOSTS: &str = "dynamicsessions.io";
/// The hosts of custom-container pools, `{pool}.{environment}.{region}.azurecontainerapps.io` ("Custom container sessions").
const PUBLIC_CONTAINER_HOSTS: &str = "azurecontainerapps.io";
/// The port of https.
const HTTPS_PORT: u16 = 443;

impl Cloud {
    /// Azure's public cloud.
    pub fn public() -> Self {
        let mut cloud = Self::built_in(
            "AzureCloud",
            "https://management.azure.com",
            "https://management.azure.com",
            "https://login.microsoftonline.com",
            "api://AzureADTokenExchange",
        );
        cloud.sessions = Some(Sessions {
            scope: TokenScope::of_audience("https://dynamicsessions.io"),
            host_suffixes: vec![PUBLIC_SESSION_HOSTS.to_owned()],
            container_host_suffixes: vec![PUBLIC_CONTAINER_HOSTS.to_owned()],
            port: HTTPS_PORT,
        });
        cloud
    }

    /// Azure for the US government. Its tokens are for another host than its Resource Manager's.
    pub fn us_government() -> Self {
        Self::built_in(
            "AzureUSGovernment",
            "https://management.usgovcloudapi.net",
            "https://management.core.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "api://AzureADTokenExchangeUSGov",
        )
    }

    /// Azure in China, operated by 21Vianet.
    pub fn china() -> Self {
        Self::built_in(
            "AzureChinaCloud",
            "https://management.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            "api://AzureADTokenExchangeChina",
        )
    }

    /// Reads the cloud that a command line names: `public`, `usgovernment`, `china`, or the path of a cloud file.
    pub fn load(name_or_file: &str) -> Result<Self, CloudError> {
        match name_or_file {
            "public" => Ok(Self::public()),
            "usgovernment" => Ok(Self::us_government()),
            "china" => Ok(Self::china()),
            file => Self::from_file(Path::new(file)),
        }
    }

    /// The cloud, with trust in the authorities of a PEM file as well. The file is checked when the HTTP client is created.
    pub fn trusting(mut self, path: &Path) -> Result<Self, CloudError> {
        let bundle = self.ca_bundle.get_or_insert_default();
        bundle.push(b'\n');
        bundle.extend(read(path)?);
        Ok(self)
    }

    /// Reads a cloud file (YAML); its `caBundle` is relative to the file.
    pub fn from_file(path: &Path) -> Result<Self, CloudError> {
        let text = read(path)?;
        let file: CloudFile = serde_saphyr::from_str(&String::from_utf8_lossy(&text))
            .map_err(|error| CloudError::Parse(error.to_string()))?;
        let ca_bundle = match &file.ca_bundle {
            Some(bundle) => Some(read(&path.parent().unwrap_or(Path::new("")).join(bundle))?),
            None => None,
        };
        let sessions = match (file.sessions_audience, file.sessions_host_suffixes) {
            (Some(audience), Some(suffixes)) => Some(Sessions {
                scope: TokenScope::of_audience(&audience),
                host_suffixes: lower_case(&suffixes),
                container_host_suffixes: lower_case(&file.container_sessions_host_suffixes),
                port: file.sessions_port.unwrap_or(HTTPS_PORT),
            }),
            (None, None) => None,
            _ => {
                return Err(CloudError::Parse(
                    "sessionsAudience and sessionsHostSuffixes are given together or not at all".to_owned(),
                ));
            }
        };
        Ok(Self {
            name: file.name,
            resource_manager: endpoint("resourceManagerEndpoint", &file.resource_manager_endpoint)?,
            resource_manager_scope: TokenScope::of_audience(&file.resource_manager_audience),
            authority: endpoint("authorityHost", &file.authority_host)?,
            sessions,
            federation_audience: file.federation_audience,
            ca_bundle,
        })
    }

    /// The endpoint of a pool as ARM answered it, if tokens may be sent there: it is the service's own, of this cloud.
    pub fn session_endpoint(&self, endpoint: &str) -> Result<PoolEndpoint, EndpointError> {
        let sessions = self.known_sessions()?;
        let url = Url::parse(endpoint).ok();
        url.filter(|url| sessions.are_at(url, &sessions.host_suffixes))
            .map(PoolEndpoint::trusted)
            .ok_or_else(|| self.foreign_host())
    }

    /// Whether a pool's endpoint, as ARM answered it, is one of this cloud: where tokens may be sent, or where containers of
    /// the pool's author answer.
    pub fn check_pool_endpoint(&self, endpoint: &str) -> Result<(), EndpointError> {
        let sessions = self.known_sessions()?;
        let url = Url::parse(endpoint).ok();
        let known = [&sessions.host_suffixes, &sessions.container_host_suffixes];
        url.filter(|url| known.iter().any(|suffixes| sessions.are_at(url, suffixes)))
            .map(|_| ())
            .ok_or_else(|| self.foreign_host())
    }

    fn known_sessions(&self) -> Result<&Sessions, EndpointError> {
        self.sessions.as_ref().ok_or_else(|| EndpointError::NoSessions {
            cloud: self.name.clone(),
        })
    }

    fn foreign_host(&self) -> EndpointError {
        EndpointError::ForeignHost {
            cloud: self.name.clone(),
        }
    }

    fn built_in(name: &str, resource_manager: &str, audience: &str, authority: &str, federation: &str) -> Self {
        let parse = |text: &str| Url::parse(text).expect("invariant: built-in endpoints are URLs");
        Self {
            name: name.to_owned(),
            resource_manager: parse(resource_manager),
            resource_manager_scope: TokenScope::of_audience(audience),
            authority: parse(authority),
            sessions: None,
            federation_audience: federation.to_owned(),
            ca_bundle: None,
        }
    }
}

impl Sessions {
    /// Whether a URL is https at the port of sessions, and of a host that equals one of the suffixes or ends with a dot and one.
    fn are_at(&self, url: &Url, suffixes: &[String]) -> bool {
        let Some(host) = url.host_str().map(str::to_ascii_lowercase) else {
            return false;
        };
        url.scheme() == "https"
            && url.port_or_known_default() == Some(self.port)
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && suffixes
                .iter()
                .any(|suffix| host == *suffix || host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.')))
    }
}

fn lower_case(suffixes: &[String]) -> Vec<String> {
    let suffixes = suffixes.iter();
    suffixes
        .map(|it| it.trim_start_matches('.').to_ascii_lowercase())
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CloudFile {
    name: String,
    resource_manager_endpoint: String,
    resource_manager_audience: String,
    authority_host: String,
    sessions_audience: Option<String>,
    sessions_host_suffixes: Option<Vec<String>>,
    #[serde(default)]
    container_sessions_host_suffixes: Vec<String>,
    sessions_port: Option<u16>,
    federation_audience: String,
    ca_bundle: Option<PathBuf>,
}

fn read(path: &Path) -> Result<Vec<u8>, CloudError> {
    std::fs::read(path).map_err(|source| CloudError::Read {
        path: path.to_owned(),
        source,
    })
}

fn endpoint(field: &'static str, text: &str) -> Result<Url, CloudError> {
    Url::parse(text)
        .ok()
        .filter(|url| {
            url.scheme() == "https"
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        })
        .ok_or(CloudError::Endpoint { field })
}

#[cfg(test)]
mod tests {
    use super::{Cloud, CloudError, EndpointError};

    const FILE: &str = "\
name: Test
resourceManagerEndpoint: https://127.0.0.1:8443
resourceManagerAudience: https://management.azure.com/
authorityHost: https://127.0.0.1:8443
sessionsAudience: https://dynamicsessions.io
sessionsHostSuffixes: [\"127.0.0.1\"]
containerSessionsHostSuffixes: [\".Containers.Example\"]
sessionsPort: 8443
federationAudience: api://AzureADTokenExchange
caBundle: ca.pem
";

    #[test]
    fn a_cloud_file_is_read_with_its_bundle_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cloud.yaml"), FILE).unwrap();
        std::fs::write(folder.path().join("ca.pem"), "pem").unwrap();
        let cloud = Cloud::load(folder.path().join("cloud.yaml").to_str().unwrap()).unwrap();
        assert_eq!(cloud.ca_bundle.as_deref(), Some(b"pem".as_slice()));
        assert_eq!(
            cloud.resource_manager_scope.as_str(),
            "https://management.azure.com/.default"
        );
        assert!(
            cloud
                .session_endpoint("https://127.0.0.1:8443/westus.dynamicsessions.io/subscriptions/s")
                .is_ok()
        );
        let of_container = "https://pool.containers.example:8443/";
        assert_eq!(cloud.check_pool_endpoint(of_container), Ok(()));
        for elsewhere in [of_container, "https://127.0.0.1/p", "https://127.0.0.1:8444/p"] {
            assert!(cloud.session_endpoint(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_cloud_file_with_plain_http_or_a_wrong_field_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cloud.yaml");
        std::fs::write(folder.path().join("ca.pem"), "pem").unwrap();
        std::fs::write(&path, FILE.replace("authorityHost: https", "authorityHost: http")).unwrap();
        assert!(matches!(
            Cloud::from_file(&path),
            Err(CloudError::Endpoint { field: "authorityHost" })
        ));
        std::fs::write(&path, FILE.replace("caBundle", "caBundel")).unwrap();
        assert!(matches!(Cloud::from_file(&path), Err(CloudError::Parse(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Cloud::from_file(&path), Err(CloudError::Read { .. })));
    }

    #[test]
    fn further_authorities_are_trusted_beside_those_of_the_cloud() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.pem");
        std::fs::write(&path, "proxy").unwrap();
        let mut cloud = Cloud::public();
        cloud.ca_bundle = Some(b"own".to_vec());
        let cloud = cloud.trusting(&path).unwrap();
        assert_eq!(cloud.ca_bundle.as_deref(), Some(b"own\nproxy".as_slice()));
        let missing = Cloud::public().trusting(&folder.path().join("missing.pem"));
        assert!(matches!(missing, Err(CloudError::Read { .. })));
    }

    #[test]
    fn tokens_go_to_hosts_of_the_cloud_only() {
        let cloud = Cloud::public();
        for good in [
            "https://westus2.dynamicsessions.io/subscriptions/s/resourceGroups/r/sessionPools/p",
            "https://DYNAMICSESSIONS.IO/",
            "https://westus2.dynamicsessions.io:443/",
        ] {
            assert!(cloud.session_endpoint(good).is_ok(), "{good}");
            assert_eq!(cloud.check_pool_endpoint(good), Ok(()), "{good}");
        }
        for bad in [
            "http://westus2.dynamicsessions.io/",
            "https://evildynamicsessions.io/",
            "https://dynamicsessions.io.evil.example/",
            "https://user@westus2.dynamicsessions.io/",
            "https://westus2.dynamicsessions.io/?identifier=x",
            "https://evil.example/#.dynamicsessions.io",
            "https://westus2.dynamicsessions.io:47443/",
            "https://p.env.westus.azurecontainerapps.io:8443/",
            "no url",
        ] {
            assert!(
                matches!(cloud.session_endpoint(bad), Err(EndpointError::ForeignHost { .. })),
                "{bad}"
            );
            assert!(cloud.check_pool_endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_somebodys_own_container_answers_gets_no_token() {
        let cloud = Cloud::public();
        let endpoint = "https://p.env.westus.azurecontainerapps.io";
        assert_eq!(cloud.check_pool_endpoint(endpoint), Ok(()));
        assert!(matches!(
            cloud.session_endpoint(endpoint),
            Err(EndpointError::ForeignHost { .. })
        ));
    }

    #[test]
    fn a_sovereign_cloud_has_no_sessions() {
        for cloud in [Cloud::us_government(), Cloud::china()] {
            let answer = cloud.session_endpoint("https://westus2.dynamicsessions.io/");
            assert!(matches!(answer, Err(EndpointError::NoSessions { .. })));
        }
        let scope = Cloud::us_government().resource_manager_scope;
        assert_eq!(scope.as_str(), "https://management.core.usgovcloudapi.net/.default");
    }
}
