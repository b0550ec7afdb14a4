//! The accounts of all namespaces, opened: tokens and clients that are kept in memory while they are needed.
//!
//! Secrets are read when an account is opened and when it is checked, and never watched. What is open stays open when
//! the AzureAccount, its Secret or its ServiceAccount go, until nothing uses it any more: a namespace that is being deleted
//! gets no new tokens, and its resources still have to be removed from Azure.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::{Client, Resource, ResourceExt};

use crate::api::azure_account::{AzureAccount, AzureAccountSpec, ClientSecret, Credential as CredentialSpec};
use crate::api::condition::Reason;
use crate::azure::{ArmClient, AzureError, Cloud, Credential, Gates, Http, Tokens};
use crate::runtime::{ApiError, Class, Classify, Key};

use super::error::class_of;
use super::federation::Federation;
use super::secret;

/// The version of `Microsoft.Resources/subscriptions` that azure-cli 2.91 reads subscriptions with.
const SUBSCRIPTION_API_VERSION: &str = "2022-12-01";
/// A refused credential is left alone for so long, doubled each time …
const FIRST_REFUSAL: Duration = Duration::from_mins(1);
/// … up to this.
const LONGEST_REFUSAL: Duration = Duration::from_mins(10);

/// An account that is open: who it is in Azure, and the means to speak to it.
pub struct Account {
    spec: AzureAccountSpec,
    client_id: String,
    uid: String,
    secret_version: Option<String>,
    tokens: Tokens,
    arm: ArmClient,
    checked: Mutex<Checked>,
}

/// How the checks of an account ended.
#[derive(Debug, Default)]
struct Checked {
    last: Option<Check>,
}

/// How a check of an account ended.
#[derive(Debug, Clone)]
pub struct Check {
    /// When it was made.
    pub at: Timestamp,
    /// How it ended.
    pub result: Result<Subscription, AzureError>,
    /// How many checks in a row failed, this one included.
    pub failures: u32,
    /// When the first of these was made.
    pub since: Timestamp,
}

/// What Azure says of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its display name.
    pub display_name: Option<String>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("subscription", &self.spec.subscription_id)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// Calls to Azure Resource Manager as this account.
    pub fn arm(&self) -> &ArmClient {
        &self.arm
    }

    /// Tokens of this account, for other services of Azure than Resource Manager.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What the AzureAccount said when it was opened.
    pub fn spec(&self) -> &AzureAccountSpec {
        &self.spec
    }

    /// The client id of the principal that the account is.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The subscription's id.
    pub fn subscription(&self) -> &str {
        &self.spec.subscription_id
    }

    /// Gets a token and reads the subscription.
    ///
    /// The answer to an earlier check is given again while it is younger than `max_age`. A refused credential is not
    /// tried again for one minute, then two, at most ten, since nothing but a change of it, which opens the account anew,
    /// or a delay of Azure's can cure it.
    pub async fn check(&self, now: Timestamp, max_age: Duration) -> Check {
        if let Some(known) = self.checked().answer(now, max_age) {
            return known;
        }
        let result = self.read_subscription().await;
        let mut checked = self.checked();
        let before = checked
            .last
            .as_ref()
            .filter(|before| before.failures > 0 && result.is_err());
        let check = Check {
            at: now,
            failures: u32::from(result.is_err()) + before.map_or(0, |before| before.failures),
            since: before.map_or(now, |before| before.since),
            result,
        };
        checked.last = Some(check.clone());
        check
    }

    /// Forgets how earlier checks ended: somebody was refused in the meantime.
    pub fn doubt(&self) {
        *self.checked() = Checked::default();
    }

    async fn read_subscription(&self) -> Result<Subscription, AzureError> {
        let path = format!("/subscriptions/{}", self.spec.subscription_id);
        let response = self.arm.get(&path, SUBSCRIPTION_API_VERSION).await?;
        let display_name = response
            .body
            .get("displayName")
            .and_then(|it| it.as_str())
            .map(str::to_owned);
        Ok(Subscription { display_name })
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checked {
    fn answer(&self, now: Timestamp, max_age: Duration) -> Option<Check> {
        let last = self.last.as_ref()?;
        let keep = match &last.result {
            Ok(_) => max_age,
            Err(error) if class_of(error) == Class::Denied => {
                LONGEST_REFUSAL.min(FIRST_REFUSAL.saturating_mul(1 << (last.failures.max(1) - 1).min(8)))
            }
            Err(_) => Duration::ZERO,
        };
        let age = Duration::try_from(now.duration_since(last.at)).unwrap_or_default();
        (age < keep).then(|| last.clone())
    }
}

/// Why an account cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no such Secret.
    #[error("Secret {name} does not exist (spec.credential.clientSecret.secretRef.name)")]
    SecretNotFound {
        /// Its name.
        name: String,
    },
    /// The Secret has no such key, or it is empty.
    #[error("Secret {name} has no value under the key `{key}` (spec.credential.clientSecret.secretRef.key)")]
    SecretKeyNotFound {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// The value is no text.
    #[error("the value under `{key}` of Secret {name} is no UTF-8 text, so it is no client secret")]
    SecretNotText {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// No way to prove who the account is was set.
    #[error("spec.credential must set one of workloadIdentity and clientSecret")]
    NoCredential,
    /// The Secret could not be read.
    #[error("Secret {name} cannot be read: {source}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Why.
        source: ApiError,
    },
}

impl AccountError {
    /// The reason that it is.
    pub fn reason(&self) -> Reason {
        match self {
            Self::SecretNotFound { .. } | Self::SecretKeyNotFound { .. } => Reason::SecretNotFound,
            Self::SecretNotText { .. } => Reason::InvalidCredential,
            Self::NoCredential => Reason::InvalidSpec,
            Self::Unreadable { .. } => Reason::Unavailable,
        }
    }

    /// What it asks of the runtime.
    pub fn class(&self) -> Class {
        match self {
            Self::SecretNotFound { .. } | Self::SecretKeyNotFound { .. } | Self::SecretNotText { .. } => {
                Class::Waiting { after: None }
            }
            Self::NoCredential => Class::Terminal,
            Self::Unreadable { source, .. } => source.class(),
        }
    }
}

/// All open accounts; clones share them.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    cloud: Arc<Cloud>,
    http: Http,
    gates: Gates,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    open: Mutex<Option<Arc<Account>>>,
    /// Held by whoever opens the account, so that a herd opens it once.
    turn: tokio::sync::Mutex<()>,
}

impl Slot {
    fn open(&self) -> MutexGuard<'_, Option<Arc<Account>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// No account is open yet.
    pub fn new(client: Client, cloud: Arc<Cloud>, http: Http, gates: Gates) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                cloud,
                http,
                gates,
                slots: Mutex::default(),
            }),
        }
    }

    /// The open account, as it was opened for this very spec; else opens it. Sends nothing to Azure.
    pub async fn open(&self, object: &AzureAccount) -> Result<Arc<Account>, AccountError> {
        let slot = self.slot(&Key::of(object));
        if let Some(account) = current(&slot, object) {
            return Ok(account);
        }
        let _turn = slot.turn.lock().await;
        if let Some(account) = current(&slot, object) {
            return Ok(account);
        }
        let secret = self.secret(object).await?;
        Ok(self.build(&slot, object, secret))
    }

    /// Like [`open`](Self::open), but reads the Secret again and opens the account anew if it changed.
    pub async fn refresh(&self, object: &AzureAccount) -> Result<Arc<Account>, AccountError> {
        let slot = self.slot(&Key::of(object));
        let _turn = slot.turn.lock().await;
        let secret = self.secret(object).await?;
        let version = secret.as_ref().map(|it| it.version.clone());
        match current(&slot, object).filter(|account| account.secret_version == version) {
            Some(account) => Ok(account),
            None => Ok(self.build(&slot, object, secret)),
        }
    }

    /// What is open under this name, even if its AzureAccount is gone or has changed.
    pub fn held(&self, key: &Key) -> Option<Arc<Account>> {
        self.slots().get(key).and_then(|slot| slot.open().clone())
    }

    /// Closes the account: nothing uses it any more.
    pub fn close(&self, key: &Key) {
        self.slots().remove(key);
    }

    fn build(&self, slot: &Slot, object: &AzureAccount, secret: Option<SecretValue>) -> Arc<Account> {
        let Inner {
            client,
            cloud,
            http,
            gates,
            ..
        } = &*self.inner;
        let spec = object.spec.clone();
        let client_id = client_id(&spec.credential);
        let secret_version = secret.as_ref().map(|it| it.version.clone());
        let (authority, tenant) = (cloud.authority.clone(), spec.tenant_id.clone());
        let credential = match (secret, &spec.credential.workload_identity) {
            (Some(secret), _) => {
                Credential::client_secret(http.clone(), authority, tenant, client_id.clone(), secret.value)
            }
            (None, identity) => {
                let namespace = object.namespace().unwrap_or_default();
                let name = identity
                    .as_ref()
                    .map(|it| it.service_account_name.as_str())
                    .unwrap_or_default();
                let federation = Federation::new(client.clone(), &namespace, name, &cloud.federation_audience);
                Credential::assertion(
                    http.clone(),
                    authority,
                    tenant,
                    client_id.clone(),
                    federation.into_source(),
                )
            }
        };
        let tokens = Tokens::new(credential);
        let gate = gates.gate(&spec.subscription_id, &client_id);
        let arm = ArmClient::new(http.clone(), cloud, tokens.clone(), gate);
        let uid = object.uid().unwrap_or_default();
        let account = Arc::new(Account {
            spec,
            client_id,
            uid,
            secret_version,
            tokens,
            arm,
            checked: Mutex::default(),
        });
        *slot.open() = Some(Arc::clone(&account));
        account
    }

    /// The client secret, if the account has one.
    async fn secret(&self, object: &AzureAccount) -> Result<Option<SecretValue>, AccountError> {
        let CredentialSpec {
            workload_identity,
            client_secret,
            client_certificate: _,
            host_identity: _,
        } = &object.spec.credential;
        let Some(ClientSecret { secret_ref, .. }) = client_secret else {
            return if workload_identity.is_some() {
                Ok(None)
            } else {
                Err(AccountError::NoCredential)
            };
        };
        let (name, key) = (secret_ref.name.clone(), secret_ref.key.clone());
        let namespace = object.namespace().unwrap_or_default();
        let secret = match secret::read(&self.inner.client, &namespace, &name).await {
            Ok(Some(secret)) => secret,
            Ok(None) => return Err(AccountError::SecretNotFound { name }),
            Err(source) => return Err(AccountError::Unreadable { name, source }),
        };
        let version = secret.resource_version().unwrap_or_default();
        let value = secret
            .data
            .and_then(|mut data| data.remove(&key))
            .filter(|value| !value.0.is_empty());
        let Some(value) = value else {
            return Err(AccountError::SecretKeyNotFound { name, key });
        };
        // `echo secret | base64` ends with a newline that is no part of any client secret.
        match String::from_utf8(value.0) {
            Ok(text) => Ok(Some(SecretValue {
                version,
                value: text.trim_end_matches(['\r', '\n']).to_owned(),
            })),
            Err(_) => Err(AccountError::SecretNotText { name, key }),
        }
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        self.slots().entry(key.clone()).or_default().clone()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client id that a credential names by itself.
fn client_id(credential: &CredentialSpec) -> String {
    let workload_identity = credential.workload_identity.as_ref();
    let client_secret = credential.client_secret.as_ref();
    workload_identity
        .and_then(|it| it.client_id.clone())
        .or_else(|| client_secret.map(|it| it.client_id.clone()))
        .unwrap_or_default()
}

struct SecretValue {
    version: String,
    value: String,
}

fn current(slot: &Slot, object: &AzureAccount) -> Option<Arc<Account>> {
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    slot.open()
        .clone()
        .filter(|account| account.uid == uid && account.spec == object.spec)
}
