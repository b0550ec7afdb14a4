//! CommandJobs: what they print and return is in their status.

use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{CapturedStream, Outcome, Phase};
use serde_json::{Value, json};

use crate::world::{World, script};

/// The stream as bytes, if it was kept whole.
pub fn bytes(stream: &CapturedStream) -> Vec<u8> {
    use base64::Engine as _;
    assert!(!stream.truncated, "truncated");
    match (&stream.text, &stream.base64) {
        (Some(text), None) => text.clone().into_bytes(),
        (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text).expect("base64"),
        (None, None) => Vec::new(),
        (Some(_), Some(_)) => panic!("both text and base64"),
    }
}

/// Exit code, stdout and stderr of a job whose command ended by itself.
pub fn result(job: &CommandJob) -> (i32, Vec<u8>, Vec<u8>) {
    let status = job.status.as_ref().expect("a status");
    let result = status.result.as_ref().expect("a result");
    assert_eq!(result.outcome, Outcome::Exited, "{:?}", status.conditions);
    (
        result.exit_code.expect("an exit code"),
        bytes(&result.stdout),
        bytes(&result.stderr),
    )
}

/// The reason of a condition that is true, or of `Ready` whatever it is.
pub fn reason(job: &CommandJob, condition: &str) -> Option<String> {
    let conditions = &job.status.as_ref()?.conditions;
    let found = conditions
        .iter()
        .find(|it| it.type_ == condition && (it.status == "True" || condition == "Ready"));
    found.map(|it| it.reason.clone())
}

/// A spec with further members.
pub fn also(mut spec: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        spec[name] = value.clone();
    }
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_job_applied_as_yaml_runs_in_a_session_and_its_output_is_in_status() {
    let world = World::new("hello").await;
    world.pool("shell", 5).await;
    let job = world
        .run(
            "hello",
            &script("echo \"hello from $LG_ID\" | cut -c1-10; echo oops >&2; exit 7"),
        )
        .await;
    assert_eq!(result(&job), (7, b"hello from\n".to_vec(), b"oops\n".to_vec()));
    assert_eq!(job.status.as_ref().unwrap().phase, Some(Phase::Failed));
    let job = world
        .run(
            "fine",
            &json!({"target": {"sessionPoolRef": {"name": "shell"}}, "command": ["printf", "%s", "a b"]}),
        )
        .await;
    assert_eq!(result(&job), (0, b"a b".to_vec(), Vec::new()));
    assert_eq!(job.status.as_ref().unwrap().phase, Some(Phase::Succeeded));
    assert_eq!(job.status.as_ref().unwrap().target.as_deref(), Some("pool/shell"));
}
