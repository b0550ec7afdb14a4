//! How sessions come, are seen, and go.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::{Azure, Pool, VERSION, send};

async fn etag(pool: &Pool<'_>, identifier: &str) -> Option<String> {
    let answer = pool.get("session", identifier).await;
    answer.body["etag"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn the_first_request_with_an_identifier_allocates_its_session() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let unknown = pool.get("session", "session-1").await;
    assert_eq!(
        (unknown.status, unknown.code()),
        (StatusCode::NOT_FOUND, "SessionNotFound")
    );
    pool.upload("session-1", "", "f", b"x".to_vec()).await;
    let session = pool.get("session", "session-1").await.body;
    assert_eq!(session["identifier"], "session-1");
    for member in ["createdAt", "lastAccessedAt", "expireAt", "etag"] {
        assert!(session[member].is_string(), "{member}: {session}");
    }
}

#[tokio::test]
async fn sessions_are_listed_a_page_at_a_time() {
    let azure = Azure::start(json!({ "simulatedExecution": {}, "pageSize": 2 })).await;
    let pool = azure
        .pool(
            "shell",
            "Shell",
            json!({ "scaleConfiguration": { "maxConcurrentSessions": 5 } }),
        )
        .await;
    let names: Vec<String> = (1..=5).map(|number| format!("session-{number}")).collect();
    for name in &names {
        pool.shell(name, "true").await;
    }
    let mut next = Some(format!("{}/listSessions?api-version={VERSION}", pool.endpoint));
    let mut pages = Vec::new();
    while let Some(url) = next {
        let page = send(azure.client.get(url).bearer_auth(&azure.token)).await.body;
        let sessions = page["sessions"].as_array().unwrap();
        pages.push(
            sessions
                .iter()
                .map(|it| it["identifier"].clone())
                .collect::<Vec<Value>>(),
        );
        next = page["nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(pages.concat(), names, "oldest first");

    let url = format!("{}/listSessions?api-version={VERSION}&skip=", pool.endpoint);
    let beyond = send(azure.client.get(format!("{url}5")).bearer_auth(&azure.token)).await;
    assert_eq!(beyond.body, json!({ "sessions": [] }));
    let wrong = send(azure.client.get(format!("{url}x")).bearer_auth(&azure.token)).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::BAD_REQUEST, "InvalidSkip"));
}

#[tokio::test]
async fn a_deleted_session_is_gone_with_its_processes_and_its_place_is_free() {
    let azure = Azure::start(json!({})).await;
    let pool = azure
        .pool(
            "shell",
            "Shell",
            json!({ "scaleConfiguration": { "maxConcurrentSessions": 1 } }),
        )
        .await;
    pool.shell("session-1", "echo kept >f; setsid -f sleep 1000").await;
    let before = etag(&pool, "session-1").await;
    assert_eq!(pool.delete("session", "session-1").await.status, StatusCode::NO_CONTENT);
    assert_eq!(pool.delete("session", "session-1").await.status, StatusCode::NOT_FOUND);
    assert_eq!(pool.shell("session-2", "ls; pgrep -x sleep | wc -l").await, "1\n");
    assert_eq!(pool.delete("session", "session-2").await.status, StatusCode::NO_CONTENT);
    assert_eq!(pool.shell("session-1", "ls").await, "");
    assert_ne!(etag(&pool, "session-1").await, before);
}

#[tokio::test]
async fn a_session_cools_down_by_the_clock_and_any_request_warms_it() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    pool.shell("session-1", "touch f").await;
    let before = etag(&pool, "session-1").await;
    for path in ["session", "files", "files/f"] {
        azure.advance(290).await;
        assert_eq!(pool.get(path, "session-1").await.status, StatusCode::OK, "{path}");
    }
    azure.advance(290).await;
    assert_eq!(pool.shell("session-1", "ls").await, "f\n");
    azure.advance(301).await;
    assert_eq!(pool.get("session", "session-1").await.status, StatusCode::NOT_FOUND);
    assert_eq!(pool.shell("session-1", "ls").await, "");
    assert_ne!(etag(&pool, "session-1").await, before);
}

#[tokio::test]
async fn a_session_does_not_cool_down_while_a_request_uses_it() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let call = pool.shell(
        "session-1",
        "touch up; while [ ! -e go ]; do sleep 0.01; done; echo went",
    );
    let other = async {
        while pool.get("files/up", "session-1").await.status != StatusCode::OK {}
        azure.advance(1000).await;
        pool.shell("session-1", "touch go").await
    };
    assert_eq!(tokio::join!(call, other).0, "went\n");
}

#[tokio::test]
async fn a_crashed_session_is_silently_another() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    pool.shell("session-1", "touch f").await;
    let before = etag(&pool, "session-1").await;
    azure.crash(&pool.id, "session-1").await;
    assert_eq!(pool.shell("session-1", "ls").await, "");
    assert_ne!(etag(&pool, "session-1").await, before);
}

#[tokio::test]
async fn a_call_whose_session_crashes_ends_with_an_error() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let call = pool.post("session-1", json!({ "shellCommand": "touch up; sleep 1000" }));
    let crash = async {
        while pool.get("files/up", "session-1").await.status != StatusCode::OK {}
        azure.crash(&pool.id, "session-1").await;
    };
    let (answer, ()) = tokio::join!(call, crash);
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::INTERNAL_SERVER_ERROR, "SessionTerminated")
    );
    assert_eq!(azure.executions().await[0]["exitCode"], Value::Null);
}

#[tokio::test]
async fn a_replaced_session_is_another_at_once_and_keeps_its_place() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    for number in 1..=3 {
        pool.shell(&format!("session-{number}"), "touch f; setsid -f sleep 1000")
            .await;
    }
    let running = pool.post("session-1", json!({ "shellCommand": "touch up; sleep 1000" }));
    let before = etag(&pool, "session-1").await;
    let other = etag(&pool, "session-2").await;
    let replaced = async {
        while pool.get("files/up", "session-1").await.status != StatusCode::OK {}
        azure.replace(&pool.id, "session-1").await;
    };
    let (answer, ()) = tokio::join!(running, replaced);
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::INTERNAL_SERVER_ERROR, "SessionTerminated")
    );
    let after = etag(&pool, "session-1").await;
    assert!(after.is_some() && after != before);
    let left = pool.shell("session-1", "ls; pgrep -x sleep | wc -l").await;
    assert_eq!(left, "1\n", "what every session has, and no file");
    assert_eq!(etag(&pool, "session-1").await, after);
    assert_eq!(etag(&pool, "session-2").await, other);
    let full = pool.post("session-4", json!({ "shellCommand": "true" })).await;
    assert_eq!(full.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_times_of_a_session_go_by_the_clock() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let pool = azure.shell_pool().await;
    let times = async |path: &str| {
        let answer = pool.get(path, "session-1").await.body;
        let session = answer["sessions"].get(0).unwrap_or(&answer).clone();
        ["createdAt", "lastAccessedAt", "expireAt"]
            .map(|name| session[name].as_str().unwrap().parse::<Timestamp>().unwrap())
    };
    pool.shell("session-1", "true").await;
    let [created, accessed, expires] = times("listSessions").await;
    assert!(created <= accessed);
    assert_eq!(expires.duration_since(accessed).as_secs(), 300);
    azure.advance(200).await;
    assert_eq!(
        times("listSessions").await,
        [created, accessed, expires],
        "a list warms nothing"
    );
    let [same, accessed_again, expires_later] = times("session").await;
    assert_eq!(same, created);
    assert!(accessed_again.duration_since(accessed).as_secs() >= 200);
    assert_eq!(expires_later.duration_since(accessed_again).as_secs(), 300);
}

#[tokio::test]
async fn sessions_end_with_their_pool() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    pool.shell("session-1", "touch f").await;
    let deleted = azure.arm(Method::DELETE, &pool.id, "2025-10-02-preview", None).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    let gone = pool.post("session-1", json!({ "shellCommand": "true" })).await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "NotFound"));
    let again = azure.shell_pool().await;
    assert_eq!(again.shell("session-1", "ls").await, "");
}

#[tokio::test]
async fn metadata_says_what_runs() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let url = format!("{}/metadata?api-version={VERSION}", pool.endpoint);
    let answer = send(azure.client.get(url).bearer_auth(&azure.token)).await;
    assert_eq!(answer.body["runtimes"][0]["name"], "Shell");
}
