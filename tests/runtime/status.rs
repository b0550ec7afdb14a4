//! What the API server does with status writes.

use kube::api::{DeleteParams, Patch, PatchParams};
use lifeguard::runtime::{Key, WriteError, drive::Settings};
use serde_json::json;

use crate::{
    widget::{Act, Widget, WidgetStatus, Widgets},
    world::{World, eventually},
};

fn saying(text: &str) -> WidgetStatus {
    WidgetStatus {
        text: text.into(),
        ..WidgetStatus::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_over_a_stale_version_is_a_conflict_even_if_it_changes_nothing() {
    let world = World::shared().await;
    let writer = world.writer();
    let stale = world.create(&Widget::of("w", Act::Rest)).await;
    let fresh = writer.write(&stale, &saying("a")).await.unwrap();
    assert!(matches!(
        writer.write(&stale, &saying("b")).await,
        Err(WriteError::Conflict)
    ));
    assert!(matches!(
        writer.write(&stale, &saying("a")).await,
        Err(WriteError::Conflict)
    ));
    assert_eq!(writer.write(&fresh, &saying("b")).await.unwrap().text(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_never_reaches_a_namesake_and_never_creates_anything() {
    let world = World::shared().await;
    let writer = world.writer();
    let deleted = world.create(&Widget::of("w", Act::Rest)).await;
    world.widgets().delete("w", &DeleteParams::default()).await.unwrap();
    assert!(matches!(
        writer.write(&deleted, &saying("a")).await,
        Err(WriteError::Gone)
    ));
    assert!(world.widgets().get_opt("w").await.unwrap().is_none());
    world.create(&Widget::of("w", Act::Rest)).await;
    assert!(matches!(
        writer.write(&deleted, &saying("a")).await,
        Err(WriteError::Conflict)
    ));
    assert_eq!(world.widgets().get("w").await.unwrap().text(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_what_is_there_does_not_make_a_new_version() {
    let world = World::shared().await;
    let writer = world.writer();
    let widget = world.create(&Widget::of("w", Act::Rest)).await;
    let once = writer.write(&widget, &saying("a")).await.unwrap();
    let twice = writer.write(&once, &saying("a")).await.unwrap();
    assert_eq!(once.metadata.resource_version, twice.metadata.resource_version);
    assert!(writer.write_if_changed(&twice, &saying("a")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_sent_is_removed_and_the_spec_is_not_touched() {
    let world = World::shared().await;
    let writer = world.writer();
    let widget = world.create(&Widget::of("w", Act::Rest)).await;
    let full = WidgetStatus {
        observed_generation: Some(1),
        ..saying("a")
    };
    let widget = writer.write(&widget, &full).await.unwrap();
    let widget = writer.write(&widget, &saying("a")).await.unwrap();
    assert_eq!(widget.status.unwrap().observed_generation, None);
    assert_eq!(widget.metadata.generation, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unicode_scalar_comes_back_as_it_went() {
    let world = World::shared().await;
    let writer = world.writer();
    let mut widget = world.create(&Widget::of("w", Act::Rest)).await;
    // Neighbours matter: YAML trims blanks around what it takes for a line break.
    let texts = [
        ('\0'..='\u{ffff}').collect::<String>(),
        ('\0'..='\u{ffff}').flat_map(|c| [' ', c, ' ', 'x']).collect(),
        ('\0'..='\u{ffff}').flat_map(|c| [c, '\n', c, '\\', c, '"']).collect(),
        ('\u{10000}'..='\u{4ffff}').collect(),
        ('\u{50000}'..='\u{8ffff}').collect(),
        ('\u{90000}'..='\u{cffff}').collect(),
        ('\u{d0000}'..=char::MAX).collect(),
    ];
    for text in texts {
        widget = writer.write(&widget, &saying(&text)).await.unwrap();
        let stored = world.widgets().get("w").await.unwrap();
        assert!(
            stored.text() == text,
            "what is stored differs: {}",
            difference(stored.text(), &text)
        );
    }
}

fn difference(left: &str, right: &str) -> String {
    let position = left.chars().zip(right.chars()).position(|(left, right)| left != right);
    format!(
        "at character {position:?} of {} and {}",
        left.chars().count(),
        right.chars().count()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_etcd_or_the_server_refuses_is_told_as_too_large() {
    let world = World::shared().await;
    let writer = world.writer();
    let widget = world.create(&Widget::of("w", Act::Rest)).await;
    for megabytes in [2, 4] {
        let status = saying(&"x".repeat(megabytes << 20));
        assert!(
            matches!(writer.write(&widget, &status).await, Err(WriteError::TooLarge)),
            "{megabytes} MiB"
        );
    }
    assert!(writer.write(&widget, &saying(&"x".repeat(1 << 20))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_is_too_large_gets_a_second_chance_to_be_brief() {
    let world = World::shared().await;
    let mut widget = Widget::of("w", Act::Grow);
    widget.spec.size = 2 << 20;
    world.create(&widget).await;
    let _running = world.run(&Widgets::new(), Settings::default());
    let widget = world.until("w", |widget| widget.ready().is_some()).await;
    assert_eq!(widget.ready_reason(), "ObjectTooLarge");
    assert_eq!(widget.text(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_at_rest_writes_nothing_however_often_it_is_triggered() {
    let world = World::shared().await;
    world.create(&Widget::of("w", Act::Rest)).await;
    let widgets = Widgets::new();
    let running = world.run(&widgets, Settings::default());
    let settled = world.until("w", |widget| widget.ready().is_some()).await;
    for _ in 0..20 {
        let before = widgets.passes("w");
        running.triggers.trigger(Key::new(&world.namespace, "w"));
        eventually("another pass", async || (widgets.passes("w") > before).then_some(())).await;
    }
    let now = world.widgets().get("w").await.unwrap();
    assert_eq!(now.metadata.resource_version, settled.metadata.resource_version);
    assert_eq!(running.counters.status_writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_published_for_a_transition_and_not_for_its_repetition() {
    let world = World::shared().await;
    world.create(&Widget::of("w", Act::Rest)).await;
    let widgets = Widgets::new();
    let running = world.run(&widgets, Settings::default());
    world.until("w", |widget| widget.ready_reason() == "Fine").await;
    // Another generation changes the status, but is no transition.
    let patch = Patch::Merge(json!({"spec": {"size": 5}}));
    world
        .widgets()
        .patch("w", &PatchParams::default(), &patch)
        .await
        .unwrap();
    world
        .until("w", |w| {
            w.status
                .as_ref()
                .is_some_and(|status| status.observed_generation == Some(2))
        })
        .await;
    assert_eq!(running.counters.status_writes(), 2);
    let events = eventually("an event", async || {
        Some(world.events("w").await).filter(|e| !e.is_empty())
    })
    .await;
    let reasons: Vec<_> = events.iter().map(|event| event.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["Fine"]);
    assert_eq!(events[0].reporting_controller.as_deref(), Some("runtime.test/operator"));
}
