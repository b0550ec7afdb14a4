//! `GET /metadata/endpoints`: what `az cloud register` reads.

use serde_json::{Value, json};

use super::ArmReply;
use crate::AppState;

/// The description of this cloud. From API version 2022-09-01 it is one object, before that a list.
pub fn endpoints(state: &AppState, api_version: &str) -> ArmReply {
    let cloud = cloud(state);
    ArmReply::ok(if api_version < "2022-09-01" {
        json!([cloud])
    } else {
        cloud
    })
}

fn cloud(state: &AppState) -> Value {
    let root = state.root();
    json!({
        "name": "AzureEmulator",
        "portal": root,
        "authentication": {
            "loginEndpoint": root,
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "media": "https://rest.media.azure.net",
        "graphAudience": "https://graph.windows.net/",
        "graph": "https://graph.windows.net/",
        "microsoftGraphResourceId": format!("{root}/{}/", crate::identity::graph::HOST),
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "batch": "https://batch.core.windows.net/",
        "resourceManager": format!("{root}/"),
        "vmImageAliasDoc": format!("{root}/metadata/aliases.json"),
        "sqlManagement": "https://management.core.windows.net:8443/",
        "gallery": root,
        "suffixes": {
            "acrLoginServer": "azurecr.io",
            "keyVaultDns": "vault.azure.net",
            "storage": "core.windows.net",
            "sqlServerHostname": "database.windows.net",
            "mhsmDns": "managedhsm.azure.net",
        },
    })
}
