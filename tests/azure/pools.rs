//! Groups and pools from their making to their end.

use std::time::Duration;

use lifeguard::azure::comparison::compare;
use lifeguard::azure::error::ErrorClass;
use lifeguard::azure::operation::{Progress, after_delete, after_put, of_resource};
use lifeguard::azure::overlay::overlay;
use lifeguard::azure::provider::{self, RegistrationState};
use lifeguard::azure::session_pool::{self, PoolApiVersion};
use lifeguard::azure::{resource_group, session_pool::SHAPE};
use serde_json::json;

use crate::emulated::{Emulated, shell_pool};

const VERSION: PoolApiVersion = PoolApiVersion::V2025_10_02Preview;

#[tokio::test]
async fn a_subscription_that_is_not_registered_is_registered_and_then_may() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    let subscription = azure.ready().subscription_id.clone();
    resource_group::put(&arm, &azure.group(), &json!({"location": "westus2"}))
        .await
        .unwrap();
    if provider::registration_state(&arm, &subscription, "Microsoft.App")
        .await
        .unwrap()
        == RegistrationState::Registered
    {
        arm.post(
            &format!("/subscriptions/{subscription}/providers/Microsoft.App/unregister"),
            "2025-04-01",
            None,
        )
        .await
        .unwrap();
        assert!(azure.emulator.state().clock().advance(Duration::from_mins(10)));
    }
    let error = session_pool::put(&arm, &azure.pool(), VERSION, &shell_pool(2))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unregistered, "{error}");
    let namespace = provider::missing_namespace(&error).unwrap();
    provider::register(&arm, &subscription, namespace).await.unwrap();
    assert!(azure.emulator.state().clock().advance(Duration::from_mins(10)));
    let state = provider::registration_state(&arm, &subscription, namespace)
        .await
        .unwrap();
    assert_eq!(state, RegistrationState::Registered);
    session_pool::put(&arm, &azure.pool(), VERSION, &shell_pool(2))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pool_is_made_has_not_drifted_is_changed_and_goes() {
    let azure = Emulated::start().await;
    azure.with_pool(2).await;
    let arm = azure.arm();
    let found = session_pool::find(&arm, &azure.pool(), VERSION).await.unwrap().unwrap();
    assert_eq!(of_resource(&found.body, None), Progress::Done);
    assert_eq!(compare(&shell_pool(2), &found.body, &SHAPE).differences, []);

    let desired = json!({"properties": {"scaleConfiguration": {"maxConcurrentSessions": 7}}});
    let body = overlay(&found.body, &desired, &SHAPE);
    let answer = session_pool::put(&arm, &azure.pool(), VERSION, &body).await.unwrap();
    assert_eq!(after_put(&answer), Progress::Done);
    let found = session_pool::find(&arm, &azure.pool(), VERSION).await.unwrap().unwrap();
    assert_eq!(compare(&shell_pool(7), &found.body, &SHAPE).differences, []);
    assert_eq!(session_pool::cooldown_seconds(&found.body), Some(300));

    let answer = session_pool::delete(&arm, &azure.pool(), VERSION).await.unwrap();
    assert_eq!(after_delete(&answer), Progress::Done);
    assert!(
        session_pool::find(&arm, &azure.pool(), VERSION)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        session_pool::list(&arm, &azure.group(), VERSION)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_group_goes_with_time() {
    let azure = Emulated::start().await;
    azure.with_pool(2).await;
    let arm = azure.arm();
    assert_eq!(
        resource_group::resources(&arm, &azure.group(), "lifeguard-owner")
            .await
            .unwrap()
            .len(),
        1
    );
    let answer = resource_group::delete(&arm, &azure.group()).await.unwrap();
    assert!(matches!(after_delete(&answer), Progress::Running(Some(_))));
    assert!(azure.emulator.state().clock().advance(Duration::from_hours(1)));
    assert!(resource_group::find(&arm, &azure.group()).await.unwrap().is_none());
    assert!(
        session_pool::find(&arm, &azure.pool(), VERSION)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_token_that_has_expired_is_renewed_without_anybody_noticing() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    resource_group::put(&arm, &azure.group(), &json!({"location": "westus2"}))
        .await
        .unwrap();
    // The service's clock is ahead of ours: what we hold for a good token has expired there.
    assert!(azure.emulator.state().clock().advance(Duration::from_hours(48)));
    assert!(resource_group::find(&arm, &azure.group()).await.unwrap().is_some());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_a_resource() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    resource_group::put(&arm, &azure.group(), &json!({"location": "westus2"}))
        .await
        .unwrap();
    azure.fault("GET", "resourceGroups", 1, json!({"truncateBytes": 20}));
    let error = resource_group::find(&arm, &azure.group()).await.unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Transient, "ConnectionBroken")
    );
}
