//! Kubeconfig files, written as JSON, which every reader of YAML reads.

use std::path::Path;

use serde_json::{Value, json};

use crate::Error;
use crate::pki::write_private;

/// How the user of a kubeconfig proves who they are.
pub(crate) enum User<'a> {
    /// A client certificate and its key.
    Certificate { certificate: &'a Path, key: &'a Path },
    /// A bearer token.
    Token(&'a str),
}

/// Writes a kubeconfig with one cluster, one user and one context, all called `lifeguard-local`.
pub(crate) fn write(path: &Path, server: &str, authority: &Path, user: &User<'_>) -> Result<(), Error> {
    let cluster = json!({"server": server, "certificate-authority": authority});
    write_private(path, &document(&cluster, user).to_string())
}

/// Writes a kubeconfig for the cluster of another one, whose `clusters[].cluster` is given, with a token.
pub(crate) fn write_with_cluster(path: &Path, cluster: &Value, token: &str) -> Result<(), Error> {
    write_private(path, &document(cluster, &User::Token(token)).to_string())
}

fn document(cluster: &Value, user: &User<'_>) -> Value {
    let user = match user {
        User::Certificate { certificate, key } => json!({"client-certificate": certificate, "client-key": key}),
        User::Token(token) => json!({"token": token}),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lifeguard-local", "cluster": cluster}],
        "users": [{"name": "lifeguard-local", "user": user}],
        "contexts": [{"name": "lifeguard-local", "context": {"cluster": "lifeguard-local", "user": "lifeguard-local"}}],
        "current-context": "lifeguard-local",
    })
}
