//! Carrying out what the plan says beside the identity itself.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::azure::managed_identity::{delete_federated_credential, is_refused_for_good, put_federated_credential};
use crate::azure::{ArmClient, AzureError, ResourceId};
use crate::controller::azure_resource::{Answer, Observation, account_key};
use crate::controller::error::{Error, is_credential_refused};
use crate::runtime::{ApiError, Effect, Note, Pass, Severity};

use super::ManagedIdentityReconciler;
use super::credentials::{Attempt, CredentialWrite};
use super::export::{self, ExportStep};

impl ManagedIdentityReconciler {
    /// Records in the status what is about to be written.
    pub(super) async fn record(
        pass: &mut Pass<Self>,
        credentials: Vec<String>,
        config_map: Option<String>,
    ) -> Result<Effect, Error> {
        let mut status = pass.object().status.clone().unwrap_or_default();
        status.azure.observed_generation.get_or_insert(-1);
        status.federated_credentials = credentials;
        status.azure.exported_config_map = config_map;
        pass.write_status(&status).await?;
        Ok(Effect::Replan)
    }

    /// Writes or deletes one federated credential, and brings what was observed up to date.
    pub(super) async fn write_credential(
        &self,
        pass: &mut Pass<Self>,
        write: CredentialWrite,
    ) -> Result<Effect, Error> {
        let object = pass.object().clone();
        let Observation::Seen(resource) = &pass.observed().observation else {
            return Ok(Effect::Done);
        };
        let (Some(arm), id) = (resource.arm.clone(), resource.id.clone()) else {
            return Ok(Effect::Done);
        };
        let answer = match send(&arm, &id, &write).await {
            Ok(()) => {
                let (reason, message) = match &write {
                    CredentialWrite::Put { credential, .. } => (
                        "CredentialWritten",
                        format!(
                            "federated credential {}: {} of {} may be the identity",
                            credential.name, credential.subject, credential.issuer
                        ),
                    ),
                    CredentialWrite::Delete { name } => {
                        ("CredentialRemoved", format!("federated credential {name} was removed"))
                    }
                };
                tracing::info!(reason, "{message}");
                self.context.events().publish(
                    &*object,
                    &Note {
                        severity: Severity::Normal,
                        reason: reason.into(),
                        action: reason.into(),
                        message,
                    },
                );
                Answer::Accepted
            }
            Err(error) if is_refused_for_good(&error) => {
                tracing::warn!(
                    code = error.code(),
                    request_id = error.request_id(),
                    "Azure refused to write a federated credential"
                );
                Answer::Refused {
                    reason: Reason::Rejected,
                    message: error.to_string(),
                }
            }
            Err(error) => {
                if is_credential_refused(&error) {
                    self.context.doubt_account(&account_key(&*object));
                }
                return Err(error.into());
            }
        };
        let Some(details) = &mut pass.observed_mut().details else {
            return Ok(Effect::Reobserve);
        };
        let (history, actual) = (
            &mut details.credentials.history,
            details.credentials.actual.get_or_insert_default(),
        );
        let key = write.name().to_ascii_lowercase();
        if answer == Answer::Accepted {
            actual.retain(|it| !it.is_named(write.name()));
        }
        match (&write, &answer) {
            (CredentialWrite::Delete { .. }, Answer::Accepted) => {
                history.remove(&key);
            }
            (CredentialWrite::Put { .. }, _) | (CredentialWrite::Delete { .. }, Answer::Refused { .. }) => {
                if let (CredentialWrite::Put { credential, .. }, Answer::Accepted) = (&write, &answer) {
                    actual.push(credential.clone());
                }
                let attempt = Attempt {
                    at: Timestamp::now(),
                    write,
                    answer,
                    has_shown: false,
                };
                history.insert(key, attempt);
            }
        }
        self.credential_memories
            .keep(&object.uid().unwrap_or_default(), history.clone());
        Ok(Effect::Replan)
    }

    /// Writes or deletes the ConfigMap.
    pub(super) async fn write_export(&self, pass: &mut Pass<Self>, step: ExportStep) -> Result<Effect, Error> {
        let (client, object) = (self.context.client(), pass.object().clone());
        let result: Result<(), ApiError> = match step {
            ExportStep::Create { name, data } => export::create(client, &object, name, data).await,
            ExportStep::Replace(config_map) => export::replace(client, &object, &config_map).await,
            ExportStep::Delete(config_map) => export::delete(client, &object, &config_map).await,
            // Recording is a write of the status.
            ExportStep::Record(_) => Ok(()),
        };
        result?;
        let looked = export::look(client, &object).await?;
        if let Some(details) = &mut pass.observed_mut().details {
            details.export = looked;
        }
        Ok(Effect::Replan)
    }
}

async fn send(arm: &ArmClient, id: &ResourceId, write: &CredentialWrite) -> Result<(), AzureError> {
    match write {
        CredentialWrite::Put { credential, .. } => {
            put_federated_credential(arm, id, credential).await?;
            Ok(())
        }
        CredentialWrite::Delete { name } => delete_federated_credential(arm, id, name).await,
    }
}
