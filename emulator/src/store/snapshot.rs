//! The state as a file of the data directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use azure_deployments::Deployments;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Store, Subscription};
use crate::identity::{Application, Directory};
use crate::roles::{RoleAssignment, definitions};

const STATE_FILE: &str = "state.json";

// The first principal is the same everywhere and no secret, so that examples name it as they stand: the emulator listens
// on loopback only, and whoever reaches it there may use its control API, which asks for no token.
const TENANT_ID: &str = "00000000-0000-0000-0000-000000000001";
const SUBSCRIPTION_ID: &str = "00000000-0000-0000-0000-000000000002";
const CLIENT_ID: &str = "00000000-0000-0000-0000-000000000003";
const CLIENT_SECRET: &str = "emulator-only-client-secret";

/// Why the remembered state could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be read or written.
    #[error("cannot keep the state in {0}")]
    Io(PathBuf, #[source] std::io::Error),
    /// The file is not what an emulator of this version writes.
    #[error("the state in {0} is damaged or of another version")]
    Format(PathBuf, #[source] serde_json::Error),
}

impl Store {
    /// The state of a data directory; a new tenant with one subscription and one service principal if it has none.
    pub fn load(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(STATE_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| StoreError::Format(path, error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::fresh(Timestamp::now())),
            Err(error) => Err(StoreError::Io(path, error)),
        }
    }

    /// The state as bytes of the file.
    #[expect(clippy::missing_panics_doc, reason = "the state can always be written as JSON")]
    pub fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: all keys of the state are strings")
    }

    /// Replaces the file as one step, so that a crash leaves the old or the new one.
    pub fn write(data_dir: &Path, snapshot: &[u8]) -> Result<(), StoreError> {
        let (path, draft) = (data_dir.join(STATE_FILE), data_dir.join("state.json.new"));
        crate::tls::write_private(&draft, snapshot)
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|error| StoreError::Io(path, error))
    }

    fn fresh(now: Timestamp) -> Self {
        let guid = || Uuid::new_v4().to_string();
        let application = Application {
            client_id: CLIENT_ID.to_owned(),
            object_id: guid(),
            client_secret: Some(CLIENT_SECRET.to_owned()),
            certificate: None,
            federated_credentials: Vec::new(),
            created: Timestamp::UNIX_EPOCH,
        };
        let subscription = SUBSCRIPTION_ID.to_owned();
        let assign = |role: &str| RoleAssignment {
            name: guid(),
            scope: format!("/subscriptions/{subscription}"),
            role: role.to_owned(),
            principal_id: application.object_id.clone(),
            principal_type: "ServicePrincipal".to_owned(),
            details: serde_json::Map::new(),
            created: now,
            updated: now,
            updated_by: application.object_id.clone(),
            effective: Timestamp::UNIX_EPOCH,
        };
        Self {
            tenant_id: TENANT_ID.to_owned(),
            assignments: vec![assign(definitions::OWNER), assign(definitions::SESSION_EXECUTOR)],
            subscriptions: vec![Subscription {
                id: subscription.clone(),
                display_name: "Azure emulator".to_owned(),
            }],
            directory: Directory {
                applications: vec![application],
                registrations: Vec::new(),
                managed_identities: Vec::new(),
                issuers: BTreeMap::new(),
            },
            revocations: Vec::new(),
            groups: BTreeMap::new(),
            resources: BTreeMap::new(),
            hosts: BTreeMap::new(),
            registrations: BTreeMap::new(),
            operations: BTreeMap::new(),
            deployments: Deployments::default(),
            replays: BTreeMap::new(),
            clock_offset_seconds: 0.0,
        }
    }
}

/// A client secret in the form of Microsoft Entra's: 40 characters.
pub(crate) fn new_secret() -> String {
    let (one, two) = (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    format!("{}8Q~{}", &one[..3], &format!("{one}{two}")[4..38])
}
