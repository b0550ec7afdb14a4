//! The data plane of dynamic sessions.

use std::time::Duration;

use lifeguard::azure::Http;
use lifeguard::azure::session::{
    BodyForm, Dispatch, ExecutionStatus, SessionError, SessionErrorKind as Kind, SessionPath,
};
use serde_json::{Value, json};

use crate::emulated::{Emulated, session};

const EXECUTIONS: &str = "/executions";
const SECOND: Duration = Duration::from_secs(1);

fn live(status: &str, stdout: &str) -> Value {
    json!({"status": 202, "body": {"identifier": "x", "status": status, "result": {"stdout": stdout, "stderr": "e"}}})
}

fn outcome(error: &SessionError) -> (Kind, Dispatch) {
    (error.kind, error.dispatch)
}

#[tokio::test]
async fn an_execution_answers_with_its_streams_and_exit_code() {
    let azure = Emulated::start().await;
    azure.fault("POST", EXECUTIONS, 1, live("3", "out"));
    let execution = azure
        .sessions()
        .execute_shell(&session(), "exit 3", SECOND)
        .await
        .unwrap();
    assert_eq!((execution.stdout.as_str(), execution.stderr.as_str()), ("out", "e"));
    assert_eq!(execution.status, ExecutionStatus::Exited(3));
    let requests = azure.requests("POST", EXECUTIONS);
    assert_eq!(requests[0].body, json!({"shellCommand": "exit 3"}));
    assert!(
        requests[0].query.contains("identifier=lg-tests-0001"),
        "{}",
        requests[0].query
    );
}

#[tokio::test]
async fn the_form_that_a_pool_accepts_is_found_and_remembered() {
    let azure = Emulated::start().await;
    let client = azure.sessions();
    azure.fault(
        "POST",
        EXECUTIONS,
        1,
        json!({"status": 400, "body": "The field timeoutInSeconds is required."}),
    );
    let typed = json!({"error": {"code": "BadRequest", "message": "The CodeInputType field is required."}});
    azure.fault("POST", EXECUTIONS, 1, json!({"status": 400, "body": typed}));
    azure.fault("POST", EXECUTIONS, 2, live("0", ""));
    client.execute_shell(&session(), "true", SECOND).await.unwrap();
    assert_eq!(client.body_form(), BodyForm::Typed);
    client.clone().execute_shell(&session(), "true", SECOND).await.unwrap();
    let bodies: Vec<usize> = azure
        .requests("POST", EXECUTIONS)
        .iter()
        .map(|request| request.body.as_object().unwrap().len())
        .collect();
    assert_eq!(
        bodies,
        [1, 2, 4, 4],
        "the forms grow until one is taken, which is used from then on"
    );
}

#[tokio::test]
async fn a_pool_that_takes_no_form_says_why_it_refused_the_first() {
    let azure = Emulated::start().await;
    azure.fault(
        "POST",
        EXECUTIONS,
        1,
        json!({"status": 400, "body": "shellCommand is not supported"}),
    );
    azure.fault(
        "POST",
        EXECUTIONS,
        3,
        json!({"status": 400, "body": "executionType is not supported"}),
    );
    let error = azure
        .sessions()
        .execute_shell(&session(), "true", SECOND)
        .await
        .unwrap_err();
    assert_eq!(outcome(&error), (Kind::Rejected, Dispatch::Refused));
    assert_eq!(error.message, "shellCommand is not supported");
    assert_eq!(azure.requests("POST", EXECUTIONS).len(), 4);
}

#[tokio::test]
async fn a_refusal_about_something_else_is_not_answered_with_another_form() {
    let azure = Emulated::start().await;
    azure.fault(
        "POST",
        EXECUTIONS,
        1,
        json!({"status": 400, "body": "identifier is too short"}),
    );
    let error = azure
        .sessions()
        .execute_shell(&session(), "true", SECOND)
        .await
        .unwrap_err();
    assert_eq!(outcome(&error), (Kind::Rejected, Dispatch::Refused));
    assert_eq!(azure.requests("POST", EXECUTIONS).len(), 1);
}

#[tokio::test]
async fn a_failed_execution_is_sent_once_and_tells_whether_it_can_have_run() {
    let azure = Emulated::start().await;
    let client = azure.sessions_over(
        azure.http.clone().with_longest_call(Duration::from_millis(400)),
        azure.endpoint(),
    );
    let full = json!({"error": {"code": "X", "message": "No more sessions can be allocated in the pool."}});
    let missing = json!({"error": {"code": "SessionPoolNotFound", "message": "The pool does not exist."}});
    for (action, kind, dispatch) in [
        (json!({"status": 401}), Kind::Denied, Dispatch::Refused),
        (json!({"status": 403}), Kind::Denied, Dispatch::Refused),
        (json!({"status": 404, "body": full}), Kind::Exhausted, Dispatch::Refused),
        (
            json!({"status": 404, "body": missing}),
            Kind::NotFound,
            Dispatch::Refused,
        ),
        (
            json!({"status": 429, "headers": {"Retry-After": "9"}}),
            Kind::Exhausted,
            Dispatch::Refused,
        ),
        (json!({"status": 429}), Kind::Exhausted, Dispatch::Refused),
        (json!({"status": 500}), Kind::ServiceFailed, Dispatch::Unknown),
        (
            json!({"status": 503, "body": "<html>busy</html>"}),
            Kind::ServiceFailed,
            Dispatch::Unknown,
        ),
        (
            json!({"status": 200, "body": "<html>portal</html>"}),
            Kind::Broken,
            Dispatch::Unknown,
        ),
        (
            json!({"status": 200, "body": {"unexpected": true}}),
            Kind::Broken,
            Dispatch::Unknown,
        ),
        (json!({"status": 202}), Kind::Broken, Dispatch::Unknown),
        (
            json!({"status": 302, "headers": {"Location": "https://evil.example/"}}),
            Kind::ServiceFailed,
            Dispatch::Unknown,
        ),
        (json!({"reset": true}), Kind::Broken, Dispatch::Unknown),
        (json!({"delayMilliseconds": 5000}), Kind::TimedOut, Dispatch::Unknown),
    ] {
        azure.emulator.state().journal().clear_requests();
        azure.fault("POST", EXECUTIONS, 1, action.clone());
        let error = client.execute_shell(&session(), "canary", SECOND).await.unwrap_err();
        assert_eq!(outcome(&error), (kind, dispatch), "{action}: {error}");
        assert!(azure.requests("POST", EXECUTIONS).len() <= 1, "{action}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("canary") && !shown.contains("lg-tests-0001"), "{shown}");
        azure.emulator.state().faults().clear();
    }
}

#[tokio::test]
async fn a_token_that_was_refused_is_not_sent_with_the_next_execution() {
    let azure = Emulated::start().await;
    let client = azure.sessions();
    azure.fault("POST", EXECUTIONS, 1, json!({"status": 401}));
    client.execute_shell(&session(), "true", SECOND).await.unwrap_err();
    azure.fault("POST", EXECUTIONS, 1, live("0", ""));
    client.execute_shell(&session(), "true", SECOND).await.unwrap();
    assert_eq!(azure.requests("POST", "/token").len(), 2);
}

#[tokio::test]
async fn what_was_never_connected_was_not_sent() {
    let azure = Emulated::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut cloud = azure.cloud.clone();
    cloud.sessions.as_mut().expect("sessions").port = closed.port();
    let endpoint = cloud
        .session_endpoint(&format!("https://{closed}/westus2.dynamicsessions.io/p"))
        .unwrap();
    let client = azure.sessions_over(azure.http.clone(), endpoint);
    let error = client.execute_shell(&session(), "true", SECOND).await.unwrap_err();
    assert_eq!(outcome(&error), (Kind::Unreachable, Dispatch::NotSent));

    // A server whose certificate nobody vouches for gets no byte of the request.
    let mut trusting_nobody = azure.cloud.clone();
    trusting_nobody.ca_bundle = None;
    let client = azure.sessions_over(Http::new(&trusting_nobody).unwrap(), azure.endpoint());
    let error = client.execute_shell(&session(), "true", SECOND).await.unwrap_err();
    assert_eq!(outcome(&error), (Kind::Unreachable, Dispatch::NotSent));
    assert!(azure.requests("POST", EXECUTIONS).is_empty());
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let azure = Emulated::start().await;
    azure.fault("POST", "/token", 1, json!({"status": 503}));
    let error = azure
        .sessions()
        .execute_shell(&session(), "true", SECOND)
        .await
        .unwrap_err();
    assert_eq!(outcome(&error), (Kind::Credential, Dispatch::NotSent));
    assert!(azure.requests("POST", EXECUTIONS).is_empty());
}

#[tokio::test]
async fn a_file_is_read_as_far_as_was_asked() {
    let azure = Emulated::start().await;
    let client = azure.sessions();
    let path = SessionPath::new("/mnt/data/lg-1", "out").unwrap();
    for (max, read, complete) in [
        (10, "0123456789", true),
        (4, "0123", false),
        (0, "", false),
        (99, "0123456789", true),
    ] {
        azure.fault(
            "GET",
            "/files/out/content",
            1,
            json!({"status": 200, "body": "0123456789"}),
        );
        let file = client.download(&session(), &path, max).await.unwrap();
        assert_eq!((file.bytes.as_slice(), file.complete), (read.as_bytes(), complete));
    }
    let request = &azure.requests("GET", "/files/out/content")[0];
    assert!(request.query.contains("path=%2Fmnt%2Fdata%2Flg-1"), "{}", request.query);
}

#[tokio::test]
async fn an_upload_is_sent_once_and_a_read_again_after_a_401() {
    let azure = Emulated::start().await;
    let client = azure.sessions();
    let path = SessionPath::in_root("lg-1.sh").unwrap();
    azure.fault("POST", "/files", 1, json!({"status": 401}));
    let error = client.upload(&session(), &path, b"echo".to_vec()).await.unwrap_err();
    assert_eq!(outcome(&error), (Kind::Denied, Dispatch::Refused));
    assert_eq!(azure.requests("POST", "/files").len(), 1);

    azure.fault("GET", "/files", 1, json!({"status": 401}));
    let files = json!({"$id": "1", "value": [{"name": "a", "type": "file", "sizeInBytes": 7}, {"name": "b"}]});
    azure.fault("GET", "/files", 1, json!({"status": 200, "body": files}));
    let files = client.list_files(&session(), "/mnt/data").await.unwrap();
    assert_eq!(
        (files[0].name.as_str(), files[0].size_in_bytes, files.len()),
        ("a", 7, 2)
    );
}

#[tokio::test]
async fn what_is_gone_was_deleted() {
    let azure = Emulated::start().await;
    let client = azure.sessions();
    for action in [json!({"status": 204}), json!({"status": 404}), json!({"status": 200})] {
        azure.fault("DELETE", "/session", 1, action);
        client.delete_session(&session()).await.unwrap();
    }
    azure.fault("DELETE", "/session", 1, json!({"status": 503}));
    client.delete_session(&session()).await.unwrap_err();
}
