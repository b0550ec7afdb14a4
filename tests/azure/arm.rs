//! Azure Resource Manager.

use std::time::Duration;

use lifeguard::azure::AzureError;
use lifeguard::azure::error::ErrorClass;
use lifeguard::azure::operation::{Progress, of_resource};
use lifeguard::azure::resource_group::{self, RESOURCE_GROUP_API_VERSION};
use serde_json::json;

use crate::emulated::{Emulated, GROUP};

const GROUPS: &str = "/resourceGroups/";

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_for_requests_that_may_be_repeated() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    azure.fault(
        "GET",
        GROUPS,
        1,
        json!({"status": 401, "body": {"error": {"code": "ExpiredAuthenticationToken", "message": "m"}}}),
    );
    azure.fault("GET", GROUPS, 1, json!({"status": 200, "body": {"id": "x"}}));
    arm.get(azure.group().as_str(), RESOURCE_GROUP_API_VERSION)
        .await
        .unwrap();
    assert_eq!(azure.requests("POST", "/token").len(), 2);
    let ids: Vec<_> = azure
        .requests("GET", GROUPS)
        .into_iter()
        .map(|request| request.client_request_id)
        .collect();
    assert_eq!(ids.len(), 2);
    assert!(
        ids[0].is_some() && ids[0] != ids[1],
        "every try has an id of its own: {ids:?}"
    );
}

#[tokio::test]
async fn a_401_that_stays_is_tried_twice_and_a_post_or_patch_only_once() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    let path = azure.group().to_string();
    for (method, tries) in [("GET", 2), ("PUT", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)] {
        azure.fault(method, GROUPS, tries + 1, json!({"status": 401}));
        let body = json!({});
        let error = match method {
            "GET" => arm.get(&path, "v").await.map(|_| ()),
            "PUT" => arm.put(&path, "v", &body).await.map(|_| ()),
            "DELETE" => arm.delete(&path, "v").await.map(|_| ()),
            "POST" => arm.post(&path, "v", None).await.map(|_| ()),
            _ => arm.patch(&path, "v", &body).await.map(|_| ()),
        }
        .unwrap_err();
        assert_eq!(error.class(), ErrorClass::Denied, "{method}");
        assert_eq!(
            azure.requests(method, GROUPS).len(),
            usize::try_from(tries).unwrap(),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_throttled_subscription_is_left_alone_until_the_time_that_arm_gave() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    let body = json!({"error": {"code": "SubscriptionRequestsThrottled", "message": "m"}});
    azure.fault(
        "GET",
        GROUPS,
        1,
        json!({"status": 429, "headers": {"Retry-After": "600"}, "body": body}),
    );
    let error = arm.get(azure.group().as_str(), "v").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Throttled(Duration::from_mins(10)));
    for _ in 0..5 {
        let error = arm.get(azure.group().as_str(), "v").await.unwrap_err();
        assert!(
            matches!(error, AzureError::GateClosed { after } if after > Duration::from_secs(500)),
            "{error:?}"
        );
    }
    assert_eq!(azure.requests("GET", GROUPS).len(), 1);
    // Writes have a bucket of their own.
    azure.fault("PUT", GROUPS, 1, json!({"status": 200, "body": {}}));
    arm.put(azure.group().as_str(), "v", &json!({})).await.unwrap();
}

#[tokio::test]
async fn a_429_without_a_pause_closes_the_gate_too() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    azure.fault("GET", GROUPS, 1, json!({"status": 429}));
    assert!(matches!(
        arm.get(azure.group().as_str(), "v").await.unwrap_err().class(),
        ErrorClass::Throttled(_)
    ));
    let error = arm.get(azure.group().as_str(), "v").await.unwrap_err();
    assert!(matches!(error, AzureError::GateClosed { .. }), "{error:?}");
    assert_eq!(azure.requests("GET", GROUPS).len(), 1);
}

#[tokio::test]
async fn an_arm_that_fails_is_asked_once_and_the_failure_is_transient() {
    let azure = Emulated::start().await;
    let arm = azure.arm_over(azure.http.clone().with_longest_call(Duration::from_millis(400)));
    // The token comes before, so that its own faults do not matter here.
    azure.fault("GET", GROUPS, 1, json!({"status": 200, "body": {}}));
    arm.get(azure.group().as_str(), "v").await.unwrap();
    for (action, code) in [
        (
            json!({"status": 500, "body": {"error": {"code": "InternalServerError", "message": "m"}}}),
            "InternalServerError",
        ),
        (json!({"status": 503, "headers": {"Retry-After": "5"}}), "HttpStatus503"),
        (
            json!({"status": 502, "body": "<html><body>Bad Gateway</body></html>"}),
            "HttpStatus502",
        ),
        (
            json!({"status": 200, "body": "<html>portal</html>"}),
            "UnexpectedAnswer",
        ),
        (json!({"reset": true}), "ConnectionBroken"),
        (json!({"dropResponse": true}), "ConnectionBroken"),
        (json!({"delayMilliseconds": 5000}), "DeadlineExceeded"),
    ] {
        azure.emulator.state().journal().clear_requests();
        azure.fault("GET", GROUPS, 1, action.clone());
        let error = arm
            .get(azure.group().as_str(), RESOURCE_GROUP_API_VERSION)
            .await
            .unwrap_err();
        assert_eq!(
            (error.class(), error.code()),
            (ErrorClass::Transient, code),
            "{action}: {error}"
        );
        assert!(azure.requests("GET", GROUPS).len() <= 1, "{action}");
        azure.emulator.state().faults().clear();
    }
}

#[tokio::test]
async fn an_arm_that_cannot_be_reached_is_transient() {
    let azure = Emulated::start().await;
    let tokens = azure.tokens();
    tokens.get(&azure.cloud.resource_manager_scope).await.unwrap();
    let mut cloud = azure.cloud.clone();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    cloud.resource_manager = format!("https://{closed}").parse().unwrap();
    let gate = lifeguard::azure::Gates::default().gate("s", "p", "tests");
    let arm = lifeguard::azure::ArmClient::new(azure.http.clone(), &cloud, tokens, gate);
    let error = arm.get(azure.group().as_str(), "v").await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Transient, "Unreachable"));
}

#[tokio::test]
async fn a_resource_that_is_not_there_is_none_and_an_unknown_subscription_is_an_error() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    let path = azure.group().to_string();
    for code in ["ResourceNotFound", "ResourceGroupNotFound"] {
        azure.fault(
            "GET",
            GROUPS,
            1,
            json!({"status": 404, "body": {"error": {"code": code, "message": "m"}}}),
        );
        assert!(arm.find(&path, "v").await.unwrap().is_none(), "{code}");
    }
    azure.fault(
        "GET",
        GROUPS,
        1,
        json!({"status": 404, "body": {"error": {"code": "SubscriptionNotFound", "message": "m"}}}),
    );
    assert_eq!(arm.find(&path, "v").await.unwrap_err().class(), ErrorClass::Terminal);
}

#[tokio::test]
async fn a_long_running_operation_is_told_by_its_answer() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    let path = azure.group().to_string();
    let headers = json!({"Location": "https://x/op", "Retry-After": "23", "x-ms-request-id": "r-1"});
    azure.fault("DELETE", GROUPS, 1, json!({"status": 202, "headers": headers}));
    let response = arm.delete(&path, "v").await.unwrap();
    assert_eq!(response.retry_after, Some(Duration::from_secs(23)));
    assert_eq!(
        (response.location.as_deref(), response.request_id.as_deref()),
        (Some("https://x/op"), Some("r-1"))
    );

    let body = json!({"properties": {"provisioningState": "InProgress"}});
    let headers = json!({"Azure-AsyncOperation": "https://x/op"});
    azure.fault(
        "PUT",
        GROUPS,
        1,
        json!({"status": 201, "headers": headers, "body": body}),
    );
    let response = arm.put(&path, "v", &json!({})).await.unwrap();
    assert_eq!(of_resource(&response.body, None), Progress::Running(None));
    assert_eq!(response.async_operation.as_deref(), Some("https://x/op"));
}

#[tokio::test]
async fn a_list_is_read_to_its_end_and_never_on_another_host() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    let next = format!(
        "{}/subscriptions/s/resourceGroups/more?api-version=v&$skiptoken=2",
        azure.ready().arm
    );
    azure.fault(
        "GET",
        "/resources",
        1,
        json!({"status": 200, "body": {"value": [1], "nextLink": next}}),
    );
    azure.fault("GET", "skiptoken=2", 1, json!({"status": 200, "body": {"value": [2]}}));
    let path = format!("{}/resources", azure.group());
    assert_eq!(
        arm.list(&path, "v", &[("$top", "1")]).await.unwrap(),
        [json!(1), json!(2)]
    );

    azure.fault(
        "GET",
        "/resources",
        1,
        json!({"status": 200, "body": {"value": [], "nextLink": "https://evil.example/"}}),
    );
    assert!(matches!(
        arm.list(&path, "v", &[]).await,
        Err(AzureError::Unexpected { .. })
    ));
}

#[tokio::test]
async fn a_path_that_is_not_of_a_resource_is_not_sent() {
    let azure = Emulated::start().await;
    let arm = azure.arm();
    for path in [
        "//evil.example/x",
        "/subscriptions/../x",
        "subscriptions/x",
        "/subscriptions/x?y",
    ] {
        let error = arm.get(path, "v").await.unwrap_err();
        assert!(matches!(error, AzureError::InvalidRequest(_)), "{path}");
    }
    assert!(azure.requests("GET", "/").is_empty());
}

#[tokio::test]
async fn the_owner_tag_of_what_a_group_holds_is_read() {
    let azure = Emulated::start().await;
    let items = json!({"value": [{"id": "/a", "tags": {"lifeguard-owner": "me"}}, {"id": "/b"}]});
    azure.fault(
        "GET",
        &format!("{GROUP}/resources"),
        1,
        json!({"status": 200, "body": items}),
    );
    let held = resource_group::resources(&azure.arm(), &azure.group(), "lifeguard-owner")
        .await
        .unwrap();
    let tags: Vec<_> = held.iter().map(|resource| resource.owner_tag.as_deref()).collect();
    assert_eq!(tags, [Some("me"), None]);
}
