//! What a job's command gets: its program, environment and standard input, with the values of Secrets and ConfigMaps.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

use super::expansion::expand;
use super::not_runnable::{NotRunnable, Unavailable};
use crate::api::command_job::CommandJob;
use crate::api::environment::EnvironmentVariable;
use crate::controller::command_job::runner::{EnvVar, Program, Secrets, Work, WorkError};
use crate::controller::secret;
use crate::runtime::ApiError;

/// What a job's command gets, ready to be uploaded. Its values are never shown.
pub struct Inputs {
    /// What runs.
    pub work: Work,
    /// The values that come from Secrets.
    pub secrets: Vec<Vec<u8>>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("work", &self.work)
            .field("secrets", &self.secrets.len())
            .finish()
    }
}

impl Inputs {
    /// The values to mask in what is captured.
    pub fn to_mask(&self) -> Secrets {
        Secrets::new(self.secrets.iter().map(Vec::as_slice))
    }

    /// Everything that makes a difference to what runs, secret values included: for a keyed digest and nothing else.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let Work {
            program,
            env,
            stdin,
            timeout_seconds,
            grace_seconds,
        } = &self.work;
        let mut parts = vec![format!("{timeout_seconds:?} {grace_seconds} {}", env.is_some()).into_bytes()];
        match program {
            Program::Shell(script) => parts.extend([b"shell".to_vec(), script.clone().into_bytes()]),
            Program::Command(words) => parts.extend(words.iter().map(|it| it.clone().into_bytes())),
        }
        parts.extend(
            env.iter()
                .flatten()
                .flat_map(|it| [it.name.clone().into_bytes(), it.value.clone()]),
        );
        parts.push(format!("{}", stdin.is_some()).into_bytes());
        parts.extend(stdin.clone());
        parts
    }
}

/// Values by the name of the variable; a variable that is absent is left out of the environment.
type Values = BTreeMap<String, (Vec<u8>, Origin)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Public,
    Secret,
}

/// Reads the Secrets and ConfigMaps that the job names, all of its own namespace, and makes its inputs. When it is killed
/// the command has `grace_seconds` between TERM and KILL.
pub async fn resolve(client: &Client, job: &CommandJob, grace_seconds: u32) -> Result<Inputs, Unavailable> {
    let values = read(client, job).await?;
    Ok(compose(job, &values, grace_seconds)?)
}

/// The inputs of a job whose values are not known any more: enough to ask a session about an attempt that was given
/// them, and not enough to prepare one.
pub fn shape(job: &CommandJob, grace_seconds: u32) -> Inputs {
    let names = job
        .spec
        .env
        .iter()
        .flatten()
        .map(|it| (it.name.clone(), (Vec::new(), Origin::Public)));
    let unknown = |_| Inputs {
        work: Work {
            program: Program::Shell(String::new()),
            env: None,
            stdin: None,
            timeout_seconds: None,
            grace_seconds,
        },
        secrets: Vec::new(),
    };
    compose(job, &names.collect(), grace_seconds).unwrap_or_else(unknown)
}

async fn read(client: &Client, job: &CommandJob) -> Result<Values, Unavailable> {
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let mut secrets: BTreeMap<&str, Option<Secret>> = BTreeMap::new();
    let mut config_maps: BTreeMap<&str, Option<ConfigMap>> = BTreeMap::new();
    let mut values = Values::new();
    for variable in job.spec.env.iter().flatten() {
        let Some(source) = &variable.value_from else { continue };
        if let Some(selector) = &source.secret_key_ref {
            if !secrets.contains_key(selector.name.as_str()) {
                secrets.insert(&selector.name, secret::read(client, namespace, &selector.name).await?);
            }
            let value = secrets[selector.name.as_str()]
                .as_ref()
                .and_then(|it| it.data.as_ref())
                .and_then(|it| it.get(&selector.key))
                .map(|it| it.0.clone());
            match value {
                Some(value) => _ = values.insert(variable.name.clone(), (value, Origin::Secret)),
                None if selector.optional == Some(true) => {}
                None => {
                    let (name, key) = (selector.name.clone(), selector.key.clone());
                    return Err(NotRunnable::SecretNotFound {
                        variable: variable.name.clone(),
                        name,
                        key,
                    }
                    .into());
                }
            }
        }
        if let Some(selector) = &source.config_map_key_ref {
            if !config_maps.contains_key(selector.name.as_str()) {
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                config_maps.insert(
                    &selector.name,
                    api.get_opt(&selector.name).await.map_err(ApiError::from)?,
                );
            }
            let config_map = config_maps[selector.name.as_str()].as_ref();
            let text = config_map
                .and_then(|it| it.data.as_ref()?.get(&selector.key))
                .map(|it| it.clone().into_bytes());
            let binary = config_map
                .and_then(|it| it.binary_data.as_ref()?.get(&selector.key))
                .map(|it| it.0.clone());
            match text.or(binary) {
                Some(value) => _ = values.insert(variable.name.clone(), (value, Origin::Public)),
                None if selector.optional == Some(true) => {}
                None => {
                    let (name, key) = (selector.name.clone(), selector.key.clone());
                    return Err(NotRunnable::ConfigMapNotFound {
                        variable: variable.name.clone(),
                        name,
                        key,
                    }
                    .into());
                }
            }
        }
    }
    Ok(values)
}

/// Makes the inputs of a job from the values of its variables. Pure.
fn compose(job: &CommandJob, values: &Values, grace_seconds: u32) -> Result<Inputs, WorkError> {
    let spec = &job.spec;
    let env = environment(spec.env.as_deref().unwrap_or_default(), values);
    let lookup = |name: &str| {
        env.iter()
            .rfind(|it| it.name == name)
            .and_then(|it| std::str::from_utf8(&it.value).ok())
    };
    let program = match (&spec.script, &spec.command) {
        (Some(script), _) => Program::Shell(script.clone()),
        (None, command) => {
            let words = command.iter().flatten().chain(spec.args.iter().flatten());
            Program::Command(words.map(|word| expand(word, lookup)).collect())
        }
    };
    if program == Program::Command(Vec::new()) {
        return Err(WorkError::EmptyCommand);
    }
    let secrets = values
        .values()
        .filter(|(_, origin)| *origin == Origin::Secret)
        .map(|(value, _)| value.clone())
        .collect();
    let work = Work {
        program,
        env: spec.env.as_ref().filter(|it| !it.is_empty()).map(|_| env),
        stdin: spec.stdin.as_ref().map(|it| it.clone().into_bytes()),
        timeout_seconds: u32::try_from(spec.timeout_seconds).ok(),
        grace_seconds,
    };
    Ok(Inputs { work, secrets })
}

/// The environment in the order of the spec; a value may refer to variables before it, as in Pods.
fn environment(variables: &[EnvironmentVariable], values: &Values) -> Vec<EnvVar> {
    let mut env: Vec<EnvVar> = Vec::with_capacity(variables.len());
    for variable in variables {
        let value = match (&variable.value, values.get(&variable.name)) {
            (Some(text), _) => {
                let earlier = |name: &str| {
                    env.iter()
                        .rfind(|it| it.name == name)
                        .and_then(|it| std::str::from_utf8(&it.value).ok())
                };
                expand(text, earlier).into_bytes()
            }
            (None, Some((value, _))) => value.clone(),
            (None, None) => continue,
        };
        env.push(EnvVar {
            name: variable.name.clone(),
            value,
        });
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: serde_json::Value) -> CommandJob {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": "j"}, "spec": spec,
        }))
        .expect("a valid job")
    }

    fn secret(value: &str) -> (Vec<u8>, Origin) {
        (value.as_bytes().to_vec(), Origin::Secret)
    }

    #[test]
    fn a_value_may_refer_to_variables_before_it_and_to_no_other() {
        let job = job(serde_json::json!({
            "target": {"sessionPoolRef": {"name": "p"}}, "command": ["run", "$(B)", "$$(B)"], "args": ["$(TOKEN)$(X)"],
            "env": [
                {"name": "A", "value": "$(B)"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "B", "value": "b$(A)$(TOKEN)"},
                {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": true}}},
            ],
        }));
        let inputs = compose(&job, &Values::from([("TOKEN".into(), secret("hush"))]), 10).unwrap();
        let env: Vec<_> = inputs
            .work
            .env
            .iter()
            .flatten()
            .map(|it| (it.name.as_str(), it.value.as_slice()))
            .collect();
        assert_eq!(
            env,
            [("A", b"$(B)".as_slice()), ("TOKEN", b"hush"), ("B", b"b$(B)hush")]
        );
        let words = ["run", "b$(B)hush", "$(B)", "hush$(X)"].map(String::from).to_vec();
        assert_eq!(inputs.work.program, Program::Command(words));
        assert_eq!(inputs.secrets, [b"hush".to_vec()]);
        assert!(!format!("{inputs:?}").contains("hush"));
    }

    #[test]
    fn a_script_is_not_expanded() {
        let job = job(serde_json::json!({
            "target": {"sessionPoolRef": {"name": "p"}}, "script": "echo $(A)", "env": [{"name": "A", "value": "1"}],
            "stdin": "in",
        }));
        let inputs = compose(&job, &Values::new(), 10).unwrap();
        assert_eq!(inputs.work.program, Program::Shell("echo $(A)".into()));
        assert_eq!(inputs.work.stdin.as_deref(), Some(b"in".as_slice()));
        assert_eq!(inputs.work.timeout_seconds, Some(600));
    }
}
