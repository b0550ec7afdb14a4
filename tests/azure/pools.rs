//! Groups and pools from their making to their end.

use std::time::Duration;

use lifeguard::azure::comparison::compare;
use lifeguard::azure::error::ErrorClass;
use lifeguard::azure::operation::{Progress, of_resource};
use lifeguard::azure::overlay::overlay;
use lifeguard::azure::provider::{self, RegistrationState};
use lifeguard::azure::resource_group::RESOURCE_GROUP_API_VERSION;
use lifeguard::azure::session_pool::{self, PoolApiVersion, SESSION_POOL_TYPE};
use lifeguard::azure::{resource_group, session_pool::SHAPE};
use serde_json::json;

use crate::emulated::{Emulated, shell_pool};

const VERSION: PoolApiVersion = PoolApiVersion::V2025_10_02Preview;

#[tokio::test]
async fn a_subscription_that_is_not_registered_is_registered_and_then_may() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    let subscription = azure.ready().subscription_id.clone();
    azure.with_group().await;
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
    let error = arm
        .put(azure.pool().as_str(), VERSION.as_str(), &shell_pool(2))
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
    arm.put(azure.pool().as_str(), VERSION.as_str(), &shell_pool(2))
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
    let answer = arm.put(azure.pool().as_str(), VERSION.as_str(), &body).await.unwrap();
    assert_eq!(of_resource(&answer.body, None), Progress::Done);
    let found = session_pool::find(&arm, &azure.pool(), VERSION).await.unwrap().unwrap();
    assert_eq!(compare(&shell_pool(7), &found.body, &SHAPE).differences, []);
    assert_eq!(session_pool::cooldown_seconds(&found.body), Some(300));

    let answer = arm.delete(azure.pool().as_str(), VERSION.as_str()).await.unwrap();
    assert_eq!(answer.retry_after, None);
    assert!(
        session_pool::find(&arm, &azure.pool(), VERSION)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        arm.list(
            &format!("{}/providers/{SESSION_POOL_TYPE}", azure.group()),
            VERSION.as_str(),
            &[]
        )
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
    let answer = arm
        .delete(azure.group().as_str(), RESOURCE_GROUP_API_VERSION)
        .await
        .unwrap();
    assert!(answer.status.as_u16() == 202 && answer.retry_after.is_some());
    assert!(azure.emulator.state().clock().advance(Duration::from_hours(1)));
    assert!(
        arm.find(azure.group().as_str(), RESOURCE_GROUP_API_VERSION)
            .await
            .unwrap()
            .is_none()
    );
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
    azure.with_group().await;
    // The service's clock is ahead of ours: what we hold for a good token has expired there.
    assert!(azure.emulator.state().clock().advance(Duration::from_hours(48)));
    assert!(
        arm.find(azure.group().as_str(), RESOURCE_GROUP_API_VERSION)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_a_resource() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    azure.with_group().await;
    azure.fault("GET", "resourceGroups", 1, json!({"truncateBytes": 20}));
    let error = arm
        .find(azure.group().as_str(), RESOURCE_GROUP_API_VERSION)
        .await
        .unwrap_err();
    assert_eq!(
        (error.class(), error.code()),
        (ErrorClass::Transient, "ConnectionBroken")
    );
}
