//! What a controller survives, and what a pass sees of its own writes.

use std::time::Duration;

use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use lifeguard::runtime::{Key, counters::Ended, drive::Settings, requeue};
use serde_json::json;

use crate::{
    widget::{Act, SHORT, Widget, Widgets},
    world::{RIGHTS, World, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_reported_on_its_object_and_hurts_no_other() {
    let world = World::shared().await;
    world.create(&Widget::of("bad", Act::Panic)).await;
    let running = world.run(
        &Widgets::new(),
        Settings {
            concurrency: 1,
            ..Settings::default()
        },
    );
    let bad = world.until("bad", |widget| widget.ready().is_some()).await;
    assert_eq!(bad.ready_reason(), "InternalError");
    assert!(
        !bad.ready().unwrap().message.contains("as the spec says"),
        "a panic's text may quote anything"
    );
    world.create(&Widget::of("good", Act::Rest)).await;
    world.until("good", |widget| widget.ready_reason() == "Fine").await;
    // The report is a change of the object, which leads to the next panic; mended, it is as good as any.
    let mended = Patch::Merge(json!({"spec": {"act": "Rest"}}));
    world
        .widgets()
        .patch("bad", &PatchParams::default(), &mended)
        .await
        .unwrap();
    world.until("bad", |widget| widget.ready_reason() == "Fine").await;
    assert!(running.counters.ended(Ended::Panicked) > 0);
    assert!(!running.task.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_refuses_is_tried_again_soon() {
    let world = World::shared().await;
    let operator = world.as_operator().await;
    let running = operator.run(&Widgets::new(), Settings::default());
    world.create(&Widget::of("refused", Act::Rest)).await;
    world.until("refused", |widget| widget.ready_reason() == "Fine").await;

    // As by a server that was just started, and has not read its roles yet.
    let bindings = world.bindings();
    let mut given = bindings.get(RIGHTS).await.unwrap();
    bindings.delete(RIGHTS, &DeleteParams::default()).await.unwrap();
    eventually("the operator is refused", async || {
        operator.widgets().get("refused").await.err()
    })
    .await;
    let changed = Patch::Merge(json!({"spec": {"size": 1}}));
    let patched = world
        .widgets()
        .patch("refused", &PatchParams::default(), &changed)
        .await;
    let generation = patched.unwrap().metadata.generation;
    eventually("a write is refused", async || {
        (running.counters.ended(Ended::Failed) > 0).then_some(())
    })
    .await;

    given.metadata.resource_version = None;
    bindings.create(&PostParams::default(), &given).await.unwrap();
    let seen = |widget: &Widget| {
        widget
            .status
            .as_ref()
            .is_some_and(|it| it.observed_generation == generation)
    };
    let widget = world.until("refused", seen).await;
    assert_eq!(widget.ready_reason(), "Fine", "what passed by itself was not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_summary_leaves_the_status_and_the_controller() {
    let world = World::shared().await;
    world.create(&Widget::of("bad", Act::PanicInSummary)).await;
    let widgets = Widgets::new();
    let running = world.run(
        &widgets,
        Settings {
            concurrency: 1,
            ..Settings::default()
        },
    );
    eventually("a pass", async || (running.counters.passes() > 0).then_some(())).await;
    world.create(&Widget::of("good", Act::Rest)).await;
    world.until("good", |widget| widget.ready_reason() == "Fine").await;
    assert_eq!(world.widgets().get("bad").await.unwrap().status, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_never_ends_is_ended_and_frees_its_place() {
    let world = World::shared().await;
    world.create(&Widget::of("stuck", Act::Hang)).await;
    let settings = Settings {
        concurrency: 1,
        deadline: SHORT,
        ..Settings::default()
    };
    let running = world.run(&Widgets::new(), settings);
    let exceeded = || running.counters.ended(Ended::DeadlineExceeded);
    eventually("a deadline", async || (exceeded() > 0).then_some(())).await;
    world.create(&Widget::of("good", Act::Rest)).await;
    world.until("good", |widget| widget.ready_reason() == "Fine").await;
    // One late answer is no news; the third in a row is.
    let stuck = world.until("stuck", |widget| widget.ready().is_some()).await;
    assert_eq!(stuck.ready_reason(), "DeadlineExceeded");
    assert!(exceeded() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_never_ends_is_cut_off() {
    let world = World::shared().await;
    world.create(&Widget::of("dizzy", Act::Spin)).await;
    let running = world.run(
        &Widgets::new(),
        Settings {
            plans_per_pass: 7,
            ..Settings::default()
        },
    );
    world.until("dizzy", |widget| widget.ready().is_some()).await;
    let passes = running.counters.passes();
    assert!(
        running.counters.steps() <= 7 * (passes + 1),
        "{} steps in {passes} passes",
        running.counters.steps()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_the_middle_of_a_pass_is_what_the_next_plan_sees() {
    let world = World::shared().await;
    world.create(&Widget::of("w", Act::Claim)).await;
    let widgets = Widgets::new();
    let running = world.run(&widgets, Settings::default());
    let widget = world.until("w", |widget| widget.ready().is_some()).await;
    assert_eq!(widget.phase(), "Finished");
    assert_eq!(running.counters.steps(), 2, "claimed once, finished once");
    assert_eq!(running.counters.ended(Ended::Failed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_right_after_another_sees_its_writes_although_the_watch_may_not() {
    let world = World::shared().await;
    let widgets = Widgets::new();
    let running = world.run(
        &widgets,
        Settings {
            concurrency: 4,
            ..Settings::default()
        },
    );
    for n in 0..20 {
        world.create(&Widget::of(&format!("w{n}"), Act::ClaimThenAgain)).await;
    }
    for n in 0..20 {
        world
            .until(&format!("w{n}"), |widget| widget.phase() == "Finished")
            .await;
    }
    assert_eq!(running.counters.steps(), 40, "nothing was claimed or finished twice");
    assert_eq!(
        running.counters.ended(Ended::Failed),
        0,
        "no pass lost against its predecessor"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_lets_a_pass_finish_and_starts_no_other() {
    let world = World::shared().await;
    let widgets = Widgets::new();
    let mut running = world.run(
        &widgets,
        Settings {
            concurrency: 1,
            ..Settings::default()
        },
    );
    world.create(&Widget::of("first", Act::Gate)).await;
    eventually("under way", async || (running.counters.steps() == 1).then_some(())).await;
    world.create(&Widget::of("second", Act::Rest)).await;
    let queued = Key::new(&world.namespace, "second");
    eventually("queued", async || running.cache.get(&queued)).await;
    running.stop.cancel();
    widgets.gate.add_permits(1);
    tokio::time::timeout(Duration::from_mins(1), &mut running.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let first = world.widgets().get("first").await.unwrap();
    assert_eq!((first.phase(), first.ready_reason()), ("Passed", "Fine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_ends_a_long_poll() {
    let world = World::shared().await;
    let mut running = world.run(&Widgets::new(), Settings::default());
    world.create(&Widget::of("waiting", Act::LongPoll)).await;
    eventually("under way", async || (running.counters.steps() == 1).then_some(())).await;
    running.stop.cancel();
    tokio::time::timeout(Duration::from_mins(1), &mut running.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(running.counters.ended(Ended::Done), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waits_ends_when_a_newer_version_of_its_object_arrives() {
    let world = World::shared().await;
    let running = world.run(&Widgets::new(), Settings::default());
    world.create(&Widget::of("waiting", Act::LongPoll)).await;
    eventually("under way", async || (running.counters.steps() == 1).then_some(())).await;
    let changed = Patch::Merge(json!({"spec": {"act": "Rest"}}));
    let api = world.widgets();
    api.patch("waiting", &PatchParams::default(), &changed).await.unwrap();
    world.until("waiting", |widget| widget.ready_reason() == "Fine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waits_is_not_ended_by_what_its_own_pass_wrote() {
    let world = World::shared().await;
    let running = world.run(&Widgets::new(), Settings::default());
    world.create(&Widget::of("waiting", Act::ClaimThenPoll)).await;
    let key = Key::new(&world.namespace, "waiting");
    eventually("the watch has the claim", async || {
        running.cache.get(&key).filter(|widget| widget.phase() == "Claimed")
    })
    .await;
    // Whatever the watch delivers afterwards came later than what it told of the claim.
    world.create(&Widget::of("other", Act::Rest)).await;
    world.until("other", |widget| widget.ready_reason() == "Fine").await;
    assert_eq!(running.counters.steps(), 2, "claimed once, and waiting still");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_goes_ends_the_step_that_waits_and_is_let_go_once_after_its_pass() {
    let world = World::shared().await;
    let widgets = Widgets::new();
    let running = world.run(&widgets, Settings::default());
    world.create(&Widget::of("waiting", Act::ClaimThenPoll)).await;
    eventually("under way", async || (running.counters.steps() == 2).then_some(())).await;
    let deleted = world.widgets().delete("waiting", &DeleteParams::default()).await;
    deleted.unwrap();
    eventually("let go", async || (!widgets.gone().is_empty()).then_some(())).await;
    assert_eq!(running.counters.passes(), 1, "its pass is over");
    world.create(&Widget::of("other", Act::Rest)).await;
    world.until("other", |widget| widget.ready_reason() == "Fine").await;
    assert_eq!(widgets.gone(), ["waiting"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_ignores_the_shutdown_is_dropped() {
    let world = World::shared().await;
    let widgets = Widgets::new();
    let mut running = world.run(&widgets, Settings::default());
    world.create(&Widget::of("stuck", Act::Hang)).await;
    eventually("under way", async || (widgets.passes("stuck") == 1).then_some(())).await;
    running.stop.cancel();
    tokio::time::timeout(Duration::from_mins(1), &mut running.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(running.counters.ended(Ended::Cancelled), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_objects_wait_for_their_turn_after_a_start_and_others_do_not() {
    let world = World::shared().await;
    let spread = Duration::from_hours(10_000);
    // Turns are thousandths of the spread; only the first of them is not hours away.
    let mut name = 0;
    let waits = loop {
        let widget = world.create(&Widget::of(&format!("w{name}"), Act::Settled)).await;
        if requeue::start_offset(&widget.uid().unwrap(), spread) > Duration::ZERO {
            break widget.name_any();
        }
        name += 1;
    };
    let widgets = Widgets::new();
    let running = world.run(
        &widgets,
        Settings {
            start_spread: spread,
            ..Settings::default()
        },
    );
    eventually("put off", async || {
        (running.counters.ended(Ended::Deferred) > 0).then_some(())
    })
    .await;
    assert_eq!(widgets.passes(&waits), 0);
    let unsettled = Patch::Merge(json!({"spec": {"act": "Rest"}}));
    world
        .widgets()
        .patch(&waits, &PatchParams::default(), &unsettled)
        .await
        .unwrap();
    world.until(&waits, |widget| widget.ready_reason() == "Fine").await;
}
