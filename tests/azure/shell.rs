//! Commands and files in sessions that really run.

use std::time::Duration;

use lifeguard::azure::session::{Dispatch, ExecutionStatus, SessionErrorKind as Kind, SessionIdentifier, SessionPath};
use lifeguard::azure::session_pool::PoolApiVersion;
use serde_json::json;

use crate::emulated::{Emulated, session};

const TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_command_runs_and_its_files_live_as_long_as_its_session() {
    let azure = Emulated::start().await;
    let client = azure.with_pool(2).await;
    let execution = client
        .execute_shell(&session(), "echo out; echo err >&2; exit 7", TIMEOUT)
        .await
        .unwrap();
    assert_eq!(
        (execution.stderr.as_str(), execution.status),
        ("err\n", ExecutionStatus::Exited(7))
    );

    let script = SessionPath::in_root("lg-1.sh").unwrap();
    client
        .upload(&session(), &script, b"printf 'a b' > /mnt/data/lg-out".to_vec())
        .await
        .unwrap();
    let execution = client
        .execute_shell(&session(), "sh /mnt/data/lg-1.sh", TIMEOUT)
        .await
        .unwrap();
    assert_eq!(execution.status, ExecutionStatus::Exited(0));
    let out = client
        .download(&session(), &SessionPath::in_root("lg-out").unwrap(), 2)
        .await
        .unwrap();
    assert_eq!((out.bytes.as_slice(), out.complete), (b"a ".as_slice(), false));

    let files = client.list_files(&session(), SessionPath::ROOT).await.unwrap();
    assert!(files.iter().any(|file| file.name == "lg-out"), "{files:?}");
    let absent = SessionPath::in_root("absent").unwrap();
    let error = client.download(&session(), &absent, 9).await.unwrap_err();
    assert_eq!((error.kind, error.dispatch), (Kind::NotFound, Dispatch::Refused));

    client.delete_session(&session()).await.unwrap();
    client.delete_session(&session()).await.unwrap();
}

#[tokio::test]
async fn a_pool_that_takes_only_the_tutorials_body_is_served_too() {
    let azure = Emulated::start().await;
    let client = azure.with_pool(2).await;
    let switch =
        json!({"sessions": {"rejectedShellFields": [], "requiredShellFields": ["codeInputType", "executionType"]}});
    let behaviour = azure.emulator.state().behaviour().merged(&switch).unwrap();
    azure.emulator.state().set_behaviour(behaviour);
    let execution = client.execute_shell(&session(), "true", TIMEOUT).await.unwrap();
    assert_eq!(execution.status, ExecutionStatus::Exited(0));
    assert_eq!(azure.emulator.state().journal().executions().len(), 1);
}

#[tokio::test]
async fn a_full_pool_is_told_from_a_pool_that_is_gone() {
    let azure = Emulated::start().await;
    let client = azure.with_pool(1).await;
    client.execute_shell(&session(), "true", TIMEOUT).await.unwrap();
    let other = SessionIdentifier::new("lg-tests-0002").unwrap();
    for exhaustion in ["NotFound", "TooManyRequests"] {
        let switch = json!({"sessions": {"exhaustion": exhaustion}});
        let behaviour = azure.emulator.state().behaviour().merged(&switch).unwrap();
        azure.emulator.state().set_behaviour(behaviour);
        let error = client.execute_shell(&other, "true", TIMEOUT).await.unwrap_err();
        assert_eq!(
            (error.kind, error.dispatch),
            (Kind::Exhausted, Dispatch::Refused),
            "{exhaustion}: {error}"
        );
        let path = SessionPath::in_root("a").unwrap();
        let error = client.upload(&other, &path, vec![1]).await.unwrap_err();
        assert_eq!(
            (error.kind, error.dispatch),
            (Kind::Exhausted, Dispatch::Refused),
            "{exhaustion}: {error}"
        );
    }
    azure
        .arm()
        .delete(azure.pool().as_str(), PoolApiVersion::for_reading().as_str())
        .await
        .unwrap();
    let error = client.execute_shell(&session(), "true", TIMEOUT).await.unwrap_err();
    assert_eq!(
        (error.kind, error.dispatch),
        (Kind::NotFound, Dispatch::Refused),
        "{error}"
    );
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_its_command_ran_once() {
    let azure = Emulated::start().await;
    let client = azure.with_pool(2).await;
    for action in [json!({"dropResponse": true}), json!({"truncateBytes": 10})] {
        azure.emulator.state().journal().clear_executions();
        azure.fault("POST", "/executions", 1, action.clone());
        let error = client.execute_shell(&session(), "true", TIMEOUT).await.unwrap_err();
        assert_eq!(
            (error.kind, error.dispatch),
            (Kind::Broken, Dispatch::Unknown),
            "{action}: {error}"
        );
        assert_eq!(azure.emulator.state().journal().executions().len(), 1, "{action}");
    }
}
