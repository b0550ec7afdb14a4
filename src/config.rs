//! What the operator is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::controller::role_assignment::Grant;
use crate::runtime::Pace;

/// Manages Azure Container Apps session pools, the identities that may use them, and command jobs.
#[derive(Debug, Parser)]
#[command(name = "lifeguard", version, about)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do instead of running the operator.
    #[command(subcommand)]
    pub command: Option<Task>,
    /// How the operator runs.
    #[command(flatten)]
    pub config: Config,
}

/// What can be done besides running the operator.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
}

/// How the operator runs. It reaches the cluster as kubectl does (`KUBECONFIG`), or as a pod does.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// The Azure cloud: public, usgovernment, china, or a file with the endpoints of another.
    #[arg(long, env = "LIFEGUARD_CLOUD", default_value = "public")]
    pub cloud: String,
    /// A PEM file with certificates of authorities that are trusted besides the system's and the cloud's own, such as that
    /// of a proxy that inspects TLS.
    #[arg(long, env = "LIFEGUARD_CA_BUNDLE", value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// The operator's own namespace, where its key is kept.
    #[arg(
        long,
        env = "LIFEGUARD_OPERATOR_NAMESPACE",
        default_value = "lifeguard-system",
        value_name = "NAMESPACE"
    )]
    pub operator_namespace: String,
    /// Work in this namespace only; may be repeated. Default: all namespaces.
    #[arg(
        long = "watch-namespace",
        env = "LIFEGUARD_WATCH_NAMESPACE",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    pub watch_namespaces: Vec<String>,
    /// Allow the AzureAccounts of this namespace to use the identity of the operator's own host (credential.hostIdentity);
    /// may be repeated, and * stands for all namespaces. Default: none.
    #[arg(
        long = "allow-host-identity",
        env = "LIFEGUARD_ALLOW_HOST_IDENTITY",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        value_parser = namespace_or_all
    )]
    pub allow_host_identity: Vec<String>,
    /// Names this cluster on the Azure resources that it owns. It must never change. Default: the UID of the namespace
    /// kube-system.
    #[arg(long, env = "LIFEGUARD_CLUSTER_ID", value_name = "ID")]
    pub cluster_id: Option<String>,
    /// Seconds for which a request waits for a command's end, 1 to 150. Azure closes requests after 220 seconds.
    #[arg(
        long = "poll-window",
        env = "LIFEGUARD_POLL_WINDOW",
        default_value_t = 30,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=150)
    )]
    pub poll_window_seconds: u64,
    /// Seconds after their end after which CommandJobs without ttlSecondsAfterFinished are deleted. Objects that Argo CD or
    /// Flux track are kept. Default: never.
    #[arg(long = "default-ttl", env = "LIFEGUARD_DEFAULT_TTL", value_name = "SECONDS")]
    pub default_ttl_seconds: Option<u64>,
    /// A role that RoleAssignments may assign, ROLE or ROLE@SCOPE; may be repeated, and replaces the default. ROLE is the
    /// GUID of a role or `*`. SCOPE is an Azure resource id, for itself and what is below it, or `*`; without it the role
    /// may be assigned on session pools that objects of the same namespace manage, and on resource groups that they
    /// created. `none` allows nothing. Default: Azure ContainerApps Session Executor, Key Vault Secrets User and AcrPull,
    /// without SCOPE.
    #[arg(
        long = "grantable-role",
        env = "LIFEGUARD_GRANTABLE_ROLES",
        value_name = "ROLE[@SCOPE]",
        value_delimiter = ','
    )]
    pub grantable_roles: Vec<Grant>,
    /// Whether ConfigMaps are written: those of spec.export, and output of CommandJobs that say overflow: ConfigMap. Without
    /// it such objects have the reason ConfigMapsNotAllowed, and no right to write any is needed.
    #[arg(
        long = "write-config-maps",
        env = "LIFEGUARD_WRITE_CONFIG_MAPS",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub write_config_maps: bool,
    /// The issuer of this cluster's ServiceAccount tokens, as federated credentials in Azure name it. Default: what the
    /// API server says at /.well-known/openid-configuration.
    #[arg(
        long = "service-account-issuer",
        env = "LIFEGUARD_SERVICE_ACCOUNT_ISSUER",
        value_name = "URL"
    )]
    pub service_account_issuer: Option<String>,
    /// An issuer that federated credentials of ManagedIdentities may trust besides this cluster's own, exactly as in the claim
    /// `iss` of its tokens; may be repeated, and * stands for every issuer. Default: none.
    #[arg(
        long = "allowed-issuer",
        env = "LIFEGUARD_ALLOWED_ISSUERS",
        value_name = "URL",
        value_delimiter = ',',
        value_parser = issuer_or_any
    )]
    pub allowed_issuers: Vec<String>,
    /// The address that serves /livez and /readyz.
    #[arg(
        long,
        env = "LIFEGUARD_HEALTH_ADDRESS",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub health_address: SocketAddr,
    /// How log lines look. What is logged is chosen by RUST_LOG, such as `info` or `lifeguard=debug`.
    #[arg(long, env = "LIFEGUARD_LOG_FORMAT", default_value = "text", value_enum)]
    pub log_format: LogFormat,
    /// For tests only: a factor above 0 and at most 1 for the pauses that the operator makes by its own choice.
    #[arg(long, hide = true, default_value = "1", value_name = "FACTOR")]
    pub pace: Pace,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Config {
    /// How long a request waits for a command's end.
    pub fn poll_window(&self) -> Duration {
        Duration::from_secs(self.poll_window_seconds)
    }

    /// How long finished jobs are kept that do not say themselves.
    pub fn default_ttl(&self) -> Option<Duration> {
        self.default_ttl_seconds.map(Duration::from_secs)
    }
}

/// A name of a namespace (an RFC 1123 label), or `*`. A misspelt one would silently allow nothing.
fn namespace_or_all(text: &str) -> Result<String, String> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label =
        (1..=63).contains(&text.len()) && text.chars().all(is_inner) && !text.starts_with('-') && !text.ends_with('-');
    if text == "*" || is_label {
        Ok(text.to_owned())
    } else {
        Err("it must be the name of a namespace, or *".to_owned())
    }
}

/// An issuer of tokens, or `*`.
fn issuer_or_any(text: &str) -> Result<String, String> {
    let is_url = text.len() > "https://".len() && text.starts_with("https://") && !text.contains(['*', ' ']);
    if text == "*" || is_url {
        Ok(text.to_owned())
    } else {
        Err("it must be an https URL, exactly as in the claim iss of the tokens, or *".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_poll_window_that_azure_would_not_answer_is_refused() {
        for (text, valid) in [("0", false), ("1", true), ("150", true), ("151", false), ("x", false)] {
            assert_eq!(
                Arguments::try_parse_from(["lifeguard", "--poll-window", text]).is_ok(),
                valid,
                "{text}"
            );
        }
    }

    #[test]
    fn the_host_identity_is_allowed_by_namespaces_or_to_all() {
        let allowed = |text: &str| {
            let parsed = Arguments::try_parse_from(["lifeguard", "--allow-host-identity", text]);
            parsed.ok().map(|it| it.config.allow_host_identity)
        };
        assert_eq!(allowed("a,b-1").unwrap(), ["a", "b-1"]);
        assert_eq!(allowed("*").unwrap(), ["*"]);
        for text in ["", "A", "a*", "-a", "a b"] {
            assert_eq!(allowed(text), None, "{text}");
        }
    }

    #[test]
    fn an_issuer_is_a_url_or_any_and_no_pattern() {
        let allowed = |text: &str| {
            let parsed = Arguments::try_parse_from(["lifeguard", "--allowed-issuer", text]);
            parsed.ok().map(|it| it.config.allowed_issuers)
        };
        assert_eq!(
            allowed("https://a.example,https://b.example/x/").unwrap(),
            ["https://a.example", "https://b.example/x/"]
        );
        assert_eq!(allowed("*").unwrap(), ["*"]);
        for text in [
            "",
            "https://",
            "http://a.example",
            "a.example",
            "https://*.example",
            "https://a b",
        ] {
            assert_eq!(allowed(text), None, "{text}");
        }
    }

    #[test]
    fn a_grant_that_cannot_be_read_stops_the_operator_instead_of_granting_something_else() {
        for (text, valid) in [
            ("*@*", true),
            ("none", true),
            ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635@/subscriptions/s", true),
            ("Owner", false),
            ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635@/", false),
            ("", false),
        ] {
            let arguments = ["lifeguard", "--grantable-role", text];
            assert_eq!(Arguments::try_parse_from(arguments).is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn config_maps_are_written_unless_it_is_switched_off() {
        let writes = |arguments: &[&str]| {
            let parsed = Arguments::try_parse_from([&["lifeguard"], arguments].concat());
            parsed.ok().map(|it| it.config.write_config_maps)
        };
        assert_eq!(writes(&[]), Some(true));
        assert_eq!(writes(&["--write-config-maps=false"]), Some(false));
        assert_eq!(writes(&["--write-config-maps=no"]), None);
    }

    #[test]
    fn namespaces_may_be_repeated() {
        let arguments = ["lifeguard", "--watch-namespace", "a", "--watch-namespace", "b,c"];
        assert_eq!(
            Arguments::try_parse_from(arguments).unwrap().config.watch_namespaces,
            ["a", "b", "c"]
        );
    }
}
