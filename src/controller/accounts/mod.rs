//! The accounts of all namespaces, opened: tokens and clients that are kept in memory while they are needed.
//!
//! Secrets are read when an account is opened and when it is checked, and never watched. What is open stays open when
//! the AzureAccount, its Secret or its ServiceAccount go, until nothing uses it any more: a namespace that is being deleted
//! gets no new tokens, and its resources still have to be removed from Azure.

mod check;
mod credential;
mod error;
mod federation;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::{Client, Resource, ResourceExt};

use crate::api::ManagedIdentity;
use crate::api::azure_account::{AzureAccount, AzureAccountSpec};
use crate::azure::{ArmClient, AzureError, Cloud, Gates, Http, Tokens};
use crate::controller::watched::Watched;
use crate::runtime::Key;

use credential::{AccountPrincipal, Demand, Means, Proof, Way};

pub use check::{Check, Checked, Subscription};
pub use credential::HostAccess;
pub use error::AccountError;

/// The version of `Microsoft.Resources/subscriptions` that azure-cli 2.91 reads subscriptions with.
const SUBSCRIPTION_API_VERSION: &str = "2022-12-01";

/// An account that is open: who it is in Azure, and the means to speak to it.
pub struct Account {
    spec: AzureAccountSpec,
    principal: AccountPrincipal,
    is_federated: bool,
    uid: String,
    secret_version: Option<String>,
    tokens: Tokens,
    arm: ArmClient,
    checked: Mutex<Checked>,
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

    /// The principal that the account is, in a text that no other principal has: its client id, where it is known by one.
    pub fn principal(&self) -> &str {
        self.principal.as_str()
    }

    /// The subscription's id.
    pub fn subscription(&self) -> &str {
        &self.spec.subscription_id
    }

    /// Gets a token and reads the subscription, and notes how that ended.
    pub async fn check(&self) -> Checked {
        let asked_at = Timestamp::now();
        let result = self.read_subscription().await;
        let mut checked = self.noted();
        checked.note(result, self.is_federated, asked_at);
        checked.clone()
    }

    /// How its checks ended so far.
    pub fn checked(&self) -> Checked {
        self.noted().clone()
    }

    /// Forgets how earlier checks ended: somebody was refused in the meantime.
    pub fn doubt(&self) {
        *self.noted() = Checked::default();
    }

    async fn read_subscription(&self) -> Result<Subscription, AzureError> {
        let path = format!("/subscriptions/{}", self.spec.subscription_id);
        let response = match self.arm.get(&path, SUBSCRIPTION_API_VERSION).await {
            Ok(response) => response,
            Err(error) if error.code().eq_ignore_ascii_case("AuthorizationFailed") => return Ok(Subscription::Hidden),
            Err(error) => return Err(error),
        };
        let display_name = response
            .body
            .get("displayName")
            .and_then(|it| it.as_str())
            .map(str::to_owned);
        Ok(Subscription::Visible { display_name })
    }

    fn noted(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
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
    identities: Watched<ManagedIdentity>,
    host: HostAccess,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    open: Mutex<Option<Arc<Account>>>,
    /// Locked by whoever opens the account, so that a herd opens it once.
    turn: tokio::sync::Mutex<()>,
    /// Since when its Secret cannot be read, if it cannot.
    unreadable_since: Mutex<Option<Timestamp>>,
}

impl Slot {
    fn open(&self) -> MutexGuard<'_, Option<Arc<Account>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What proves the principal, or since when that cannot be read.
    async fn read(&self, way: Way<'_>, client: &Client, namespace: &str) -> Result<Proof, AccountError> {
        let mut read = way.read(client, namespace).await;
        let mut known = self.unreadable_since.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut read {
            Err(AccountError::Unreadable { since, .. }) => *since = *known.get_or_insert(*since),
            _ => *known = None,
        }
        read
    }
}

impl Accounts {
    /// No account is open yet.
    pub fn new(
        client: Client,
        cloud: Arc<Cloud>,
        http: Http,
        identities: Watched<ManagedIdentity>,
        host: HostAccess,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                cloud,
                http,
                gates: Gates::default(),
                identities,
                host,
                slots: Mutex::default(),
            }),
        }
    }

    /// The open account, as it was opened for this very spec; else opens it. Sends nothing to Azure.
    ///
    /// An account that is open stays so while the ManagedIdentity that it refers to is not ready: whether anything new is
    /// begun with it depends on the AzureAccount's conditions.
    pub async fn open(&self, object: &AzureAccount) -> Result<Arc<Account>, AccountError> {
        self.opened(object, Demand::Ready).await
    }

    /// Like [`open`](Self::open), for something that is to be removed: the ManagedIdentity that the account refers to may
    /// itself be about to go.
    pub async fn open_to_remove(&self, object: &AzureAccount) -> Result<Arc<Account>, AccountError> {
        self.opened(object, Demand::Known).await
    }

    async fn opened(&self, object: &AzureAccount, demand: Demand) -> Result<Arc<Account>, AccountError> {
        let slot = self.slot(&Key::of(object));
        let way = Way::of(&object.spec.credential)?;
        let look = || async {
            let open = current(&slot, object);
            match (self.principal(way, object, demand).await, open) {
                (Ok(principal), Some(open)) if open.principal == principal => Ok(Ok(open)),
                (Ok(principal), _) => Ok(Err(principal)),
                (Err(AccountError::Identity(_)), Some(open)) => Ok(Ok(open)),
                (Err(error), _) => Err(error),
            }
        };
        if let Ok(open) = look().await? {
            return Ok(open);
        }
        let _turn = slot.turn.lock().await;
        let principal = match look().await? {
            Ok(open) => return Ok(open),
            Err(principal) => principal,
        };
        let proof = slot.read(way, &self.inner.client, &namespace_of(object)).await?;
        Ok(self.build(&slot, object, way, principal, proof))
    }

    /// Like [`open`](Self::open), but nothing may be amiss: reads the Secret again and opens the account anew if it, or the
    /// identity that the account refers to, changed.
    pub async fn refresh(&self, object: &AzureAccount) -> Result<Arc<Account>, AccountError> {
        let slot = self.slot(&Key::of(object));
        let way = Way::of(&object.spec.credential)?;
        let _turn = slot.turn.lock().await;
        let principal = self.principal(way, object, Demand::Ready).await?;
        let proof = slot.read(way, &self.inner.client, &namespace_of(object)).await?;
        let is_current = |account: &Arc<Account>| {
            account.secret_version.as_deref() == proof.version() && account.principal == principal
        };
        match current(&slot, object).filter(is_current) {
            Some(account) => Ok(account),
            None => Ok(self.build(&slot, object, way, principal, proof)),
        }
    }

    /// What is open under this name, even if its AzureAccount is gone or has changed.
    pub fn get(&self, key: &Key) -> Option<Arc<Account>> {
        self.slots().get(key).and_then(|slot| slot.open().clone())
    }

    /// Closes the account: nothing uses it any more.
    pub fn close(&self, key: &Key) {
        self.slots().remove(key);
    }

    async fn principal(
        &self,
        way: Way<'_>,
        object: &AzureAccount,
        demand: Demand,
    ) -> Result<AccountPrincipal, AccountError> {
        let Inner { identities, host, .. } = &*self.inner;
        identities.cache().ready().await;
        way.principal(&Key::of(object), identities, host, demand)
    }

    fn build(
        &self,
        slot: &Slot,
        object: &AzureAccount,
        way: Way<'_>,
        principal: AccountPrincipal,
        proof: Proof,
    ) -> Arc<Account> {
        let Inner {
            client,
            cloud,
            http,
            gates,
            host,
            ..
        } = &*self.inner;
        let spec = object.spec.clone();
        let means = Means {
            client,
            cloud,
            http,
            host,
        };
        let secret_version = proof.version().map(str::to_owned);
        let tokens = proof.tokens(object, &principal, &means);
        let gate = gates.gate(&spec.subscription_id, principal.as_str(), &namespace_of(object));
        let arm = ArmClient::new(http.clone(), cloud, tokens.clone(), gate);
        let account = Arc::new(Account {
            spec,
            is_federated: way.is_federated(),
            principal,
            uid: object.uid().unwrap_or_default(),
            secret_version,
            tokens,
            arm,
            checked: Mutex::default(),
        });
        *slot.open() = Some(Arc::clone(&account));
        account
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        self.slots().entry(key.clone()).or_default().clone()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn namespace_of(object: &AzureAccount) -> String {
    object.namespace().unwrap_or_default()
}

fn current(slot: &Slot, object: &AzureAccount) -> Option<Arc<Account>> {
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    slot.open()
        .clone()
        .filter(|account| account.uid == uid && account.spec == object.spec)
}
