//! Jobs in memory without their commands, which may be long: a job that waits, or whose command runs, has no use for it.

use kube::api::GetParams;
use kube::core::Request;
use kube::{Client, Resource};

use super::JobError;
use crate::api::command_job::{CommandJob, CommandJobSpec};
use crate::api::environment::EnvironmentVariable;
use crate::runtime::{ApiError, Snapshot};

/// A command of up to this many bytes, with its environment and standard input, stays in memory.
const SHORT: usize = 2048;

/// What a job in memory carries from which its command was taken away. It is in no object; where somebody wrote it into one,
/// that object is read once more than it need be.
const ABRIDGED: &str = "lifeguard.dev/abridged";

/// Takes the command away from a job if it is long, with its environment and standard input.
pub fn abridge(job: &mut CommandJob) {
    if length(&job.spec) <= SHORT {
        return;
    }
    let spec = &mut job.spec;
    (spec.script, spec.command, spec.args, spec.stdin, spec.env) = (None, None, None, None, None);
    let annotations = job.metadata.annotations.get_or_insert_default();
    annotations.insert(ABRIDGED.to_owned(), String::new());
}

fn length(spec: &CommandJobSpec) -> usize {
    let words = spec.command.iter().chain(&spec.args).flatten();
    let words: usize = words.map(|it| it.len() + size_of::<String>()).sum();
    let variable = |it: &EnvironmentVariable| {
        let source = it.value_from.as_ref();
        let secret = source.and_then(|it| it.secret_key_ref.as_ref());
        let config_map = source.and_then(|it| it.config_map_key_ref.as_ref());
        let secret = secret.map_or(0, |it| it.name.len() + it.key.len());
        let config_map = config_map.map_or(0, |it| it.name.len() + it.key.len());
        let field = source.and_then(|it| it.field_ref.as_ref());
        let field = field.map_or(0, |it| it.field_path.len());
        it.name.len()
            + it.value.as_ref().map_or(0, String::len)
            + secret
            + config_map
            + field
            + size_of::<EnvironmentVariable>()
    };
    let env: usize = spec.env.iter().flatten().map(variable).sum();
    let texts = spec.script.iter().chain(&spec.stdin).map(String::len);
    texts.sum::<usize>() + words + env
}

/// Whether a variable has a label or an annotation of the job, of which only the operator's own are in memory.
fn wants_metadata(job: &CommandJob) -> bool {
    let mut sources = job.spec.env.iter().flatten().filter_map(|it| it.value_from.as_ref());
    sources.any(|it| it.field_ref.as_ref().is_some_and(|it| it.field_path.contains('[')))
}

/// The job with its command, and with all of its metadata if it uses that, from the API server if either is not in memory. An error if
/// it was changed or replaced meanwhile.
pub async fn whole(client: &Client, job: &Snapshot<CommandJob>) -> Result<Snapshot<CommandJob>, JobError> {
    let meta = &job.metadata;
    let is_abridged = meta.annotations.iter().flatten().any(|(name, _)| name == ABRIDGED);
    if !is_abridged && !wants_metadata(job) {
        return Ok(job.clone());
    }
    let request = Request::new(CommandJob::url_path(&(), meta.namespace.as_deref()))
        .get(meta.name.as_deref().unwrap_or_default(), &GetParams::default())
        .map_err(|error| ApiError::from(kube::Error::BuildRequest(error)))?;
    // Not by `Api::get`, which logs all of an answer that it cannot read.
    let answer = client.request_text(request).await?;
    let read: CommandJob = serde_json::from_str(&answer).map_err(kube::Error::SerdeError)?;
    let is_same = read.metadata.uid == meta.uid && read.metadata.generation == meta.generation;
    is_same.then(|| Snapshot::answered(read)).ok_or(JobError::Changed)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(spec: &Value) -> CommandJob {
        let mut spec = spec.clone();
        spec["target"] = json!({"sessionPoolRef": {"name": "p"}});
        serde_json::from_value(json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": "j"}, "spec": spec,
        }))
        .expect("a valid job")
    }

    #[test]
    fn a_short_command_stays() {
        let spec = json!({"command": ["sleep"], "args": ["1"], "env": [{"name": "A", "value": "1"}], "stdin": "in"});
        let mut short = job(&spec);
        abridge(&mut short);
        assert_eq!(short, job(&spec));
    }

    #[test]
    fn of_a_long_command_nothing_stays_whatever_is_long_of_it() {
        let text = "x".repeat(5000);
        let reference =
            |n: usize| json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
        for spec in [
            json!({"script": text}),
            json!({"script": "true", "stdin": text}),
            json!({"command": ["run", text]}),
            json!({"command": ["run"], "args": [text]}),
            json!({"command": ["run"], "args": vec![""; 1000]}),
            json!({"script": "true", "env": [{"name": "A", "value": text}]}),
            json!({"script": "true", "env": (0..100).map(reference).collect::<Vec<_>>()}),
            json!({"script": "true", "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": text}}}]}),
        ] {
            let mut long = job(&spec);
            abridge(&mut long);
            assert_eq!(length(&long.spec), 0);
            assert!(serde_json::to_string(&long).expect("JSON").len() < 500);
            assert_eq!(long.spec.target, job(&spec).spec.target);
        }
    }
}
