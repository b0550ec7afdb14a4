//! Executions of Python and Node pools, in both families of API versions.

use std::time::Duration;

use base64::Engine as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::{Answer, Azure, Pool, send};

const OLDER: &str = "2024-02-02-preview";
const NEWER: &str = "2024-10-02-preview";
const NEWEST: &str = "2025-10-02-preview";

impl Pool<'_> {
    async fn execute(&self, version: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, "executions", "session-1", version);
        send(request.json(&body)).await
    }

    async fn execute_older(&self, properties: Value) -> Answer {
        let request = self.request(Method::POST, "code/execute", "session-1", OLDER);
        send(request.json(&json!({ "properties": properties }))).await
    }

    /// Runs code that must succeed, and returns its result.
    async fn code(&self, text: &str) -> Value {
        let answer = self.execute(NEWER, json!({ "code": text })).await;
        assert_eq!(answer.body["status"], "Succeeded", "{answer:?}");
        answer.body["result"].clone()
    }
}

#[tokio::test]
async fn code_answers_with_what_it_printed_and_the_value_of_its_last_expression() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let body = json!({ "codeInputType": "inline", "executionType": "synchronous", "timeoutInSeconds": 60,
        "code": "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7" });
    let answer = pool.execute(NEWER, body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.body["status"], "Succeeded");
    assert_eq!(answer.body["identifier"], "session-1");
    assert_eq!(answer.body["executionType"], "synchronous");
    assert_eq!(answer.body["result"]["stdout"], "out\n");
    assert_eq!(answer.body["result"]["stderr"], "err\n");
    assert_eq!(answer.body["result"]["executionResult"], 42);
    assert!(answer.body["result"]["executionTimeInMilliseconds"].is_u64());
    assert!(answer.headers.contains_key("x-ms-session-guid"));
}

#[tokio::test]
async fn the_older_form_wraps_the_body_and_the_answer_in_properties() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let body = json!({ "codeInputType": "inline", "executionType": "synchronous", "code": "print('hi')\n[1, 2]" });
    let answer = pool.execute_older(body.clone()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let properties = &answer.body["properties"];
    assert_eq!(
        (&properties["status"], &properties["stdout"]),
        (&json!("Success"), &json!("hi\n"))
    );
    assert_eq!(
        (&properties["stderr"], &properties["result"]),
        (&json!(""), &json!([1, 2]))
    );

    let failed = pool.execute_older(json!({ "code": "1 / 0" })).await;
    assert_eq!(failed.body["properties"]["status"], "Failure");
    let traceback = failed.body["properties"]["stderr"].as_str().unwrap();
    assert!(traceback.contains("ZeroDivisionError: division by zero"), "{traceback}");

    let flat = pool
        .request(Method::POST, "code/execute", "session-1", OLDER)
        .json(&body);
    assert_eq!(send(flat).await.code(), "InvalidRequestBody");
    let crossed = pool
        .request(Method::POST, "code/execute", "session-1", NEWER)
        .json(&body);
    assert_eq!(send(crossed).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn each_form_of_code_is_taken() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let encoded = base64::engine::general_purpose::STANDARD.encode("'é' * 2");
    for body in [
        json!({ "code": "'é' * 2" }),
        json!({ "codeInputType": "Inline", "executionType": "Synchronous", "code": "'é' * 2" }),
        json!({ "codeInputType": "InlineText", "code": "'é' * 2" }),
        json!({ "codeInputType": "InlineBase64", "code": encoded }),
    ] {
        let answer = pool.execute(NEWER, body.clone()).await;
        assert_eq!(answer.body["result"]["executionResult"], "'éé'", "{body}");
    }
    for body in [
        json!({}),
        json!({ "code": "" }),
        json!({ "code": 1 }),
        json!({ "shellCommand": "echo" }),
        json!({ "code": "1", "codeInputType": "file" }),
        json!({ "code": "1", "executionType": "later" }),
        json!({ "code": "1", "timeoutInSeconds": 0 }),
        json!({ "code": "!", "codeInputType": "InlineBase64" }),
    ] {
        let answer = pool.execute(NEWER, body.clone()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "InvalidRequestBody"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_session_keeps_variables_and_files_between_calls_and_shares_none_with_another() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    pool.code("import os\ndef double(x): return x * 2\nopen('a.txt', 'w').write('text')")
        .await;
    assert_eq!(pool.code("double(21)").await["executionResult"], 42);
    assert_eq!(pool.code("os.getcwd()").await["executionResult"], "'/mnt/data'");
    let file = pool.get("files/a.txt", "session-1").await;
    assert_eq!(file.body["sizeInBytes"], 4);
    pool.upload("session-1", "", "b.txt", b"uploaded".to_vec()).await;
    assert_eq!(
        pool.code("open('/mnt/data/b.txt').read()").await["executionResult"],
        "'uploaded'"
    );
    let other = send(
        pool.request(Method::POST, "executions", "session-2", NEWER)
            .json(&json!({ "code": "double" })),
    )
    .await;
    assert_eq!(other.body["status"], "Failed");
}

#[tokio::test]
async fn an_exception_fails_the_execution_with_its_traceback_in_stderr() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let body = json!({ "code": "print('before')\ndef f():\n    raise ValueError('wrong')\nf()" });
    let answer = pool.execute(NEWER, body).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (StatusCode::ACCEPTED, &json!("Failed"))
    );
    assert_eq!(answer.body["result"]["stdout"], "before\n");
    let traceback = answer.body["result"]["stderr"].as_str().unwrap();
    assert!(
        traceback.starts_with("Traceback (most recent call last):\n  File \"<cell 1>\", line 4"),
        "{traceback}"
    );
    assert!(traceback.ends_with("ValueError: wrong\n"), "{traceback}");
    let syntax = pool.execute(NEWER, json!({ "code": "a = (" })).await;
    assert!(
        syntax.body["result"]["stderr"]
            .as_str()
            .unwrap()
            .contains("SyntaxError")
    );
}

#[tokio::test]
async fn a_library_that_only_the_image_has_is_said_to_be_missing_on_this_machine() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    // The kernel looks for tensorflow as for any other; no machine that tests has it below /usr.
    let answer = pool
        .execute(
            NEWER,
            json!({ "code": "import sys\nsys.modules['tensorflow'] = None\nimport tensorflow" }),
        )
        .await;
    let said = answer.body["result"]["stderr"].as_str().unwrap();
    assert!(
        said.contains("which has no tensorflow. The image of PythonLTS pools has it."),
        "{said}"
    );
}

#[tokio::test]
async fn code_beyond_its_time_is_interrupted_and_keeps_its_variables() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let body = json!({ "code": "kept = 1\nimport time\ntime.sleep(600)", "timeoutInSeconds": 1 });
    let answer = pool.execute(NEWER, body).await;
    assert_eq!(answer.body["status"], "Failed");
    assert_eq!(answer.body["error"]["error"]["code"], "Timeout");
    assert_eq!(pool.code("kept").await["executionResult"], 1);

    let stubborn = "import time\nwhile True:\n    try: time.sleep(600)\n    except BaseException: pass";
    let answer = pool
        .execute(NEWER, json!({ "code": stubborn, "timeoutInSeconds": 1 }))
        .await;
    assert_eq!(answer.body["error"]["error"]["code"], "Timeout");
    let lost = pool.execute(NEWER, json!({ "code": "kept" })).await;
    assert!(
        lost.body["result"]["stderr"].as_str().unwrap().contains("NameError"),
        "another kernel"
    );
}

#[tokio::test]
async fn a_kernel_that_dies_fails_its_execution_and_the_next_one_begins_anew() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    pool.code("x = 1\nopen('kept.txt', 'w').write('a')").await;
    let answer = pool
        .execute(NEWER, json!({ "code": "print('last')\nimport os\nos._exit(3)" }))
        .await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (StatusCode::ACCEPTED, &json!("Failed"))
    );
    assert_eq!(answer.body["error"]["error"]["code"], "ConnectionClosed");
    assert_eq!(answer.body["result"]["stdout"], "last\n");
    assert_eq!(pool.code("'x' in globals()").await["executionResult"], "False");
    assert_eq!(pool.code("open('kept.txt').read()").await["executionResult"], "'a'");
}

#[tokio::test]
async fn an_asynchronous_execution_is_asked_for_until_it_has_ended() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let body = json!({ "codeInputType": "Inline", "executionType": "Asynchronous", "timeoutInSeconds": 60,
        "code": "import time\nwhile True:\n    try: open('go'); break\n    except OSError: time.sleep(0.01)\n'done'" });
    let started = pool.execute(NEWER, body).await;
    assert_eq!(
        (started.status, &started.body["status"]),
        (StatusCode::ACCEPTED, &json!("Running"))
    );
    assert!(started.headers.contains_key("operation-location"));
    let id = started.body["id"].as_str().unwrap();
    // It has a kernel of its own, so it holds up nobody.
    pool.code("open('go', 'w').close()").await;
    let path = format!("executions/{id}");
    let ended = loop {
        let answer = pool.get(&path, "session-1").await;
        assert_eq!(answer.status, StatusCode::OK);
        if answer.body["status"] != "Running" {
            break answer.body;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        (&ended["status"], &ended["result"]["executionResult"]),
        (&json!("Succeeded"), &json!("'done'"))
    );
    assert_eq!(ended["executionType"], "Asynchronous");
    assert_eq!(
        pool.get("executions/unknown", "session-1").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn streams_are_cut_where_the_newest_version_asks_and_at_4096_characters_elsewhere() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let body = json!({ "code": "print('é' * 9000)", "outputStreamsMaxLength": 6000 });
    for (version, characters) in [(NEWER, 4096), (NEWEST, 6000)] {
        let answer = pool.execute(version, body.clone()).await;
        let stdout = answer.body["result"]["stdout"].as_str().unwrap();
        assert_eq!(stdout.chars().count(), characters, "{version}");
        assert_eq!(answer.body["status"], "Succeeded");
    }
}

#[tokio::test]
async fn the_empty_kernel_has_variables_of_its_own() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    pool.code("x = 1").await;
    let answer = pool
        .execute(NEWEST, json!({ "code": "'x' in globals()", "useEmptyKernel": true }))
        .await;
    assert_eq!(answer.body["result"]["executionResult"], "False");
    let answer = pool
        .execute(NEWEST, json!({ "code": "x", "useEmptyKernel": false }))
        .await;
    assert_eq!(answer.body["result"]["executionResult"], 1);
}

#[tokio::test]
async fn a_picture_is_answered_as_one_or_by_mime_type() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let picture = "class Picture:\n    def _repr_png_(self): return b'png'\n    def __repr__(self): return 'a picture'\nPicture()";
    let image = json!({ "type": "image", "format": "png", "base64_data": "cG5n" });
    assert_eq!(pool.code(picture).await["executionResult"], image);
    let body = json!({ "code": picture, "returnJupyterFormatExecutionResult": true });
    let answer = pool.execute(NEWEST, body).await;
    assert_eq!(
        answer.body["result"]["executionResult"],
        json!({ "text/plain": "a picture", "image/png": "cG5n" })
    );
    let shown = pool.code("display(Picture())\nprint('after')").await;
    assert_eq!(
        (&shown["executionResult"], &shown["stdout"]),
        (&image, &json!("after\n"))
    );
}

#[tokio::test]
async fn concurrent_code_of_a_session_runs_one_after_the_other() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    pool.code("running = 0").await;
    let text = "running += 1\nimport time\ntime.sleep(0.02)\nseen = running\nrunning -= 1\nseen";
    let calls = (0..4).map(|_| pool.code(text));
    for result in futures::future::join_all(calls).await {
        assert_eq!(result["executionResult"], 1);
    }
}

#[tokio::test]
async fn top_level_await_works_as_in_a_notebook() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    let result = pool
        .code("import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, 'awaited')")
        .await;
    assert_eq!(result["executionResult"], "'awaited'");
}

#[tokio::test]
async fn a_deleted_session_takes_its_kernel_along() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    pool.code("x = 1").await;
    assert_eq!(pool.delete("session", "session-1").await.status, StatusCode::NO_CONTENT);
    assert_eq!(pool.code("'x' in globals()").await["executionResult"], "False");
}

#[tokio::test]
async fn executions_of_code_are_in_the_journal() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("python", "PythonLTS", json!({})).await;
    pool.code("1").await;
    pool.execute(NEWER, json!({ "code": "1 / 0" })).await;
    let executions = azure.executions().await;
    let seen: Vec<_> = executions
        .iter()
        .map(|one| (one["text"].clone(), one["exitCode"].clone()))
        .collect();
    assert_eq!(seen, [(json!("1"), json!(0)), (json!("1 / 0"), json!(1))]);
}

#[tokio::test]
async fn node_pools_run_javascript_in_the_same_forms() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("node", "NodeLTS", json!({})).await;
    let result = pool
        .code("const fs = require('fs'); const x = 6; console.log('out'); console.error('err'); x * 7")
        .await;
    assert_eq!(
        (&result["stdout"], &result["stderr"]),
        (&json!("out\n"), &json!("err\n"))
    );
    assert_eq!(result["executionResult"], 42);
    // Names are kept, and may be declared again.
    assert_eq!(pool.code("const y = x + 1; y").await["executionResult"], 7);
    assert_eq!(
        pool.code("const y = await Promise.resolve([1, { a: 'b' }]); y").await["executionResult"],
        json!([1, { "a": "b" }])
    );
    assert_eq!(pool.code("'text'").await["executionResult"], "'text'");
    assert_eq!(pool.code("undefined").await["executionResult"], "");
    pool.code("fs.writeFileSync('/mnt/data/a.txt', 'text')").await;
    assert_eq!(pool.get("files/a.txt", "session-1").await.body["sizeInBytes"], 4);
    let older = pool.execute_older(json!({ "code": "x" })).await;
    assert_eq!(older.body["properties"]["result"], 6);
}

#[tokio::test]
async fn errors_of_javascript_are_told_with_their_stack_and_the_missing_module() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("node", "NodeLTS", json!({})).await;
    let answer = pool
        .execute(
            NEWER,
            json!({ "code": "function f() { throw new Error('wrong'); }\nf()" }),
        )
        .await;
    assert_eq!(answer.body["status"], "Failed");
    let stack = answer.body["result"]["stderr"].as_str().unwrap();
    assert!(stack.starts_with("Error: wrong\n    at f (<anonymous>:1:"), "{stack}");
    assert!(!stack.contains("inspector"), "{stack}");
    let answer = pool
        .execute(NEWER, json!({ "code": "require('no-such-module')" }))
        .await;
    let said = answer.body["result"]["stderr"].as_str().unwrap();
    assert!(said.contains("which has no no-such-module."), "{said}");
}

#[tokio::test]
async fn javascript_beyond_its_time_is_interrupted_whether_it_loops_or_waits() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.pool("node", "NodeLTS", json!({})).await;
    pool.code("let kept = 1").await;
    for endless in [
        "while (true) {}",
        "await new Promise((resolve) => setTimeout(resolve, 600000))",
    ] {
        let answer = pool
            .execute(NEWER, json!({ "code": endless, "timeoutInSeconds": 1 }))
            .await;
        assert_eq!(
            answer.body["error"]["error"]["code"], "Timeout",
            "{endless}: {answer:?}"
        );
        assert_eq!(pool.code("kept").await["executionResult"], 1, "{endless}");
    }
    let died = pool.execute(NEWER, json!({ "code": "process.exit(1)" })).await;
    assert_eq!(died.body["error"]["error"]["code"], "ConnectionClosed");
    assert_eq!(pool.code("typeof kept").await["executionResult"], "'undefined'");
}
