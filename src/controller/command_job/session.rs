//! The conversation with one session, in the words of an attempt.

use std::time::Duration;

use uuid::Uuid;

use super::JobError;
use super::identifier::AttemptIdentity;
use super::runner::{Attempt, AttemptId, Call, FrameError, Look, Nonce, Upload, ended};
use crate::azure::SessionClient;
use crate::azure::session::{SessionIdentifier, SessionPath};

/// One attempt's session, through the client of its pool.
#[derive(Clone, Debug)]
pub struct Talk {
    client: SessionClient,
    identifier: SessionIdentifier,
    /// The attempt in it.
    pub attempt: Attempt,
}

/// The same session of the same pool.
impl PartialEq for Talk {
    fn eq(&self, other: &Self) -> bool {
        self.identifier == other.identifier && self.client.endpoint() == other.client.endpoint()
    }
}

impl Talk {
    /// The session of an attempt.
    pub fn new(client: SessionClient, identity: &AttemptIdentity) -> Self {
        let identifier = SessionIdentifier::new(identity.session.as_str());
        let id = AttemptId::new(identity.attempt.as_str());
        Self {
            client,
            identifier: identifier.expect("invariant: derived identifiers have the characters that Azure allows"),
            attempt: Attempt::new(id.expect("invariant: derived identifiers have the characters of an attempt id")),
        }
    }

    /// Puts a file into the session. Starts nothing; allocates the session if there is none.
    pub async fn upload(&self, upload: Upload) -> Result<(), JobError> {
        let path = SessionPath::in_root(upload.name).map_err(JobError::path)?;
        self.client.upload(&self.identifier, &path, upload.content).await?;
        Ok(())
    }

    /// Sends one call, once, and reads its frame.
    pub async fn execute(&self, call: &Call<'_>, window: Duration) -> Result<Result<Look, FrameError>, JobError> {
        let execution = self
            .client
            .execute_shell(&self.identifier, &call.render(), window)
            .await?;
        Ok(call.parse(execution.stdout.as_bytes(), execution.stderr.as_bytes()))
    }

    /// What the files of the attempt say of its end: for when frames keep getting lost.
    pub async fn end_by_files(&self) -> Result<Option<Look>, JobError> {
        let files = self.client.list_files(&self.identifier, &self.directory()).await?;
        Ok(ended(files.iter().map(|it| (it.name.as_str(), it.size_in_bytes))))
    }

    /// Reads a file of the attempt, at most `max_bytes` of it.
    pub async fn download(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>, JobError> {
        let path = SessionPath::new(self.directory(), name).map_err(JobError::path)?;
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        Ok(self.client.download(&self.identifier, &path, max_bytes).await?.bytes)
    }

    /// Ends the session with everything in it. One that is gone is as good.
    pub async fn release(&self) -> Result<(), JobError> {
        self.client.delete_session(&self.identifier).await?;
        Ok(())
    }

    fn directory(&self) -> String {
        format!("{}/{}", SessionPath::ROOT, self.attempt.directory())
    }
}

/// A fresh mark for the frame of one call.
pub fn nonce() -> Nonce {
    let text = Uuid::new_v4().simple().to_string();
    Nonce::new(&text[..16]).expect("invariant: hexadecimal digits are alphanumeric")
}
