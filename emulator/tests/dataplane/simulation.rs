//! Executions that no process runs.

use futures::{StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::json;

use crate::endpoint::Azure;

/// Jobs of the test of load.
const JOBS: u64 = 2000;

#[tokio::test]
async fn a_simulated_session_answers_from_templates_and_keeps_its_files() {
    let azure = Azure::start(json!({ "simulatedExecution": { "milliseconds": 1, "responders": [{
        "pattern": r"ticket=(?<ticket>[a-z0-9]+)\.sh nonce=(?<nonce>[0-9]+)",
        "file": "${ticket}.sh",
        "filePattern": "echo (?<word>[a-z]+)",
        "stdout": "START ${nonce} ${word} END ${nonce}\n",
        "exitCode": 0,
    }, { "pattern": "ticket", "stdout": "replaced\n", "exitCode": 75 }] } }))
    .await;
    let pool = azure.shell_pool().await;
    let run = async || {
        pool.post("session-1", json!({ "shellCommand": "ticket=abc.sh nonce=42" }))
            .await
            .body
    };
    let absent = run().await;
    assert_eq!(
        (&absent["status"], &absent["result"]["stdout"]),
        (&json!("75"), &json!("replaced\n"))
    );
    pool.upload("session-1", "", "abc.sh", b"echo hello".to_vec()).await;
    let ran = run().await;
    assert_eq!(
        (&ran["status"], &ran["result"]["stdout"]),
        (&json!("0"), &json!("START 42 hello END 42\n"))
    );
    assert_eq!(azure.executions().await.len(), 2);
    assert_eq!(pool.delete("session", "session-1").await.status, 204);
    assert_eq!(run().await["result"]["stdout"], "replaced\n");
}

#[tokio::test]
async fn code_is_answered_from_templates_too() {
    let responders =
        json!([{ "pattern": "wrong", "stderr": "Error\n", "exitCode": 1 }, { "pattern": "", "stdout": "fine\n" }]);
    let azure = Azure::start(json!({ "simulatedExecution": { "responders": responders } })).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let ran = pool.post("session-1", json!({ "code": "right" })).await.body;
    assert_eq!(
        (&ran["status"], &ran["result"]["stdout"]),
        (&json!("Succeeded"), &json!("fine\n"))
    );
    let ran = pool.post("session-1", json!({ "code": "wrong" })).await.body;
    assert_eq!(
        (&ran["status"], &ran["result"]["stderr"]),
        (&json!("Failed"), &json!("Error\n"))
    );
}

#[tokio::test]
async fn a_session_stays_what_it_was_when_it_was_allocated() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    pool.shell("session-1", "touch f").await;
    azure
        .switch(json!({ "sessions": { "simulatedExecution": { "responders": [] } } }))
        .await;
    assert_eq!(pool.shell("session-1", "ls").await, "f\n");
    assert_eq!(pool.shell("session-2", "ls /").await, "");
    azure
        .switch(json!({ "sessions": { "simulatedExecution": null } }))
        .await;
    assert_eq!(pool.shell("session-2", "ls /").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_jobs_wait_for_fifty_sessions_and_leave_none() {
    let azure = Azure::start(json!({ "simulatedExecution": { "milliseconds": 1, "allocationMilliseconds": 1 } })).await;
    let maximum = json!({ "scaleConfiguration": { "maxConcurrentSessions": 50 } });
    let pool = azure.pool("shell", "Shell", maximum).await;
    let run = async |number: u64| {
        let identifier = format!("job-{number}");
        let mut refusals = 0;
        loop {
            let answer = pool.post(&identifier, json!({ "shellCommand": "true" })).await;
            if answer.status == StatusCode::ACCEPTED {
                break;
            }
            assert_eq!(answer.code(), "NotFound");
            refusals += 1;
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        let deleted = pool.delete("session", &identifier).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
        refusals
    };
    let refused: u64 = stream::iter(0..JOBS)
        .map(run)
        .buffer_unordered(64)
        .collect::<Vec<_>>()
        .await
        .iter()
        .sum();
    let journal = azure.allocations(&pool.id).await;
    let total = &journal["pools"][0];
    let figures = ["allocated", "executions", "billedHours", "live", "refused"];
    assert_eq!(
        figures.map(|name| total[name].as_u64().unwrap()),
        [JOBS, JOBS, JOBS, 0, refused]
    );
    assert!((1..=50).contains(&total["peak"].as_u64().unwrap()), "{total}");
}

#[tokio::test]
async fn a_simulated_execution_ends_with_its_session() {
    let azure = Azure::start(json!({ "simulatedExecution": { "milliseconds": 1_000_000 } })).await;
    let pool = azure.shell_pool().await;
    let crash = async {
        while pool.get("session", "session-1").await.status != StatusCode::OK {}
        azure.crash(&pool.id, "session-1").await;
    };
    let (answer, ()) = tokio::join!(pool.post("session-1", json!({ "shellCommand": "true" })), crash);
    assert_eq!(answer.code(), "SessionTerminated");
}
