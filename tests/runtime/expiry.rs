//! Deadlines of objects of which only metadata is watched.

use jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
    core::PartialObjectMeta,
};
use kube_runtime::{
    WatchStreamExt,
    watcher::{Config, watcher},
};
use lifeguard::runtime::expiry::{self, Due};
use tokio_util::sync::CancellationToken;

use crate::{
    widget::{Act, Widget, WidgetStatus},
    world::{World, eventually},
};

const EXPIRES: &str = "runtime.test/expires";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_expires_and_what_is_not_or_never_is_stays() {
    let world = World::shared().await;
    let now = Timestamp::now();
    for (name, phase, expires) in [
        ("due", "Finished", Some(now)),
        ("later", "Finished", Some(now + jiff::SignedDuration::from_hours(1))),
        ("never", "Finished", None),
        ("live", "Running", Some(now)),
    ] {
        let mut widget = Widget::of(name, Act::Rest);
        widget
            .annotations_mut()
            .extend(expires.map(|at| (EXPIRES.to_owned(), at.to_string())));
        let widget = world.create(&widget).await;
        let status = WidgetStatus {
            phase: phase.into(),
            ..WidgetStatus::default()
        };
        world.writer().write(&widget, &status).await.unwrap();
    }

    let api: Api<PartialObjectMeta<Widget>> = Api::namespaced(world.clients.watch.clone(), &world.namespace);
    let events = watcher(api, Config::default().fields("status.phase=Finished")).default_backoff();
    let stop = CancellationToken::new();
    let (widgets, ended) = (world.widgets(), stop.clone());
    let task = tokio::spawn(async move {
        let deadline =
            |object: &PartialObjectMeta<Widget>| object.annotations().get(EXPIRES).and_then(|at| at.parse().ok());
        let expire = async |due: Due| {
            let preconditions = Preconditions {
                uid: Some(due.uid),
                resource_version: None,
            };
            let parameters = DeleteParams::default().preconditions(preconditions);
            widgets.delete(&due.key.name, &parameters).await.unwrap();
            None
        };
        expiry::run(events, deadline, expire, ended).await;
    });
    eventually("expired", async || {
        world.widgets().get_opt("due").await.unwrap().is_none().then_some(())
    })
    .await;
    // One that finishes while we watch.
    let live = world.widgets().get("live").await.unwrap();
    world
        .writer()
        .write(
            &live,
            &WidgetStatus {
                phase: "Finished".into(),
                ..WidgetStatus::default()
            },
        )
        .await
        .unwrap();
    eventually("expired", async || {
        world.widgets().get_opt("live").await.unwrap().is_none().then_some(())
    })
    .await;
    for name in ["later", "never"] {
        assert!(world.widgets().get_opt(name).await.unwrap().is_some(), "{name}");
    }
    stop.cancel();
    task.await.unwrap();
}
