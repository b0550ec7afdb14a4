//! How many sessions a pool gives, how long one takes, and what those hear who get none.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::{Answer, Azure, Pool, VERSION, send};

fn identifiers(sessions: &Value) -> Vec<&str> {
    let sessions = sessions["sessions"].as_array().unwrap();
    sessions.iter().map(|it| it["identifier"].as_str().unwrap()).collect()
}

async fn fill(pool: &Pool<'_>) {
    for number in 1..=3 {
        pool.shell(&format!("session-{number}"), "true").await;
    }
}

async fn run(pool: &Pool<'_>, identifier: &str) -> Answer {
    pool.post(identifier, json!({ "shellCommand": "true" })).await
}

/// One of each kind of request that gives a new identifier its session.
async fn newcomers(pool: &Pool<'_>) -> Vec<Answer> {
    vec![
        run(pool, "session-4").await,
        pool.get("executions/1", "session-4").await,
        pool.upload("session-4", "", "f", b"x".to_vec()).await,
        pool.get("files", "session-4").await,
        pool.get("files/f", "session-4").await,
        pool.get("files/f/content", "session-4").await,
        pool.delete("files/f", "session-4").await,
    ]
}

#[tokio::test]
async fn a_full_pool_refuses_every_request_that_needs_a_session_in_each_of_its_forms() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let pool = azure.shell_pool().await;
    fill(&pool).await;
    for (switches, status, code, retry_after) in [
        (json!({}), 404, "NotFound", None),
        (
            json!({ "exhaustion": "TooManyRequests" }),
            429,
            "TooManyRequests",
            Some("5"),
        ),
        (
            json!({ "exhaustionRetryAfterSeconds": 7 }),
            429,
            "TooManyRequests",
            Some("7"),
        ),
        (
            json!({ "exhaustionRetryAfterSeconds": 0 }),
            429,
            "TooManyRequests",
            None,
        ),
        (
            json!({ "exhaustion": "InternalServerError" }),
            500,
            "InternalServerError",
            None,
        ),
    ] {
        azure.switch(json!({ "sessions": switches })).await;
        for answer in newcomers(&pool).await {
            assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{switches}");
            let message = answer.body["error"]["message"].as_str().unwrap();
            assert!(message.starts_with("No more sessions can be allocated"), "{message}");
            let header = answer.headers.get("retry-after").map(|it| it.to_str().unwrap());
            assert_eq!(header, retry_after, "{switches}");
        }
    }
    assert_eq!(
        run(&pool, "session-3").await.status,
        StatusCode::ACCEPTED,
        "it has its session"
    );
    assert_eq!(pool.get("session", "session-4").await.code(), "SessionNotFound");
    assert_eq!(azure.allocations(&pool.id).await["pools"][0]["refused"], 5 * 7);
}

#[tokio::test]
async fn a_full_pool_has_room_again_when_a_session_ends_and_the_others_cool_down() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    fill(&pool).await;
    assert_eq!(run(&pool, "session-4").await.status, StatusCode::NOT_FOUND);
    assert_eq!(pool.delete("session", "session-2").await.status, StatusCode::NO_CONTENT);
    assert_eq!(pool.shell("session-4", "echo in").await, "in\n");
    assert_eq!(run(&pool, "session-5").await.status, StatusCode::NOT_FOUND);
    azure.advance(301).await;
    for number in 5..=7 {
        assert_eq!(pool.shell(&format!("session-{number}"), "echo in").await, "in\n");
    }
}

#[tokio::test]
async fn files_hold_a_place_as_commands_do() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let pool = azure.shell_pool().await;
    assert_eq!(
        pool.upload("session-1", "", "f", b"x".to_vec()).await.status,
        StatusCode::OK
    );
    assert_eq!(pool.get("files", "session-2").await.status, StatusCode::OK);
    assert_eq!(
        pool.get("executions/1", "session-3").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(run(&pool, "session-4").await.status, StatusCode::NOT_FOUND);
    assert_eq!(azure.allocations(&pool.id).await["pools"][0]["live"], 3);
}

#[tokio::test]
async fn a_place_stays_taken_while_its_session_is_released() {
    let azure = Azure::start(json!({ "simulatedExecution": {}, "releaseSeconds": 60 })).await;
    let pool = azure.shell_pool().await;
    fill(&pool).await;
    pool.delete("session", "session-1").await;
    let listed = pool.get("listSessions", "").await.body;
    assert_eq!(identifiers(&listed), ["session-2", "session-3"]);
    assert_eq!(run(&pool, "session-4").await.status, StatusCode::NOT_FOUND);
    azure.advance(61).await;
    assert_eq!(run(&pool, "session-4").await.status, StatusCode::ACCEPTED);

    // Those that cool down are released from the moment at which they do.
    for identifier in ["session-2", "session-3"] {
        run(&pool, identifier).await;
    }
    azure.advance(310).await;
    assert_eq!(run(&pool, "session-5").await.status, StatusCode::NOT_FOUND);
    azure.advance(51).await;
    assert_eq!(run(&pool, "session-5").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn places_can_be_taken_that_no_list_shows() {
    let azure = Azure::start(json!({ "simulatedExecution": {}, "unlistedSessions": 2 })).await;
    let pool = azure.shell_pool().await;
    assert_eq!(run(&pool, "session-1").await.status, StatusCode::ACCEPTED);
    assert_eq!(run(&pool, "session-2").await.status, StatusCode::NOT_FOUND);
    assert_eq!(identifiers(&pool.get("listSessions", "").await.body), ["session-1"]);
    azure.switch(json!({ "sessions": { "unlistedSessions": 0 } })).await;
    assert_eq!(run(&pool, "session-2").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_new_session_takes_a_time_for_which_all_its_first_requests_wait() {
    let azure = Azure::start(json!({ "allocationSeconds": 1000, "allocationHeaders": true })).await;
    let pool = azure.shell_pool().await;
    let moved = async {
        while identifiers(&pool.get("listSessions", "").await.body).is_empty() {}
        azure.advance(1000).await;
    };
    let (one, two, file, ()) = tokio::join!(
        run(&pool, "session-1"),
        run(&pool, "session-1"),
        pool.upload("session-1", "", "f", b"x".to_vec()),
        moved
    );
    assert_eq!(file.status, StatusCode::OK);
    let journal = azure.allocations(&pool.id).await;
    assert_eq!(journal["sessions"].as_array().unwrap().len(), 1, "{journal}");
    let later = run(&pool, "session-1").await;
    let mut news = 0;
    for answer in [&one, &two, &later] {
        assert_eq!(answer.body["status"], "0");
        assert_eq!(
            answer.headers["x-ms-session-guid"],
            journal["sessions"][0]["etag"].as_str().unwrap()
        );
        let took: f64 = answer.headers["x-ms-allocation-time"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let is_new = answer.headers["x-ms-new-allocation"] == "true";
        assert_eq!(took >= 1_000_000.0, is_new, "{took}");
        news += usize::from(is_new);
    }
    assert!(news <= 1, "the upload or one of the two");
    assert_eq!(later.headers["x-ms-allocation-time"], "0");
}

#[tokio::test]
async fn answers_of_shell_pools_have_no_header_about_their_session_by_default() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let answer = run(&pool, "session-1").await;
    let names = answer.headers.keys().map(|name| name.as_str());
    assert_eq!(names.filter(|name| name.starts_with("x-ms-")).count(), 0);
}

#[tokio::test]
async fn a_session_that_is_deleted_while_it_is_allocated_runs_nothing() {
    let azure = Azure::start(json!({ "allocationSeconds": 1000 })).await;
    let pool = azure.shell_pool().await;
    let deleted = async {
        while pool.delete("session", "session-1").await.status != StatusCode::NO_CONTENT {}
        azure.advance(1000).await;
    };
    let (answer, ()) = tokio::join!(run(&pool, "session-1"), deleted);
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::INTERNAL_SERVER_ERROR, "SessionTerminated")
    );
    let journal = azure.allocations(&pool.id).await;
    assert_eq!(journal["pools"][0]["live"], 0);
}

#[tokio::test]
async fn a_maximum_that_is_lowered_ends_no_session_and_gives_none() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let pool = azure.shell_pool().await;
    fill(&pool).await;
    let smaller = json!({ "properties": { "scaleConfiguration": { "maxConcurrentSessions": 2 } } });
    let patched = azure
        .arm(Method::PATCH, &pool.id, "2025-10-02-preview", Some(smaller))
        .await;
    assert!(patched.status.is_success(), "{:?}", patched.body);
    assert_eq!(run(&pool, "session-3").await.status, StatusCode::ACCEPTED);
    pool.delete("session", "session-1").await;
    assert_eq!(run(&pool, "session-4").await.status, StatusCode::NOT_FOUND);
    pool.delete("session", "session-2").await;
    assert_eq!(run(&pool, "session-4").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn sessions_of_all_callers_count_together() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let pool = azure.shell_pool().await;
    let url = format!("{}/_emulator/applications", azure.root());
    let body = json!({ "roleAssignments": [{
        "scope": pool.id, "roleDefinitionId": "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0",
    }] });
    let stranger = send(azure.client.post(url).json(&body)).await.body;
    let ready = azure.emulator.ready();
    let token = crate::endpoint::token(
        &azure.client,
        &ready.authority,
        &ready.tenant_id,
        stranger["clientId"].as_str().unwrap(),
        stranger["clientSecret"].as_str().unwrap(),
        "https://dynamicsessions.io",
    )
    .await;
    for number in 1..=3 {
        let url = format!(
            "{}/executions?api-version={VERSION}&identifier=foreign-{number}",
            pool.endpoint
        );
        let request = azure.client.post(url).bearer_auth(&token);
        let answer = send(request.json(&json!({ "shellCommand": "true" }))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    }
    assert_eq!(run(&pool, "session-1").await.status, StatusCode::NOT_FOUND);
    let listed = pool.get("listSessions", "").await.body;
    assert_eq!(identifiers(&listed), ["foreign-1", "foreign-2", "foreign-3"]);
}
