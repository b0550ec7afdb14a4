//! The last resort where frames keep getting lost: what the files API says about the attempt's directory.

use super::call::KillReason;
use super::cleaning::Cleaned;
use super::frame::{Payload, Report, ReportedState, Stream, centiseconds, length};

/// Reads the end of an attempt from the names in [`super::AttemptFiles::directory`]. `None` where no exit mark is there: the attempt may
/// run or be lost, which a listing cannot tell.
pub fn ended<'a>(files: impl IntoIterator<Item = &'a str>) -> Option<Report> {
    files
        .into_iter()
        .find_map(|name| exit_mark(name.strip_prefix("exit.")?))
}

fn exit_mark(text: &str) -> Option<Report> {
    let [code, start, end, reason, out, err] = text.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    let killed = (reason != "-").then(|| KillReason::of_word(reason));
    let state = match code {
        "-" => ReportedState::Unprepared { killed },
        code => ReportedState::Ended {
            exit_code: code.parse().ok()?,
            elapsed: centiseconds(start.parse().ok()?, end.parse().ok()?),
            killed,
        },
    };
    let stream = |text: &str| {
        let (length, is_incomplete) = length(text)?;
        Some(Stream {
            length,
            is_incomplete,
            payload: Payload::Absent,
        })
    };
    Some(Report {
        state,
        stdout: stream(out)?,
        stderr: stream(err)?,
        missing: Vec::new(),
        cleaned: Cleaned::default(),
    })
}
