//! Executions that no process runs.

use serde_json::json;

use crate::endpoint::Azure;

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
