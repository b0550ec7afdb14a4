//! AzureAccount: checks that its credential gets tokens and sees its subscription, and keeps it while it is in use.
//!
//! Its Secret is read again at every check, and never watched. Those who use the account are told when it changes.

mod observe;
mod plan;
mod status;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;

use crate::api::{ACCOUNT_FINALIZER, AzureAccount, AzureAccountStatus, ManagedIdentity};
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Key, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use super::azure_resource::{AzureObject, account_key, account_users};
use super::command_job::tell_jobs_of_account;
use super::context::{Context, Watched};
use super::error::Error;
use super::readiness;

pub use observe::Observed;
pub use plan::Step;

/// How often an account that works is checked.
pub const CHECK_INTERVAL: Duration = Duration::from_mins(5);

/// The reconciler of AzureAccounts.
pub struct AzureAccountReconciler {
    context: Context,
}

/// The controller of AzureAccounts; those who use an account are triggered by its changes.
pub fn controller(context: &Context, source: Source<AzureAccount>) -> Controller<AzureAccountReconciler> {
    let reconciler = Arc::new(AzureAccountReconciler {
        context: context.clone(),
    });
    let told = context.clone();
    Controller::new(
        source,
        reconciler,
        context.status_writer(),
        context.events().clone(),
        Settings::default(),
        context.stop().clone(),
    )
    .on_change(move |account: &AzureAccount| tell_users(&told, account))
    .report_to(context.health().check("azureaccounts"))
}

/// Asks for passes over everything that uses the account.
fn tell_users(context: &Context, account: &AzureAccount) {
    let key = Key::of(account);
    tell_users_of_kind(&context.resource_groups, &key);
    tell_users_of_kind(&context.session_pools, &key);
    tell_users_of_kind(&context.role_assignments, &key);
    tell_users_of_kind(&context.managed_identities, &key);
    tell_users_of_kind(&context.identity_bindings, &key);
    tell_jobs_of_account(context, account);
}

fn tell_users_of_kind<K: AzureObject>(watched: &Watched<K>, account: &Key) {
    for object in watched.in_namespace(&account.namespace) {
        if account_key(&*object) == *account {
            watched.trigger(Key::of(&*object));
        }
    }
}

/// Asks for passes over the accounts that are the identity, or would be.
pub fn tell_accounts_of_identity(context: &Context, identity: &ManagedIdentity) {
    let key = Key::of(identity);
    for account in context.azure_accounts.in_namespace(&key.namespace) {
        let workload_identity = account.spec.credential.workload_identity.as_ref();
        let reference = workload_identity.and_then(|it| it.managed_identity_ref.as_ref());
        if reference.is_some_and(|it| it.name == key.name) {
            context.azure_accounts.trigger(Key::of(&*account));
        }
    }
}

impl Reconciler for AzureAccountReconciler {
    type Object = AzureAccount;
    type Observed = Observed;
    type Step = Step;
    type Verdict = ();
    type Error = Error;

    async fn observe(&self, object: &Snapshot<AzureAccount>) -> Result<Observed, Error> {
        observe::observe(&self.context, object).await
    }

    fn plan(object: &AzureAccount, observed: &Observed, now: Timestamp) -> Plan<Step> {
        plan::plan(object, observed, now)
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        match step {
            Step::AddFinalizer => {
                pass.ensure_finalizer(ACCOUNT_FINALIZER).await?;
                // The users wait for it, and the watch tells them only when it has delivered it.
                Ok(Effect::Replan)
            }
            Step::RemoveFinalizer => {
                let is_deleted = pass.object().meta().deletion_timestamp.is_some();
                pass.release_finalizer(ACCOUNT_FINALIZER).await?;
                Ok(if is_deleted { Effect::Done } else { Effect::Replan })
            }
        }
    }

    fn summarize(object: &AzureAccount, seen: Seen<'_, Observed>, now: Timestamp) -> Option<AzureAccountStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &AzureAccount, status: &AzureAccountStatus) -> Vec<Note> {
        readiness::notes(conditions(object), &status.conditions)
    }

    fn settled(object: &AzureAccount) -> bool {
        object.meta().deletion_timestamp.is_none() && readiness::is_ready(conditions(object), object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<AzureAccount>) {
        let key = Key::of(&**object);
        if account_users(&self.context, &key).is_empty() {
            self.context.accounts().close(&key);
        }
        tell_users(&self.context, object);
    }
}

fn conditions(object: &AzureAccount) -> &[Condition] {
    object
        .status
        .as_ref()
        .map(|it| it.conditions.as_slice())
        .unwrap_or_default()
}
