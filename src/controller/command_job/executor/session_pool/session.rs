//! One attempt's session, through the client of its pool.

use std::time::Duration;

use uuid::Uuid;

use crate::azure::session::{InvalidSessionPath, SessionIdentifier, SessionPath};
use crate::azure::{SessionClient, SessionError};
use crate::controller::command_job::attempt::AttemptIdentity;
use crate::controller::command_job::runner::{
    AttemptFiles, AttemptId, Call, FrameError, MARK_FILE, Nonce, Report, Upload, ended,
};

/// One attempt's session.
#[derive(Clone, Debug)]
pub struct AttemptSession {
    client: SessionClient,
    identifier: SessionIdentifier,
    /// The attempt's files in it.
    pub files: AttemptFiles,
}

impl AttemptSession {
    /// The session of an attempt.
    pub fn new(client: SessionClient, identity: &AttemptIdentity) -> Self {
        let identifier = SessionIdentifier::new(identity.session.identifier.as_str());
        let id = AttemptId::new(identity.attempt.as_str());
        Self {
            client,
            identifier: identifier.expect("invariant: derived identifiers have the characters that Azure allows"),
            files: AttemptFiles::new(id.expect("invariant: derived identifiers have the characters of an attempt id")),
        }
    }

    /// Puts a file into the session. Starts nothing; allocates the session if there is none.
    pub async fn upload(&self, upload: Upload) -> Result<(), SessionError> {
        let path = valid(SessionPath::in_root(upload.name));
        self.told(self.client.upload(&self.identifier, &path, upload.content).await)
    }

    /// Sends one call, once, and reads its frame.
    pub async fn execute(&self, call: &Call<'_>, window: Duration) -> Result<Result<Report, FrameError>, SessionError> {
        let text = call.render();
        let execution = self.client.execute_shell(&self.identifier, &text, window).await;
        let execution = self.told(execution)?;
        Ok(call.parse(execution.stdout.as_bytes(), execution.stderr.as_bytes()))
    }

    /// What the files of the attempt say of its end: for when frames keep getting lost.
    pub async fn end_by_files(&self) -> Result<Option<Report>, SessionError> {
        let files = self.client.list_files(&self.identifier, &self.directory()).await;
        let files = self.told(files)?;
        Ok(ended(files.iter().map(|it| it.name.as_str())))
    }

    /// Reads a file of the attempt, at most `max_bytes` of it.
    pub async fn download(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>, SessionError> {
        let path = valid(SessionPath::new(self.directory(), name));
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let download = self.client.download(&self.identifier, &path, max_bytes).await;
        Ok(self.told(download)?.bytes)
    }

    /// Asks the session for nothing in particular, so that it lives on.
    pub async fn touch(&self) -> Result<(), SessionError> {
        let root = self.client.list_files(&self.identifier, SessionPath::ROOT).await;
        self.told(root).map(drop)
    }

    /// What the session says that it was before its first command; at most `max_bytes`.
    pub async fn read_mark(&self, max_bytes: usize) -> Result<Vec<u8>, SessionError> {
        let path = valid(SessionPath::in_root(MARK_FILE));
        let download = self.client.download(&self.identifier, &path, max_bytes).await;
        Ok(self.told(download)?.bytes)
    }

    /// Ends the session with everything in it. One that is gone is as good.
    pub async fn release(&self) -> Result<(), SessionError> {
        self.told(self.client.delete_session(&self.identifier).await)
    }

    /// The service's messages may repeat what names the session and its files, which nobody is to be told.
    fn told<T>(&self, result: Result<T, SessionError>) -> Result<T, SessionError> {
        result.map_err(|mut error| {
            for name in [self.identifier.as_str(), self.files.id().as_str()] {
                error.message = error.message.replace(name, "…");
            }
            error
        })
    }

    fn directory(&self) -> String {
        format!("{}/{}", SessionPath::ROOT, self.files.directory())
    }
}

fn valid(path: Result<SessionPath, InvalidSessionPath>) -> SessionPath {
    path.expect("invariant: the names of an attempt's files are such that the files API takes them")
}

/// A fresh mark for the frame of one call.
pub fn nonce() -> Nonce {
    let text = Uuid::new_v4().simple().to_string();
    Nonce::new(&text[..16]).expect("invariant: hexadecimal digits are alphanumeric")
}
