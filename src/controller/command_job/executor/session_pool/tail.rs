//! Reading what a command that runs printed last.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::session::AttemptSession;
use crate::api::command_job::{CommandJob, OutputTail};
use crate::controller::command_job::output::{Output, window_bytes};
use crate::controller::command_job::runner::{AttemptFiles, Payload, Report, Secrets, Stream};

/// The end of both streams, as far as a call put it into its frame or below the files API; `None` where any of it is not to be had.
pub async fn read(
    session: &AttemptSession,
    report: &Report,
    output: &Output,
    job: &CommandJob,
    secrets: &Arc<Secrets>,
) -> Option<OutputTail> {
    let show = async |stream: &Stream, file: &'static str| {
        let most = window_bytes(secrets).min(stream.length);
        let mut _room = None;
        let window = match &stream.payload {
            Payload::Bytes(bytes) => bytes.clone(),
            Payload::Absent if stream.length == 0 => Vec::new(),
            Payload::Absent => {
                _room = Some(output.room_at_once(job, most)?);
                session.download(file, most).await.ok()?
            }
            Payload::Sha256(_) => return None,
        };
        Some(output.show(window, stream.length, secrets).await)
    };
    Some(OutputTail {
        // What the API server keeps of a time.
        time: MicroTime(Timestamp::from_microsecond(Timestamp::now().as_microsecond()).ok()?),
        stdout: show(&report.stdout, AttemptFiles::STDOUT_TAIL).await?,
        stderr: show(&report.stderr, AttemptFiles::STDERR_TAIL).await?,
    })
}
