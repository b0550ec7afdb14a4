//! The one reconciler of all kinds that own an Azure resource.

use std::borrow::Cow;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::object::HasStatus;
use serde_json::Value;

use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::readiness;
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Note, Object, Pass, Plan, Reconciler, Seen, Snapshot, Source, Waited};

use super::blocked::Blocked;
use super::children::{Child, ChildHistory, ChildrenState, take_note};
use super::decision::{Assessment, may_use};
use super::dependency::{Dependency, close_account, open_account};
use super::export::{ExportState, read_export};
use super::history::Histories;
use super::kind::{AzureKind, Desired, Gathering};
use super::observation::{Observation, Occupants, Registration, ResourceState};
use super::policy::{Intent, Lifecycle, Situation};
use super::read::{doubt_if_refused, read_state};
use super::status::{notes, summarize};
use super::subject::{Subject, entry};
use super::whole::{KindStep, decide_whole};
use crate::controller::ownership::{Origin, OriginOnRecord, Owner};

/// The reconciler of a kind that owns an Azure resource.
pub struct AzureReconciler<K: AzureKind> {
    pub(super) context: Context,
    pub(super) histories: Histories,
    pub(super) child_histories: Histories<ChildHistory<K::Child>>,
    settings: K::Settings,
}

/// What a pass observed.
#[derive(Debug)]
pub struct Observed<K: AzureKind> {
    /// The resource.
    pub observation: Observation,
    /// What the kind read before it; `None` where Azure was not asked.
    pub facts: Option<K::Facts>,
    /// What belongs to a resource that is there and may be used.
    pub parts: Option<Parts<K::Child>>,
}

/// What belongs to a resource that is there and may be used.
#[derive(Debug, Clone)]
pub struct Parts<C> {
    /// What is written one by one.
    pub children: ChildrenState<C>,
    /// Where ids are exported to.
    pub export: ExportState,
}

impl<K: AzureKind> AsRef<Observation> for Observed<K> {
    fn as_ref(&self) -> &Observation {
        &self.observation
    }
}

impl<K: AzureKind> AsMut<Observation> for Observed<K> {
    fn as_mut(&mut self) -> &mut Observation {
        &mut self.observation
    }
}

/// The controller of a kind.
pub fn controller<K>(context: &Context, source: Source<K>, settings: K::Settings) -> Controller<AzureReconciler<K>>
where
    K: AzureKind + Object,
{
    let reconciler = AzureReconciler {
        context: context.clone(),
        histories: Histories::default(),
        child_histories: Histories::default(),
        settings,
    };
    let passes = Settings {
        plans_per_pass: K::PLANS_PER_PASS,
        ..context.settings()
    };
    context.controller(source, reconciler, passes, entry)
}

impl<K: AzureKind + Object> Reconciler for AzureReconciler<K> {
    type Object = K;
    type Observed = Observed<K>;
    type Step = KindStep<K::Child>;
    type Verdict = Assessment;
    type Error = Error;

    async fn observe(&self, object: &Snapshot<K>) -> Result<Observed<K>, Error> {
        let (observation, facts) = match self.resource(object).await? {
            Dependency::Met((resource, facts)) => (Observation::Seen(Box::new(resource)), Some(facts)),
            Dependency::Blocked(blocked) => (Observation::Blocked(blocked), None),
        };
        let parts = match (&observation, &facts) {
            (Observation::Seen(resource), Some(facts)) => self.parts(object, resource, facts).await?,
            (Observation::Seen(_) | Observation::Blocked(_), _) => None,
        };
        Ok(Observed {
            observation,
            facts,
            parts,
        })
    }

    fn plan(object: &K, observed: &Observed<K>, waited: &Waited, now: Timestamp) -> Plan<Self::Step, Assessment> {
        let decision = decide_whole(object, observed, now);
        decision.with_end(object, waited, now).into_plan()
    }

    fn reason(assessment: &Assessment) -> Option<Cow<'static, str>> {
        assessment.verdict.reason_of_wait()
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Self::Step) -> Result<Effect, Error> {
        self.carry_out_step(pass, step).await
    }

    fn summarize(
        object: &K,
        seen: Seen<'_, Observed<K>, Assessment>,
        now: Timestamp,
    ) -> Option<<K as HasStatus>::Status> {
        let azure = summarize(object, &seen, now)?;
        let parts = seen.observed.and_then(|it| it.parts.as_ref());
        let (azure, children) = super::whole::recorded(object, azure, parts, now);
        let facts = seen.observed.and_then(|it| it.facts.as_ref());
        let resource = match seen.observed.map(|it| &it.observation) {
            Some(Observation::Seen(resource)) => Some(&**resource),
            Some(Observation::Blocked(_)) | None => None,
        };
        Some(object.status_of(azure, children, facts, resource))
    }

    fn notes(object: &K, status: &<K as HasStatus>::Status) -> Vec<Note> {
        notes(object, &K::common(status).conditions)
    }

    fn settled(object: &K) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(&object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<K>) {
        let uid = object.uid().unwrap_or_default();
        self.histories.forget(&uid);
        self.child_histories.forget(&uid);
        close_account(&self.context, &**object);
    }
}

impl<K: AzureKind + Object> AzureReconciler<K> {
    /// Reads the resource, once what it depends on is there.
    async fn resource(&self, object: &Snapshot<K>) -> Result<Dependency<(ResourceState, K::Facts)>, Error> {
        let context = &self.context;
        let subject = Subject::of(&**object);
        if subject.lifecycle == Lifecycle::Deleted && object.has_nothing() {
            return Ok(Dependency::Blocked(Blocked::Nothing));
        }
        let account = match open_account(context, &**object).await? {
            Dependency::Met(account) => account,
            Dependency::Blocked(blocked) => return Ok(Dependency::Blocked(blocked)),
        };
        let uid = object.uid().unwrap_or_default();
        let mut history = self.histories.of(&uid);
        history.pace = context.settings().pace;
        let given_secrets_digest = history.secrets_digest.clone().or_else(|| object.given_secrets_digest());
        let gathering = Gathering {
            context,
            account: &account.account,
            settings: &self.settings,
            placed: history.placed.as_ref(),
            given_secrets: given_secrets_digest.is_some(),
        };
        let (id, mut facts) = match object.gather(gathering).await? {
            Dependency::Met(gathered) => gathered,
            Dependency::Blocked(blocked) => return Ok(Dependency::Blocked(blocked)),
        };
        let desired = object.desired(&facts, &account.account, context);
        let api_version = object.api_version(&desired);
        let Desired {
            body,
            defaults,
            secrets_digest,
        } = desired;
        let owner = Owner::new(
            context.cluster(),
            &object.namespace().unwrap_or_default(),
            &object.name_any(),
            &uid,
            Origin::Created,
        );
        let resource = ResourceState {
            arm: Some(account.account.arm().clone()),
            id,
            api_version,
            shape: K::ARM.shape,
            immutable: K::ARM.immutable,
            patchable: K::ARM.patchable,
            tagging: K::ARM.tagging,
            mark: K::ARM.mark,
            owner,
            on_record: OriginOnRecord::of(object.reported()),
            desired: body,
            defaults,
            actual: None,
            pause: None,
            secrets_digest,
            given_secrets_digest,
            unwritable: None,
            registration: Registration::NotNeeded,
            occupants: Occupants::None,
            account_is_marked: account.is_marked,
            history,
            key: context.key().clone(),
        };
        let mut resource = match read_state(context, &self.histories, &**object, resource).await? {
            Dependency::Met(resource) => resource,
            Dependency::Blocked(blocked) => return Ok(Dependency::Blocked(blocked)),
        };
        if resource.actual.is_none() && K::ARM.is_regional && is_nowhere(&resource) {
            resource.unwritable = Some(format!(
                "neither this object nor its AzureAccount has a spec.location: set one to choose the region of the {}",
                K::ARM.noun
            ));
        }
        let intent = Intent::of(Situation::of(subject.spec, subject.lifecycle, resource.presence()));
        object.inspect(context, intent, &mut facts, &mut resource).await?;
        object.complete(&facts, &mut resource);
        resource.note_look(Timestamp::now());
        self.histories.keep(&uid, resource.history.clone());
        Ok(Dependency::Met((resource, facts)))
    }

    /// Reads what belongs to a resource that is there and may be used; `None` for any other.
    async fn parts(
        &self,
        object: &Snapshot<K>,
        resource: &ResourceState,
        facts: &K::Facts,
    ) -> Result<Option<Parts<K::Child>>, Error> {
        let subject = Subject::of(&**object);
        if subject.lifecycle == Lifecycle::Deleted || !may_use(&subject, resource) {
            return Ok(None);
        }
        Ok(Some(Parts {
            children: self.children(object, resource, facts).await?,
            export: read_export(&self.context, &**object).await?,
        }))
    }

    async fn children(
        &self,
        object: &Snapshot<K>,
        resource: &ResourceState,
        facts: &K::Facts,
    ) -> Result<ChildrenState<K::Child>, Error> {
        let wanted = object.children(facts);
        if wanted.named.is_empty() && object.recorded_children().is_empty() {
            return Ok(ChildrenState::default());
        }
        let Some(arm) = &resource.arm else {
            return Ok(ChildrenState::default());
        };
        let actual = K::Child::list(arm, &resource.id).await;
        let actual = actual.inspect_err(|error| doubt_if_refused(&self.context, &**object, error))?;
        let uid = object.uid().unwrap_or_default();
        let mut history = self.child_histories.of(&uid);
        take_note(&mut history, actual.as_deref().unwrap_or_default());
        self.child_histories.keep(&uid, history.clone());
        Ok(ChildrenState {
            actual,
            history,
            request: Subject::of(&**object).request.map(str::to_owned),
            pace: self.context.settings().pace,
            ..wanted
        })
    }
}

/// Whether nobody says in which region a resource would be.
fn is_nowhere(resource: &ResourceState) -> bool {
    let is_missing = |body: &Value| body.get("location").is_none_or(Value::is_null);
    is_missing(&resource.desired.0) && is_missing(&resource.defaults)
}
