//! Reading what a command printed, from its session.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::session::{AttemptSession, nonce};
use crate::azure::SessionError;
use crate::azure::session::SessionErrorKind;
use crate::controller::command_job::output::Raw;
use crate::controller::command_job::runner::{
    Action, AttemptFiles, Call, Payload, Stream, Streams, WHOLE_STREAM_BYTES,
};
use crate::controller::operator_key::hex;

/// How long reading one stream may take, whatever its session does meanwhile: others may wait for the room that it takes.
const READ_DEADLINE: Duration = Duration::from_secs(25);

/// Why a stream could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The data plane.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The session did not give it in time.
    #[error("the session did not give the file {0} within {seconds} seconds", seconds = READ_DEADLINE.as_secs())]
    TimedOut(&'static str),
    /// A file of the session is shorter than it was said to be.
    #[error("the file {0} of the session is shorter than it was a moment ago")]
    Short(&'static str),
    /// A file of the session is not what its digest says.
    #[error("the file {0} of the session is not what it was when the command ended")]
    Altered(&'static str),
}

impl StreamError {
    /// Whether what was looked for is not there, or not as it was.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Session(error) => error.kind == SessionErrorKind::NotFound,
            Self::Short(_) | Self::Altered(_) => true,
            Self::TimedOut(_) => false,
        }
    }
}

/// The names of a stream's files in a session.
#[derive(Clone, Copy, Debug)]
pub struct StreamFiles {
    whole: &'static str,
    head: &'static str,
    tail: &'static str,
}

impl StreamFiles {
    /// Of the standard output.
    pub const STDOUT: Self = Self {
        whole: AttemptFiles::STDOUT,
        head: AttemptFiles::STDOUT_HEAD,
        tail: AttemptFiles::STDOUT_TAIL,
    };
    /// Of the standard error.
    pub const STDERR: Self = Self {
        whole: AttemptFiles::STDERR,
        head: AttemptFiles::STDERR_HEAD,
        tail: AttemptFiles::STDERR_TAIL,
    };
}

/// How many bytes [`read`] brings that are not in memory already.
pub fn bytes_to_read(stream: &Stream, end_bytes: u64) -> u64 {
    match &stream.payload {
        Payload::Bytes(_) => 0,
        Payload::Sha256(_) | Payload::Absent if stream.length > WHOLE_STREAM_BYTES => end_bytes.saturating_mul(2),
        Payload::Sha256(_) | Payload::Absent => stream.length,
    }
}

/// Reads a stream: all of it, or of one over [`WHOLE_STREAM_BYTES`] the first and the last `end_bytes`.
pub async fn read(
    session: &AttemptSession,
    stream: &Stream,
    files: StreamFiles,
    end_bytes: u64,
) -> Result<Raw, StreamError> {
    let reading = tokio::time::timeout(READ_DEADLINE, read_on(session, stream, files, end_bytes));
    reading.await.unwrap_or(Err(StreamError::TimedOut(files.whole)))
}

async fn read_on(
    session: &AttemptSession,
    stream: &Stream,
    files: StreamFiles,
    end_bytes: u64,
) -> Result<Raw, StreamError> {
    let digest = match &stream.payload {
        _ if stream.length == 0 => return Ok(Raw::Whole(Vec::new())),
        Payload::Bytes(bytes) => return Ok(Raw::Whole(bytes.clone())),
        Payload::Sha256(digest) => Some(digest),
        Payload::Absent => None,
    };
    let wanted = WantedStream {
        stream,
        digest,
        files,
        end_bytes,
    };
    // The call that told the digest put the stream there, unless it is too long.
    if digest.is_some() && stream.length <= WHOLE_STREAM_BYTES {
        match wanted.download(session).await {
            // What the command left running may have cleaned up.
            Err(error) if error.is_missing() => {}
            done => return done,
        }
    }
    let call = Call {
        attempt: &session.files,
        nonce: nonce(),
        window_seconds: 1,
        linger_milliseconds: 0,
        streams: Streams::Files {
            head: end_bytes,
            tail: end_bytes,
        },
        earlier: None,
        cleaning: None,
        action: Action::Observe,
    };
    // What counts is what lies there afterwards; its frame may have got lost like those before.
    let _frame = session.execute(&call, Duration::from_secs(1)).await?;
    wanted.download(session).await
}

/// A stream that does not come with a frame.
struct WantedStream<'a> {
    stream: &'a Stream,
    digest: Option<&'a String>,
    files: StreamFiles,
    end_bytes: u64,
}

impl WantedStream<'_> {
    async fn download(&self, session: &AttemptSession) -> Result<Raw, StreamError> {
        let (length, files, end_bytes) = (self.stream.length, self.files, self.end_bytes);
        if length > WHOLE_STREAM_BYTES {
            return Ok(Raw::Ends {
                head: at_least(session, files.head, end_bytes, end_bytes).await?,
                tail: at_least(session, files.tail, end_bytes, end_bytes).await?,
                length,
                sha256: self.digest.cloned(),
            });
        }
        // A process that outlived the command may have written on; the stream is what was measured at the end.
        let bytes = at_least(session, files.whole, length, length).await?;
        // Whatever stands between here and the session may answer with a page of its own.
        if self.digest.is_some_and(|it| hex(&Sha256::digest(&bytes)) != *it) {
            return Err(StreamError::Altered(files.whole));
        }
        Ok(Raw::Whole(bytes))
    }
}

/// At most `most` bytes of a file that has at least `least`.
async fn at_least(session: &AttemptSession, file: &'static str, most: u64, least: u64) -> Result<Vec<u8>, StreamError> {
    let bytes = session.download(file, most).await?;
    if (bytes.len() as u64) < least {
        return Err(StreamError::Short(file));
    }
    Ok(bytes)
}
