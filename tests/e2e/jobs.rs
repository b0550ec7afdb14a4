//! What CommandJobs say in their status, and specs of them.

use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{CapturedStream, Outcome};
use serde_json::{Value, json};

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

/// The message of a condition of a job that is true.
pub fn message<'a>(job: &'a CommandJob, condition: &str) -> &'a str {
    let conditions = &job.status.as_ref().expect("a status").conditions;
    let found = conditions
        .iter()
        .find(|it| it.type_ == condition && it.status == "True");
    &found.expect("the condition").message
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

/// A script in a pool.
pub fn in_pool(pool: &str, text: &str) -> Value {
    json!({"target": {"sessionPoolRef": {"name": pool}}, "script": text})
}
