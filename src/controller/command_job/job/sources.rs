//! The values that a job's variables have from Secrets, ConfigMaps and the job's own metadata.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use super::fields::field;
use super::not_runnable::{NotRunnable, Unavailable};
use crate::api::command_job::CommandJob;
use crate::api::environment::EnvironmentVariable;
use crate::controller::command_job::budget::{EXEC_BYTES, OverBudget, STRING_BYTES};
use crate::controller::object_name::is_object_name;
use crate::controller::secret;
use crate::runtime::{ApiError, is_missing};

/// Values by the name of the variable; a variable that is absent is left out of the environment.
pub type Values = BTreeMap<String, (Bytes, ValueOrigin)>;

/// Whether a value is one to be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueOrigin {
    /// From a ConfigMap, or from the job itself.
    Public,
    /// From a Secret.
    Secret,
}

/// Which key a variable names.
struct Selected<'a> {
    origin: ValueOrigin,
    name: &'a str,
    key: &'a str,
    is_optional: bool,
}

impl<'a> Selected<'a> {
    fn of(variable: &'a EnvironmentVariable) -> Option<Self> {
        let source = variable.value_from.as_ref()?;
        if let Some(it) = &source.secret_key_ref {
            return Some(Self {
                origin: ValueOrigin::Secret,
                name: &it.name,
                key: &it.key,
                is_optional: it.optional == Some(true),
            });
        }
        let it = source.config_map_key_ref.as_ref()?;
        Some(Self {
            origin: ValueOrigin::Public,
            name: &it.name,
            key: &it.key,
            is_optional: it.optional == Some(true),
        })
    }

    fn not_found(&self, variable: &EnvironmentVariable) -> NotRunnable {
        let (variable, name, key) = (variable.name.clone(), self.name.to_owned(), self.key.to_owned());
        match self.origin {
            ValueOrigin::Secret => NotRunnable::SecretNotFound { variable, name, key },
            ValueOrigin::Public => NotRunnable::ConfigMapNotFound { variable, name, key },
        }
    }
}

/// Keys of one object, by name.
type Keys<'a> = BTreeMap<&'a str, Bytes>;

/// Reads the Secrets and ConfigMaps that the job names, each once and one at a time. Of each only the keys are kept that the
/// job names, and no more than a command can be given.
pub async fn read(client: &Client, job: &CommandJob) -> Result<Values, Unavailable> {
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let variables = job.spec.env.as_deref().unwrap_or_default();
    let mut sources: BTreeMap<(ValueOrigin, &str), Keys<'_>> = BTreeMap::new();
    let (mut values, mut kept) = (Values::new(), 0);
    for variable in variables {
        if let Some(value) = own(job, variable)? {
            // One annotation may be named many times.
            kept += value.len();
            if kept > EXEC_BYTES {
                return Err(NotRunnable::from(OverBudget::Environment(variable.name.clone())).into());
            }
            let value = Bytes::copy_from_slice(value.as_bytes());
            values.insert(variable.name.clone(), (value, ValueOrigin::Public));
            continue;
        }
        let Some(selected) = Selected::of(variable) else {
            continue;
        };
        let source = (selected.origin, selected.name);
        if let Entry::Vacant(unread) = sources.entry(source) {
            let same = variables.iter().filter_map(Selected::of);
            let same = same.filter(|it| (it.origin, it.name) == source).map(|it| it.key);
            let found = keys(client, namespace, source, same.collect()).await?;
            kept += found.values().map(Bytes::len).sum::<usize>();
            if kept > EXEC_BYTES {
                return Err(NotRunnable::from(OverBudget::Environment(variable.name.clone())).into());
            }
            unread.insert(found);
        }
        match sources[&source].get(selected.key) {
            Some(value) if value.len() > STRING_BYTES => {
                return Err(NotRunnable::from(OverBudget::Variable(variable.name.clone())).into());
            }
            Some(value) => _ = values.insert(variable.name.clone(), (value.clone(), selected.origin)),
            None if selected.is_optional => {}
            None => return Err(selected.not_found(variable).into()),
        }
    }
    Ok(values)
}

/// What the variable has from the job itself, if it names a field of it.
fn own<'a>(job: &'a CommandJob, variable: &EnvironmentVariable) -> Result<Option<&'a str>, NotRunnable> {
    let selector = variable.value_from.as_ref().and_then(|it| it.field_ref.as_ref());
    let Some(selector) = selector else {
        return Ok(None);
    };
    let value = field(&job.metadata, &selector.field_path).ok_or_else(|| NotRunnable::UnknownField {
        variable: variable.name.clone(),
        path: selector.field_path.clone(),
    })?;
    if value.len() > STRING_BYTES {
        return Err(OverBudget::Variable(variable.name.clone()).into());
    }
    Ok(Some(value))
}

async fn keys<'a>(
    client: &Client,
    namespace: &str,
    (origin, name): (ValueOrigin, &str),
    wanted: BTreeSet<&'a str>,
) -> Result<Keys<'a>, ApiError> {
    if origin == ValueOrigin::Secret {
        let found = secret::read_keys(client, namespace, name, wanted).await?;
        return Ok(found.unwrap_or_default());
    }
    if !is_object_name(name) {
        return Ok(Keys::new());
    }
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let config_map = match api.get(name).await {
        Ok(config_map) => config_map,
        Err(kube::Error::Api(status)) if is_missing(&status) => return Ok(Keys::new()),
        Err(error) => return Err(error.into()),
    };
    let mut text = config_map.data.unwrap_or_default();
    let mut binary = config_map.binary_data.unwrap_or_default();
    let mut value = |key: &str| {
        let text = text.remove(key).map(Bytes::from);
        text.or_else(|| Some(Bytes::from(binary.remove(key)?.0)))
    };
    Ok(wanted.into_iter().filter_map(|key| Some((key, value(key)?))).collect())
}
