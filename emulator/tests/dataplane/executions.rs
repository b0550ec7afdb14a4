//! `/executions`.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::{Azure, VERSION, send};

#[tokio::test]
async fn a_command_answers_with_its_exit_code_as_a_string() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let answer = pool
        .post("session-1", json!({ "shellCommand": "echo out; echo err >&2; exit 7" }))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.body["status"], "7");
    assert_eq!(answer.body["identifier"], "session-1");
    assert_eq!(answer.body["result"]["stdout"], "out\n");
    assert_eq!(answer.body["result"]["stderr"], "err\n");
    assert!(answer.body["result"]["executionTimeInMilliseconds"].is_u64());
    assert!(answer.body.get("exitCode").is_none());
    assert_eq!(answer.headers["operation-id"], *answer.body["id"].as_str().unwrap());
}

#[tokio::test]
async fn the_forms_of_body_that_live_pools_take_are_taken() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    for body in [
        json!({ "shellCommand": "echo hi" }),
        json!({ "shellCommand": "echo hi", "timeoutInSeconds": 30 }),
        json!({ "execCommandAndArgs": ["echo", "hi"] }),
        json!({ "ShellCommand": "echo hi", "unknown": true }),
    ] {
        let answer = pool.post("session-1", body.clone()).await;
        assert_eq!(
            (answer.body["status"].as_str(), answer.body["result"]["stdout"].as_str()),
            (Some("0"), Some("hi\n")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_tutorial_s_body_is_refused_by_naming_its_fields_and_runs_nothing() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let body = json!({ "codeInputType": "inline", "executionType": "synchronous", "shellCommand": "echo hi", "timeoutInSeconds": 600 });
    let answer = pool.post("session-1", body.clone()).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::BAD_REQUEST, "InvalidRequestBody")
    );
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("codeInputType") && message.contains("executionType"),
        "{message}"
    );
    assert!(azure.executions().await.is_empty());

    let tutorial = json!({ "rejectedShellFields": [], "requiredShellFields": ["codeInputType", "executionType"] });
    azure.switch(json!({ "sessions": tutorial })).await;
    assert_eq!(pool.post("session-1", body).await.body["status"], "0");
    let answer = pool.post("session-1", json!({ "shellCommand": "echo hi" })).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_without_one_command_is_refused() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    for body in [
        json!({}),
        json!([]),
        json!({ "shellCommand": "" }),
        json!({ "shellCommand": 1 }),
        json!({ "execCommandAndArgs": [] }),
        json!({ "execCommandAndArgs": "echo" }),
        json!({ "shellCommand": "true", "execCommandAndArgs": ["true"] }),
        json!({ "shellCommand": "true", "timeoutInSeconds": 0 }),
        json!({ "code": "print(1)" }),
    ] {
        let answer = pool.post("session-1", body.clone()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "InvalidRequestBody"),
            "{body}"
        );
    }
    assert!(azure.executions().await.is_empty());
}

#[tokio::test]
async fn streams_are_cut_at_4096_bytes_without_a_sign() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let text = "head -c 5000 /dev/zero | tr '\\0' x; head -c 4097 /dev/zero | tr '\\0' y >&2";
    let answer = pool.post("session-1", json!({ "shellCommand": text })).await;
    assert_eq!(answer.body["status"], "0");
    assert_eq!(answer.body["result"]["stdout"].as_str().unwrap(), "x".repeat(4096));
    assert_eq!(answer.body["result"]["stderr"].as_str().unwrap(), "y".repeat(4096));
}

#[tokio::test]
async fn a_lost_write_takes_the_last_one_of_stdout() {
    let azure = Azure::start(json!({ "lostWriteProbability": 1 })).await;
    let pool = azure.shell_pool().await;
    assert_eq!(pool.shell("session-1", "printf one; printf two").await, "one");
    assert_eq!(pool.shell("session-1", "printf frame; echo").await, "frame");
}

#[tokio::test]
async fn a_command_of_64_kb_runs_and_one_beyond_an_argument_s_length_does_not() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let text = |length: usize| format!("echo ran; : {}", "x".repeat(length - 13));
    assert_eq!(pool.shell("session-1", &text(64 * 1024)).await, "ran\n");
    let answer = pool
        .post("session-1", json!({ "shellCommand": text(132 * 1024) }))
        .await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::BAD_REQUEST, "CommandStartError")
    );
}

#[tokio::test]
async fn a_command_is_killed_at_the_timeout_that_its_caller_asked_for() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let body = json!({ "shellCommand": "echo started; sleep 1000", "timeoutInSeconds": 1 });
    let answer = pool.post("session-1", body).await;
    assert_eq!(answer.body["status"], "-1");
    assert_eq!(answer.body["result"]["stdout"], "started\n");
}

#[tokio::test]
async fn the_image_s_answer_has_a_word_and_a_number() {
    let azure = Azure::start(json!({ "shellResponse": "Image" })).await;
    let pool = azure.shell_pool().await;
    let run = async |text: &str| {
        pool.post("session-1", json!({ "shellCommand": text, "timeoutInSeconds": 1 }))
            .await
            .body
    };
    let summary = |body: &Value| {
        (
            body["status"].clone(),
            body["exitCode"].clone(),
            body["errorName"].clone(),
        )
    };
    assert_eq!(summary(&run("true").await), (json!("Succeeded"), json!(0), Value::Null));
    assert_eq!(summary(&run("exit 3").await), (json!("Failed"), json!(3), Value::Null));
    assert_eq!(
        summary(&run("sleep 1000").await),
        (json!("Failed"), json!(-1), json!("ExecutionTimeout"))
    );
    let longer = format!(": {}", "x".repeat(132 * 1024));
    assert_eq!(
        summary(&run(&longer).await),
        (json!("Failed"), json!(-1), json!("CommandStartError"))
    );
}

#[tokio::test]
async fn beyond_the_synchronous_limit_there_is_no_answer_and_the_command_goes_on() {
    let azure = Azure::start(json!({ "synchronousLimitSeconds": 0.5 })).await;
    let pool = azure.shell_pool().await;
    let text = "while [ ! -e go ]; do sleep 0.01; done; echo went >done; exit 5";
    let request = pool
        .request(Method::POST, "executions", "session-1", VERSION)
        .json(&json!({ "shellCommand": text }));
    let error = request.send().await.unwrap_err();
    assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
    assert!(azure.executions().await.is_empty());
    pool.shell("session-1", "touch go; while [ ! -e done ]; do sleep 0.01; done")
        .await;
    let ended = executed(&azure, "while [ ! -e go ]").await;
    assert_eq!(ended["exitCode"], 5);
}

#[tokio::test]
async fn a_command_goes_on_when_its_caller_hangs_up() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    pool.shell("session-1", "true").await;
    let text = "touch up; while [ ! -e go ]; do sleep 0.01; done; exit 6";
    let request = pool
        .request(Method::POST, "executions", "session-1", VERSION)
        .json(&json!({ "shellCommand": text }));
    let call = tokio::spawn(request.send());
    pool.shell("session-1", "while [ ! -e up ]; do sleep 0.01; done").await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    pool.shell("session-1", "touch go").await;
    assert_eq!(executed(&azure, "touch up").await["exitCode"], 6);
}

#[tokio::test]
async fn executions_of_one_session_run_at_the_same_time() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let waiting = pool.shell(
        "session-1",
        "touch first; while [ ! -e second ]; do sleep 0.01; done; echo met",
    );
    let other = pool.shell(
        "session-1",
        "while [ ! -e first ]; do sleep 0.01; done; touch second; echo met",
    );
    assert_eq!(tokio::join!(waiting, other), ("met\n".to_owned(), "met\n".to_owned()));
}

#[tokio::test]
async fn an_asynchronous_execution_is_polled_where_its_answer_says() {
    let azure = Azure::start(json!({ "rejectedShellFields": [] })).await;
    let pool = azure.shell_pool().await;
    let body =
        json!({ "shellCommand": "while [ ! -e go ]; do sleep 0.01; done; exit 4", "executionType": "asynchronous" });
    let started = pool.post("session-1", body).await;
    assert_eq!(
        (started.status, started.body["status"].as_str()),
        (StatusCode::ACCEPTED, Some("Running"))
    );
    let location = started.headers["operation-location"].to_str().unwrap().to_owned();
    let poll = async || send(azure.client.get(&location).bearer_auth(&azure.token)).await;
    assert_eq!(poll().await.body["status"], "Running");
    pool.shell("session-1", "touch go").await;
    executed(&azure, "while [ ! -e go ]").await;
    let ended = poll().await;
    assert_eq!(
        (ended.status, ended.body["status"].as_str()),
        (StatusCode::OK, Some("4"))
    );
    let unknown = pool.get("executions/unknown", "session-1").await;
    assert_eq!((unknown.status, unknown.code()), (StatusCode::NOT_FOUND, "NotFound"));
}

#[tokio::test]
async fn the_journal_has_every_execution_that_ran() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    pool.post("session-1", json!({ "shellCommand": "exit 3" })).await;
    let journal = azure.executions().await;
    assert_eq!(journal.len(), 1);
    assert_eq!(journal[0]["pool"], pool.id);
    assert_eq!(
        (&journal[0]["identifier"], &journal[0]["text"], &journal[0]["exitCode"]),
        (&json!("session-1"), &json!("exit 3"), &json!(3))
    );
    assert!(journal[0]["start"].as_str().unwrap() <= journal[0]["end"].as_str().unwrap());
}

#[tokio::test]
async fn a_dropped_response_leaves_the_command_done() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let fault = json!({ "match": { "method": "POST", "path": "/executions" }, "action": { "dropResponse": true } });
    let armed = send(
        azure
            .client
            .post(format!("{}/_emulator/faults", azure.root()))
            .json(&fault),
    )
    .await;
    assert_eq!(armed.status, StatusCode::CREATED);
    let body = json!({ "shellCommand": "echo once >>count" });
    let lost = pool
        .request(Method::POST, "executions", "session-1", VERSION)
        .json(&body)
        .send()
        .await;
    assert!(lost.is_err());
    assert_eq!(pool.shell("session-1", "cat count").await, "once\n");
}

#[tokio::test]
async fn shell_pools_never_had_the_older_path() {
    let azure = Azure::start(json!({})).await;
    let shell = azure.shell_pool().await;
    let body = json!({ "shellCommand": "true" });
    let older = shell.request(Method::POST, "code/execute", "session-1", "2024-02-02-preview");
    assert_eq!(send(older.json(&body)).await.status, StatusCode::BAD_REQUEST);
}

/// The journal's entry of the execution whose text starts so, once it has ended.
async fn executed(azure: &Azure, text: &str) -> Value {
    for _ in 0..3000 {
        let entries = azure.executions().await;
        if let Some(entry) = entries
            .into_iter()
            .find(|entry| entry["text"].as_str().unwrap().starts_with(text))
        {
            return entry;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{text} did not end");
}
