//! AzureAccount: checks that its credential gets tokens and sees its subscription, and keeps it while it is in use.
//!
//! Its Secret is read again at every check, and never watched. Those who use the account are told when it changes.

mod observe;
mod plan;
mod status;

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;

use crate::api::{ACCOUNT_FINALIZER, AzureAccount, AzureAccountStatus, ManagedIdentity};
use crate::runtime::references::Entry;
use crate::runtime::{
    Controller, Effect, Key, Note, ObjectId, Pass, Plan, Reconciler, Seen, Snapshot, Source, Waited, finalizer,
};

use super::context::Context;
use super::error::Error;
use super::readiness;
use super::reference::{self, Reference, accounts_of};

pub use observe::ObservedAccount;
pub use plan::{AccountAssessment, AccountStep};

/// The reconciler of AzureAccounts.
pub struct AzureAccountReconciler {
    context: Context,
}

/// The controller of AzureAccounts; those who use an account are triggered by its changes.
pub fn controller(context: &Context, source: Source<AzureAccount>) -> Controller<AzureAccountReconciler> {
    let reconciler = AzureAccountReconciler {
        context: context.clone(),
    };
    context.controller(source, reconciler, context.settings(), entry)
}

/// What the index knows of an account: the identity that it is, which objects may still have to be removed with, and that
/// it is one of those of its namespace.
fn entry(account: &AzureAccount) -> Entry {
    let namespace = account.meta().namespace.as_deref().unwrap_or_default();
    let workload_identity = account.spec.credential.workload_identity.as_ref();
    let identity = workload_identity.and_then(|it| it.managed_identity_ref.as_ref());
    let is_needed = finalizer::has(account, ACCOUNT_FINALIZER);
    let identity = identity.map(|it| Reference::to::<ManagedIdentity>(namespace, it).needed(is_needed));
    Entry {
        provides: Some(accounts_of(namespace)),
        ..reference::entry(identity, None)
    }
}

impl Reconciler for AzureAccountReconciler {
    type Object = AzureAccount;
    type Observed = ObservedAccount;
    type Step = AccountStep;
    type Verdict = AccountAssessment;
    type Error = Error;

    async fn observe(&self, object: &Snapshot<AzureAccount>) -> Result<ObservedAccount, Error> {
        Ok(observe::observe(&self.context, object).await)
    }

    fn plan(
        object: &AzureAccount,
        observed: &ObservedAccount,
        waited: &Waited,
        now: Timestamp,
    ) -> Plan<AccountStep, AccountAssessment> {
        plan::plan(object, observed, waited, now)
    }

    fn reason(assessment: &AccountAssessment) -> Option<Cow<'static, str>> {
        assessment.verdict.as_ref()?.reason_of_wait()
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: AccountStep) -> Result<Effect, Error> {
        match step {
            AccountStep::WakeUsers => {
                let id = ObjectId::of(&**pass.object());
                self.context.references().wake_referrers(&id);
                if let Ok(opened) = &mut pass.observed_mut().account {
                    opened.is_anew = false;
                }
                Ok(Effect::Replan)
            }
            AccountStep::AddFinalizer => {
                pass.ensure_finalizer(ACCOUNT_FINALIZER).await?;
                // The users wait for it, and the watch tells them only when it has delivered it.
                Ok(Effect::Replan)
            }
            AccountStep::RemoveFinalizer => {
                let is_deleted = pass.object().meta().deletion_timestamp.is_some();
                pass.release_finalizer(ACCOUNT_FINALIZER).await?;
                Ok(if is_deleted { Effect::Done } else { Effect::Replan })
            }
            AccountStep::Check => {
                let Some(account) = self.context.accounts().get(&Key::of(&**pass.object())) else {
                    return Ok(Effect::Reobserve);
                };
                let checked = account.check().await;
                if let Ok(opened) = &mut pass.observed_mut().account {
                    opened.checked = checked;
                    opened.is_checked_now = true;
                }
                Ok(Effect::Replan)
            }
        }
    }

    fn summarize(
        object: &AzureAccount,
        seen: Seen<'_, ObservedAccount, AccountAssessment>,
        now: Timestamp,
    ) -> Option<AzureAccountStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &AzureAccount, status: &AzureAccountStatus) -> Vec<Note> {
        readiness::notes(conditions(object), &status.conditions)
    }

    fn settled(object: &AzureAccount) -> bool {
        object.meta().deletion_timestamp.is_none() && readiness::is_ready(conditions(object), object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<AzureAccount>) {
        let id = ObjectId::of(&**object);
        if self.context.references().known_to_need(&id).is_empty() {
            self.context.accounts().close(&id.key);
        }
    }
}

fn conditions(object: &AzureAccount) -> &[Condition] {
    object
        .status
        .as_ref()
        .map(|it| it.conditions.as_slice())
        .unwrap_or_default()
}
