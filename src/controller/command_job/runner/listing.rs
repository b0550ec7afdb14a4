//! The last resort where frames keep getting lost: what the files API says about the attempt's directory.

use super::attempt::AttemptFiles;
use super::call::KillReason;
use super::frame::{Payload, Report, ReportedState, Stream, centiseconds};

/// Reads the end of an attempt from a listing of [`AttemptFiles::directory`] as `(name, size)`. `None` where no exit mark is
/// there: the attempt may run or be lost, which a listing cannot tell.
pub fn ended<'a>(files: impl IntoIterator<Item = (&'a str, u64)>) -> Option<Report> {
    let (mut mark, mut prepared, mut out, mut err) = (None, false, 0, 0);
    for (name, size) in files {
        match name {
            "c.t" => prepared = true,
            AttemptFiles::STDOUT => out = size,
            AttemptFiles::STDERR => err = size,
            _ => mark = mark.or(name.strip_prefix("exit.").and_then(exit_mark)),
        }
    }
    let (exit_code, start, end, killed) = mark?;
    let state = if prepared {
        ReportedState::Ended {
            exit_code,
            elapsed: centiseconds(start, end),
            killed,
        }
    } else {
        ReportedState::Unprepared { killed }
    };
    let stream = |length| Stream {
        length,
        payload: Payload::Absent,
    };
    Some(Report {
        state,
        stdout: stream(out),
        stderr: stream(err),
        missing: Vec::new(),
    })
}

fn exit_mark(text: &str) -> Option<(u8, u64, u64, Option<KillReason>)> {
    let mut parts = text.split('.');
    let code = parts.next()?.parse().ok()?;
    let start = parts.next()?.parse().ok()?;
    let end = parts.next()?.parse().ok()?;
    let reason = parts.next()?;
    Some((code, start, end, (reason != "-").then(|| KillReason::of_word(reason))))
}
