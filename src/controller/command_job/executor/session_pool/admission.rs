//! Which namespaces a pool lets in.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};

use super::pools::Pools;
use super::runs_as::{RunsAs, share};
use crate::api::command_job::CommandJob;
use crate::api::session_pool::{Labels, SessionPool};
use crate::azure::ResourceId;
use crate::controller::azure_resource::owners;
use crate::controller::command_job::job::{NotRunnable, Unavailable};
use crate::runtime::{ApiError, Key};

/// A SessionPool of another namespace that lets a job in.
pub struct Host {
    /// The object.
    pub pool: Key,
    /// How many sessions the job's namespace may have.
    pub share: Option<u32>,
}

impl Pools {
    /// A pool that belongs to objects of other namespaces is entered only where one of them lets the job in: neither its id nor
    /// an object that only observes it is a way around that, even where Azure would allow it. Returns the object of another
    /// namespace that lets it in, if one does.
    pub(super) async fn admit(&self, job: &CommandJob, id: &ResourceId) -> Result<Option<Host>, Unavailable> {
        let own = job.namespace().unwrap_or_default();
        let owners = owners::<SessionPool>(&self.context, id).await;
        if owners.is_empty() {
            return Ok(None);
        }
        for pool in &owners {
            let labels = self.labels(&own, pool).await?;
            if RunsAs::begins(job, pool, &labels).is_some() {
                let host = Key::of(&**pool);
                let share = share(pool, &labels).and_then(|it| it.max_concurrent_sessions);
                return Ok((host.namespace != own).then(|| Host {
                    pool: host,
                    share: share.and_then(|it| u32::try_from(it).ok()),
                }));
            }
        }
        let (id, namespace) = (Box::new(id.clone()), own);
        Err(NotRunnable::NotShared { id, namespace }.into())
    }

    /// The labels of the namespace, where they decide whether the pool lets it in.
    pub(super) async fn labels(&self, namespace: &str, pool: &SessionPool) -> Result<Labels, ApiError> {
        let is_asked = pool.namespace().as_deref() != Some(namespace)
            && pool.spec.sharing.iter().any(|it| it.namespaces.selector.is_some());
        if !is_asked {
            return Ok(Labels::new());
        }
        let namespaces: Api<Namespace> = Api::all(self.context.client().clone());
        Ok(namespaces.get(namespace).await?.metadata.labels.unwrap_or_default())
    }
}
