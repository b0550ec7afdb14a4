//! What the watches deliver and what they survive.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use kube_runtime::watcher;
use lifeguard::runtime::references::{Entry, Kind, References};
use lifeguard::runtime::{Controller, Events, Key, Scope, Source, counters::Ended, drive::Settings};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    widget::{Act, Widget, Widgets},
    world::{World, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_object_does_not_stop_its_kind_and_is_complained_about_once() {
    let world = World::shared().await;
    let kind = ApiResource::erase::<Widget>(&());
    let untyped: Api<DynamicObject> = Api::namespaced_with(world.client(), &world.namespace, &kind);
    let bad = DynamicObject::new("bad", &kind).data(json!({"spec": {"size": "not a number"}}));
    untyped.create(&PostParams::default(), &bad).await.unwrap();
    world.create(&Widget::of("good", Act::Rest)).await;

    let widgets = Widgets::new();
    let running = world.run(&widgets, Settings::default());
    world.until("good", |widget| widget.ready_reason() == "Fine").await;
    let events = eventually("an event", async || {
        Some(world.events("bad").await).filter(|e| !e.is_empty())
    })
    .await;
    assert_eq!(events[0].reason.as_deref(), Some("InvalidObject"));
    assert_eq!(events[0].type_.as_deref(), Some("Warning"));

    // Asked about again, unchanged, it is not complained about again.
    let before = running.counters.ended(Ended::Invalid);
    running.triggers.trigger(Key::new(&world.namespace, "bad"));
    eventually("another look", async || {
        (running.counters.ended(Ended::Invalid) > before).then_some(())
    })
    .await;
    assert_eq!(world.events("bad").await.len(), 1);

    // Once mended it is an object like any other.
    let mended = Patch::Merge(json!({"spec": {"size": 1}}));
    untyped.patch("bad", &PatchParams::default(), &mended).await.unwrap();
    world.until("bad", |widget| widget.ready_reason() == "Fine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_holds_nothing_that_nobody_reads() {
    let world = World::shared().await;
    let mut widget = Widget::of("plain", Act::Rest);
    widget.metadata.annotations = Some(
        [
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
            ("example.com/large", "x"),
            ("runtime.test/kept", &"ü".repeat(1000)),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
    );
    widget.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
    assert!(
        world.create(&widget).await.metadata.managed_fields.is_some(),
        "the server keeps them"
    );
    let running = world.run(&Widgets::new(), Settings::default());
    let key = Key::new(&world.namespace, "plain");
    let cached = eventually("cached", async || running.cache.get(&key)).await;
    assert_eq!(cached.metadata.managed_fields, None);
    assert_eq!(cached.metadata.labels, None);
    let kept: Vec<_> = cached.metadata.annotations.iter().flatten().collect();
    assert_eq!(kept, [(&"runtime.test/kept".to_owned(), &"ü".repeat(256))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_the_selector_and_being_deleted_are_both_told() {
    let world = World::shared().await;
    world.create(&Widget::of("claimed", Act::Claim)).await;
    world.create(&Widget::of("deleted", Act::Rest)).await;
    let widgets = Widgets::new();
    let live = watcher::Config::default().fields("status.phase!=Finished");
    let running = world.run_over(
        &Scope::new([world.namespace.clone()]),
        live,
        &widgets,
        Settings::default(),
    );
    world.until("claimed", |widget| widget.phase() == "Finished").await;
    eventually("left", async || {
        widgets.gone().contains(&"claimed".to_owned()).then_some(())
    })
    .await;
    eventually("out of the cache", async || {
        running
            .cache
            .get(&Key::new(&world.namespace, "claimed"))
            .is_none()
            .then_some(())
    })
    .await;
    world
        .widgets()
        .delete("deleted", &DeleteParams::default())
        .await
        .unwrap();
    eventually("deleted", async || {
        widgets.gone().contains(&"deleted".to_owned()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_namespaces_on_the_list_are_watched_and_triggers_find_their_way() {
    let world = World::shared().await;
    let (second, third) = (format!("{}-2", world.namespace), format!("{}-3", world.namespace));
    for namespace in [&second, &third] {
        world.create_namespace(namespace).await;
    }
    let create = async |namespace: &str, name: &str| {
        let api: Api<Widget> = Api::namespaced(world.client(), namespace);
        api.create(&PostParams::default(), &Widget::of(name, Act::Rest))
            .await
            .unwrap()
    };
    create(&world.namespace, "first").await;
    create(&second, "second").await;
    create(&third, "third").await;

    let widgets = Widgets::new();
    let scope = Scope::Namespaces(BTreeSet::from([world.namespace.clone(), second.clone()]));
    let running = world.run_over(&scope, watcher::Config::default(), &widgets, Settings::default());
    for name in ["first", "second"] {
        eventually(name, async || (widgets.passes(name) > 0).then_some(())).await;
    }
    running.cache.ready().await;
    assert_eq!(
        running.cache.len(),
        2,
        "a list of one namespace does not displace another's objects"
    );
    assert!(running.cache.get(&Key::new(&third, "third")).is_none());

    // Both are at rest once their own status writes have come back.
    for (namespace, name) in [(&world.namespace, "first"), (&second, "second")] {
        let written = async || {
            running
                .cache
                .get(&Key::new(namespace, name))
                .filter(|w| w.ready().is_some())
        };
        eventually(name, written).await;
        let before = widgets.passes(name);
        running.triggers.trigger(Key::new(namespace, name));
        eventually(name, async || (widgets.passes(name) > before).then_some(())).await;
    }
    running.triggers.trigger(Key::new(&third, "third"));
    assert_eq!(widgets.passes("third"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_goes_on_after_the_api_server_was_killed_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let administrator = World::own(folder.path()).await;
    administrator.prepare().await;
    // One who has rights by roles, which a server that was just started has not read yet.
    let world = administrator.as_operator().await;
    drop(administrator);
    let widgets = Widgets::new();
    let running = world.run(&widgets, Settings::default());
    world.create(&Widget::of("before", Act::Rest)).await;
    world.create(&Widget::of("lost", Act::Rest)).await;
    world.until("before", |widget| widget.ready().is_some()).await;
    world.until("lost", |widget| widget.ready().is_some()).await;

    let world = world.killed_and_started_again(folder.path()).await;
    assert!(!running.task.is_finished(), "a controller outlives its API server");
    eventually("created", async || {
        world
            .widgets()
            .create(&PostParams::default(), &Widget::of("after", Act::Rest))
            .await
            .ok()
    })
    .await;
    world.until("after", |widget| widget.ready_reason() == "Fine").await;
    assert!(running.counters.watch_errors() > 0);
}

impl Kind for Widget {
    const NAME: &'static str = "Widget";
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_told_of_a_change_after_the_cache_has_it() {
    let world = World::shared().await;
    let stop = CancellationToken::new();
    let scope = Scope::new([world.namespace.clone()]);
    let source = Source::<Widget>::new(&world.clients.watch, &scope, watcher::Config::default());
    let (cache, key) = (source.cache(), Key::new(&world.namespace, "w"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let (teller, cached, events) = (
        Arc::clone(&told),
        cache.clone(),
        Events::new(world.client(), "runtime.test/operator", "test"),
    );
    let controller = Controller::new(
        source,
        Widgets::new(),
        world.writer(),
        events,
        Settings::default(),
        stop.clone(),
    )
    .indexed(References::default(), move |widget| {
        let known = cached.get(&Key::of(widget)).map(|cached| cached.spec.size);
        teller.lock().unwrap().push((widget.spec.size, known));
        Entry::default()
    });
    let task = tokio::spawn(controller.run());
    cache.ready().await;
    world.create(&Widget::of("w", Act::Rest)).await;
    eventually("created", async || cache.get(&key)).await;
    let grown = Patch::Merge(json!({"spec": {"size": 7}}));
    world
        .widgets()
        .patch("w", &PatchParams::default(), &grown)
        .await
        .unwrap();
    eventually("told", async || {
        told.lock().unwrap().contains(&(7, Some(7))).then_some(())
    })
    .await;
    assert_eq!(told.lock().unwrap()[0], (0, Some(0)));
    stop.cancel();
    task.await.unwrap().unwrap();
}
