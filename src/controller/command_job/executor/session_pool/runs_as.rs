//! Whose account a job runs as in a pool. Pure.

use kube::ResourceExt;

use crate::api::azure_account::AzureAccountSpec;
use crate::api::command_job::CommandJob;
use crate::api::reference::LocalReference;
use crate::api::session_pool::{Labels, SessionPool, Share};
use crate::controller::command_job::job::plan::last_claim;
use crate::controller::operator_key::{OperatorKey, hex};
use crate::runtime::Key;

/// The account that a job runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsAs {
    /// The AzureAccount.
    pub account: Key,
    /// The SessionPool that lends it, if it is not one of the job's own namespace. Then it is all that whoever reads the job
    /// may know of it.
    pub lender: Option<Key>,
}

impl RunsAs {
    /// One of the job's own namespace: that which the job names, else `otherwise`, else `default`.
    pub fn own(job: &CommandJob, otherwise: Option<&LocalReference>) -> Self {
        let name = AzureAccountSpec::name_for(job.spec.account_ref.as_ref().or(otherwise));
        Self {
            account: Key::new(job.namespace().unwrap_or_default(), name),
            lender: None,
        }
    }

    /// What a job begins as in a pool; `None` if the pool does not let the job's namespace in, which has these labels.
    pub fn begins(job: &CommandJob, pool: &SessionPool, labels: &Labels) -> Option<Self> {
        if job.namespace() == pool.namespace() {
            return Some(Self::own_in(job, pool));
        }
        let share = share(pool, labels)?;
        Some(match (&job.spec.account_ref, &share.account_ref) {
            (None, Some(lent)) => Self::lent(Key::of(pool), &lent.name),
            (Some(_), _) | (None, None) => Self::own_in(job, pool),
        })
    }

    /// What the attempt that is under way goes on as: what was let in stays, and ends as the account that it began as.
    /// `None` if a lent one is not among `accounts` any more.
    pub fn goes_on(
        job: &CommandJob,
        pool: &SessionPool,
        key: &OperatorKey,
        accounts: impl IntoIterator<Item = Key>,
    ) -> Option<Self> {
        let Some(digest) = last_claim(job).and_then(|it| it.lent_account) else {
            return Some(Self::own_in(job, pool));
        };
        let pool = Key::of(pool);
        let of_pool = accounts.into_iter().filter(|it| it.namespace == pool.namespace);
        of_pool
            .map(|it| Self::lent(pool.clone(), it.name))
            .find(|it| it.lent_digest(key, job).as_ref() == Some(&digest))
    }

    fn own_in(job: &CommandJob, pool: &SessionPool) -> Self {
        let of_pool = pool.spec.azure.management.account_ref.as_ref();
        Self::own(job, of_pool.filter(|_| job.namespace() == pool.namespace()))
    }

    fn lent(pool: Key, name: impl Into<String>) -> Self {
        Self {
            account: Key::new(&pool.namespace, name),
            lender: Some(pool),
        }
    }

    /// Names the account in the status of the job, if it is lent. Without the operator's key nothing is learnt from it, and
    /// nobody can make one up or use that of another job.
    pub fn lent_digest(&self, key: &OperatorKey, job: &CommandJob) -> Option<String> {
        self.lender.as_ref()?;
        let uid = job.uid().unwrap_or_default();
        let parts = [&uid, &self.account.namespace, &self.account.name].map(String::as_bytes);
        Some(hex(&key.derive("lent account", parts)[..16]))
    }
}

/// The entry that lets a namespace with these labels into a pool of another one: the first that includes it.
pub fn share<'a>(pool: &'a SessionPool, labels: &Labels) -> Option<&'a Share> {
    pool.spec.sharing.iter().find(|it| it.namespaces.include(labels))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(namespace: &str, account: Option<&str>) -> CommandJob {
        serde_json::from_value(json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
            "metadata": {"name": "j", "namespace": namespace, "uid": "u"},
            "spec": {
                "target": {"sessionPoolRef": {"name": "shell", "namespace": "host"}}, "script": "true",
                "accountRef": account.map(|name| json!({"name": name})),
            },
        }))
        .expect("a valid job")
    }

    fn pool(sharing: &Value) -> SessionPool {
        serde_json::from_value(json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "SessionPool",
            "metadata": {"name": "shell", "namespace": "host"},
            "spec": {"containerType": "Shell", "accountRef": {"name": "manager"}, "sharing": sharing},
        }))
        .expect("a valid pool")
    }

    fn share(selector: &Value, account: Option<&str>) -> Value {
        json!({"namespaces": {"from": "Selector", "selector": selector}, "accountRef": account.map(|it| json!({"name": it}))})
    }

    fn labels(team: &str) -> Labels {
        Labels::from([("team".to_owned(), team.to_owned())])
    }

    fn account(job: &CommandJob, pool: &SessionPool, team: &str) -> Option<String> {
        RunsAs::begins(job, pool, &labels(team)).map(|it| it.account.to_string())
    }

    #[test]
    fn a_job_runs_as_the_account_that_it_names_else_as_the_lent_one_else_as_default() {
        let all = |account: Option<&str>| json!([{"namespaces": {"from": "All"}, "accountRef": account.map(|it| json!({"name": it}))}]);
        for (namespace, named, sharing, expected) in [
            ("host", None, json!([]), Some("host/manager")),
            ("host", Some("own"), json!([]), Some("host/own")),
            // Nothing is lent to the pool's own namespace.
            ("host", None, all(Some("runner")), Some("host/manager")),
            ("guest", None, json!([]), None),
            ("guest", Some("own"), json!([]), None),
            ("guest", None, all(Some("runner")), Some("host/runner")),
            ("guest", None, all(None), Some("guest/default")),
            ("guest", Some("own"), all(Some("runner")), Some("guest/own")),
            // What a job names is looked for in its own namespace, whatever the name.
            ("guest", Some("runner"), all(Some("runner")), Some("guest/runner")),
        ] {
            let found = account(&job(namespace, named), &pool(&sharing), "blue");
            assert_eq!(found.as_deref(), expected, "{namespace}, {named:?}, {sharing}");
        }
    }

    #[test]
    fn the_first_entry_that_lets_a_namespace_in_counts() {
        let blue = json!({"matchLabels": {"team": "blue"}});
        let coloured = json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["blue", "red"]}]});
        let pool = pool(&json!([
            share(&blue, Some("first")),
            share(&coloured, None),
            share(
                &json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}),
                Some("third")
            ),
        ]));
        for (team, expected) in [
            ("blue", "host/first"),
            ("red", "guest/default"),
            ("green", "host/third"),
        ] {
            let found = account(&job("guest", None), &pool, team);
            assert_eq!(found.as_deref(), Some(expected), "{team}");
        }
        let nobody = RunsAs::begins(&job("guest", None), &pool, &Labels::new());
        assert_eq!(nobody, None);
    }

    /// The job with an attempt under way that began as this.
    fn under_way(mut job: CommandJob, runs_as: &RunsAs) -> CommandJob {
        let status = json!({"attempts": [{
            "number": 1, "session": "s", "startTime": "2026-01-01T00:00:00Z", "lentAccount": runs_as.lent_digest(&key(), &job),
        }]});
        job.status = Some(serde_json::from_value(status).expect("a valid status"));
        job
    }

    fn key() -> OperatorKey {
        OperatorKey::new([7; 32])
    }

    #[test]
    fn an_attempt_ends_as_the_account_that_it_began_as_whatever_the_pool_lends_since() {
        let closed = pool(&json!([]));
        let lending = pool(&json!([{"namespaces": {"from": "All"}, "accountRef": {"name": "other"}}]));
        let accounts = ["guest/runner", "host/other", "host/runner"].map(|it| {
            let (namespace, name) = it.split_once('/').expect("a key");
            Key::new(namespace, name)
        });
        let guest = job("guest", None);
        let lent = RunsAs::lent(Key::new("host", "shell"), "runner");
        for (namespace, began) in [
            ("guest", lent.clone()),
            ("guest", RunsAs::own(&guest, None)),
            ("host", RunsAs::own(&job("host", Some("manager")), None)),
        ] {
            for pool in [&closed, &lending] {
                let job = under_way(job(namespace, None), &began);
                let goes_on = RunsAs::goes_on(&job, pool, &key(), accounts.clone());
                assert_eq!(goes_on.as_ref(), Some(&began), "{:?}", pool.spec.sharing);
            }
        }
        let gone = RunsAs::goes_on(&under_way(guest, &lent), &lending, &key(), accounts[..2].to_vec());
        assert_eq!(gone, None, "another one does not take its place");
    }

    #[test]
    fn the_digest_of_a_lent_account_is_of_no_use_to_another_job() {
        let lent = RunsAs::lent(Key::new("host", "shell"), "runner");
        let guest = job("guest", None);
        let mut another = guest.clone();
        another.metadata.uid = Some("v".to_owned());
        assert_ne!(lent.lent_digest(&key(), &another), lent.lent_digest(&key(), &guest));
        assert_eq!(RunsAs::own(&guest, None).lent_digest(&key(), &guest), None);
    }
}
