//! A control plane that the tests share, a namespace for each, and controllers to run in it.

use std::{
    future::Future,
    path::Path,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use k8s_openapi::{
    api::{
        core::v1::Namespace,
        events::v1::Event,
        rbac::v1::{Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use kube_runtime::{wait, watcher};
use lifeguard::runtime::{
    Cache, Clients, Controller, ControllerError, Events, Scope, Source, StatusWriter, Triggers, counters::Counters,
    drive::Settings,
};
use lifeguard_local::{ControlPlane, Options};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::widget::{Widget, Widgets, definition};

/// Generous, because a machine that builds at the same time is slow. Nothing is asserted about how long things take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A namespace of its own in a control plane with the test's kind.
pub struct World {
    pub clients: Clients,
    pub namespace: String,
    control_plane: Arc<ControlPlane>,
}

impl World {
    /// In the control plane that all tests of this process share; it ends with the last of them.
    pub async fn shared() -> Self {
        static SHARED: Mutex<Weak<ControlPlane>> = Mutex::new(Weak::new());
        let control_plane = tokio::task::spawn_blocking(|| {
            let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let started = Arc::new(ControlPlane::start(&Options::default()).unwrap());
                *shared = Arc::downgrade(&started);
                started
            })
        })
        .await
        .unwrap();
        let world = Self::within(control_plane).await;
        world.prepare().await;
        world
    }

    /// In a control plane of the test's own, which keeps its data in `folder`.
    pub async fn own(folder: &Path) -> Self {
        let options = Options {
            data_dir: Some(folder.to_owned()),
            ..Options::default()
        };
        let started = tokio::task::spawn_blocking(move || ControlPlane::start(&options).unwrap())
            .await
            .unwrap();
        Self::within(Arc::new(started)).await
    }

    /// Kills the control plane, of which this must be the only user, and starts it again on its data and ports.
    pub async fn killed_and_started_again(self, folder: &Path) -> Self {
        drop(Arc::into_inner(self.control_plane).expect("nobody else uses it"));
        Self {
            clients: self.clients,
            namespace: self.namespace,
            ..Self::own(folder).await
        }
    }

    async fn within(control_plane: Arc<ControlPlane>) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let namespace = format!("test-{}", uuid::Uuid::new_v4());
        Self {
            clients: clients(&control_plane, None).await,
            namespace,
            control_plane,
        }
    }

    /// The same by a user who has rights in this namespace, and nothing but these: those of [`RIGHTS`].
    pub async fn as_operator(&self) -> Self {
        let user = format!("operator-of-{}", self.namespace);
        let rights: Role = serde_json::from_value(json!({
            "metadata": {"name": RIGHTS},
            "rules": [{"apiGroups": ["runtime.test", "events.k8s.io"], "resources": ["*"], "verbs": ["*"]}],
        }))
        .unwrap();
        let given: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": RIGHTS},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": RIGHTS},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }))
        .unwrap();
        let roles: Api<Role> = Api::namespaced(self.client(), &self.namespace);
        roles.create(&PostParams::default(), &rights).await.unwrap();
        self.bindings().create(&PostParams::default(), &given).await.unwrap();
        let operator = Self {
            clients: clients(&self.control_plane, Some(user)).await,
            namespace: self.namespace.clone(),
            control_plane: Arc::clone(&self.control_plane),
        };
        eventually("the rights are in effect", async || {
            operator.widgets().list(&ListParams::default()).await.ok()
        })
        .await;
        operator
    }

    /// Who has which rights in this namespace.
    pub fn bindings(&self) -> Api<RoleBinding> {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// Creates the kind and the namespace.
    pub async fn prepare(&self) {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client());
        match definitions.create(&PostParams::default(), &definition()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => panic!("{error}"),
        }
        let established = wait::conditions::is_crd_established();
        wait::await_condition(definitions, "widgets.runtime.test", established)
            .await
            .unwrap();
        self.create_namespace(&self.namespace).await;
        // The kind is served a moment after it is established.
        eventually("widgets are served", async || {
            self.widgets().list(&ListParams::default()).await.ok()
        })
        .await;
    }

    pub async fn create_namespace(&self, name: &str) {
        let namespace = Namespace {
            metadata: named(name),
            ..Namespace::default()
        };
        Api::all(self.client())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    pub fn client(&self) -> Client {
        self.clients.write.clone()
    }

    pub fn widgets(&self) -> Api<Widget> {
        Api::namespaced(self.client(), &self.namespace)
    }

    pub async fn create(&self, widget: &Widget) -> Widget {
        self.widgets().create(&PostParams::default(), widget).await.unwrap()
    }

    /// Waits until the widget is as `wanted` says.
    pub async fn until(&self, name: &str, wanted: impl Fn(&Widget) -> bool) -> Widget {
        eventually(name, async || self.widgets().get(name).await.ok().filter(&wanted)).await
    }

    /// The events about an object.
    pub async fn events(&self, name: &str) -> Vec<Event> {
        let api: Api<Event> = Api::namespaced(self.client(), &self.namespace);
        let parameters = ListParams::default().fields(&format!("regarding.name={name}"));
        api.list(&parameters).await.unwrap().items
    }

    pub fn writer(&self) -> StatusWriter<Widget> {
        StatusWriter::new(self.client(), "runtime.test/widgets")
    }

    /// Runs a controller over this namespace.
    pub fn run(&self, reconciler: &Arc<Widgets>, settings: Settings) -> Running {
        self.run_over(
            &Scope::new([self.namespace.clone()]),
            watcher::Config::default(),
            reconciler,
            settings,
        )
    }

    pub fn run_over(
        &self,
        scope: &Scope,
        config: watcher::Config,
        reconciler: &Arc<Widgets>,
        settings: Settings,
    ) -> Running {
        let stop = CancellationToken::new();
        let source = Source::new(&self.clients.watch, scope, config);
        let (cache, triggers) = (source.cache(), source.triggers());
        let events = Events::new(self.client(), "runtime.test/operator", "test");
        let controller = Controller::new(
            source,
            Arc::clone(reconciler),
            self.writer(),
            events,
            settings,
            stop.clone(),
        );
        let counters = controller.counters();
        Running {
            cache,
            triggers,
            counters,
            stop,
            task: tokio::spawn(controller.run()),
        }
    }
}

/// Name of the role of the operator, and of its binding.
pub const RIGHTS: &str = "operator";

async fn clients(control_plane: &ControlPlane, user: Option<String>) -> Clients {
    let kubeconfig = Kubeconfig::read_from(control_plane.kubeconfig_path()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.auth_info.impersonate = user;
    Clients::new(config).unwrap()
}

/// A controller under test; it stops when this is dropped.
pub struct Running {
    pub cache: Cache<Widget>,
    pub triggers: Triggers<Widget>,
    pub counters: Arc<Counters>,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), ControllerError>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// Asks again and again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"))
}

pub fn named(name: &str) -> kube::core::ObjectMeta {
    kube::core::ObjectMeta {
        name: Some(name.to_owned()),
        ..kube::core::ObjectMeta::default()
    }
}
