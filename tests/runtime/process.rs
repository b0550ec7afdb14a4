//! Signals and readiness of a whole process, in this process.

use std::sync::Arc;

use kube_runtime::watcher;
use lifeguard::runtime::{Controller, Events, Scope, Source, drive::Settings, health::Health, supervisor::Supervisor};
use tokio_util::sync::CancellationToken;

use crate::{
    widget::{Act, Widget, Widgets},
    world::{World, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_the_kind_was_listed_and_ends_well_on_a_signal() {
    let world = World::shared().await;
    world.create(&Widget::of("w", Act::Rest)).await;
    let stop = CancellationToken::new();
    let health = Health::new(stop.clone());
    let scope = Scope::new([world.namespace.clone()]);
    let source = Source::<Widget>::new(&world.clients.watch, &scope, watcher::Config::default());
    let cache = source.cache();
    let events = Events::new(world.client(), "runtime.test/operator", "test");
    let controller = Controller::new(
        source,
        Widgets::new(),
        world.writer(),
        events.clone(),
        Settings::default(),
        stop.clone(),
    )
    .report_to(health.check("widgets"));
    assert!(!health.is_ready());

    let mut supervisor = Supervisor::new(stop);
    supervisor.spawn("widgets", controller.run());
    let signal = Arc::new(tokio::sync::Notify::new());
    let received = Arc::clone(&signal);
    let signals = futures::stream::once(async move {
        received.notified().await;
        "SIGTERM"
    });
    let process = tokio::spawn(supervisor.run(signals));
    eventually("ready", async || health.is_ready().then_some(())).await;
    assert_eq!(cache.len(), 1);
    signal.notify_one();
    process.await.unwrap().unwrap();
    assert!(!health.is_ready());
    events.drained().await;
}
