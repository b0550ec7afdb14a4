//! Finalizers when others write at the same time.

use kube::api::{DeleteParams, Patch, PatchParams};
use lifeguard::runtime::{
    Class, Classify, WriteError,
    finalizer::{ensure, has, release},
};
use serde_json::json;

use crate::{
    widget::{Act, Widget},
    world::World,
};

const OURS: &str = "runtime.test/ours";
const THEIRS: &str = "runtime.test/theirs";

async fn set_by_somebody_else(world: &World, finalizers: &[&str]) -> Widget {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    world
        .widgets()
        .patch("w", &PatchParams::default(), &patch)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_added_once_beside_others_and_released_alone() {
    let world = World::shared().await;
    world.create(&Widget::of("w", Act::Rest)).await;
    let widget = set_by_somebody_else(&world, &[THEIRS]).await;
    let widget = ensure(&world.client(), &widget, OURS)
        .await
        .unwrap()
        .expect("it was not there");
    assert!(has(&widget, OURS) && has(&widget, THEIRS));
    assert!(ensure(&world.client(), &widget, OURS).await.unwrap().is_none());
    let widget = release(&world.client(), &widget, OURS)
        .await
        .unwrap()
        .expect("it was there");
    assert_eq!(widget.metadata.finalizers, Some(vec![THEIRS.to_owned()]));
    assert!(release(&world.client(), &widget, OURS).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_writers_finalizer_is_never_lost() {
    let world = World::shared().await;
    let stale = world.create(&Widget::of("w", Act::Rest)).await;
    set_by_somebody_else(&world, &[THEIRS]).await;
    let error = ensure(&world.client(), &stale, OURS).await.unwrap_err();
    assert!(matches!(error, WriteError::Conflict), "{error:?}");
    assert_eq!(error.class(), Class::Conflict);

    let stale = set_by_somebody_else(&world, &[OURS, THEIRS]).await;
    set_by_somebody_else(&world, &[THEIRS, OURS]).await;
    assert!(matches!(
        release(&world.client(), &stale, OURS).await,
        Err(WriteError::Conflict)
    ));
    assert!(has(&world.widgets().get("w").await.unwrap(), THEIRS));
}

#[tokio::test(flavor = "multi_thread")]
async fn releasing_lets_the_object_go_and_what_is_gone_is_released() {
    let world = World::shared().await;
    let widget = world.create(&Widget::of("w", Act::Rest)).await;
    let widget = ensure(&world.client(), &widget, OURS).await.unwrap().expect("added");
    world.widgets().delete("w", &DeleteParams::default()).await.unwrap();
    assert!(
        world
            .widgets()
            .get("w")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    release(&world.client(), &widget, OURS).await.unwrap();
    assert!(world.widgets().get_opt("w").await.unwrap().is_none());
    assert!(release(&world.client(), &widget, OURS).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_gone_or_going_takes_no_finalizer() {
    let world = World::shared().await;
    let widget = world.create(&Widget::of("w", Act::Rest)).await;
    set_by_somebody_else(&world, &[THEIRS]).await;
    world.widgets().delete("w", &DeleteParams::default()).await.unwrap();
    let going = world.widgets().get("w").await.unwrap();
    let error = ensure(&world.client(), &going, OURS).await.unwrap_err();
    assert_eq!(error.class(), Class::Terminal, "{error:?}");
    set_by_somebody_else(&world, &[]).await;
    assert!(matches!(
        ensure(&world.client(), &widget, OURS).await,
        Err(WriteError::Gone)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namesake_is_not_touched() {
    let world = World::shared().await;
    let first = world.create(&Widget::of("w", Act::Rest)).await;
    let first = ensure(&world.client(), &first, OURS).await.unwrap().expect("added");
    world.widgets().delete("w", &DeleteParams::default()).await.unwrap();
    release(&world.client(), &first, OURS).await.unwrap();
    let mut second = Widget::of("w", Act::Rest);
    second.metadata.finalizers = Some(vec![OURS.to_owned()]);
    world.create(&second).await;
    assert!(matches!(
        release(&world.client(), &first, OURS).await,
        Err(WriteError::Conflict)
    ));
    assert!(has(&world.widgets().get("w").await.unwrap(), OURS));
    // So that the namespace can go.
    set_by_somebody_else(&world, &[]).await;
}
