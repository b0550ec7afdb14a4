//! How a session is emptied for another command, and what is known of it then.
//!
//! The call that sees the end of a command empties the session before it prints its frame, so that nothing else has to be asked. It
//! ends processes first and then removes files, by names that no command can change the meaning of, and compares with what the
//! session was before its first command. That is told by the call that starts it, and given back by whoever asks: nothing of it
//! lies in the session, where a command could change it. A command that is root in its session can deceive all of this.
//!
//! What ended stays ended: the exit mark and the streams of the attempt stay until the next command begins, so that a call whose answer
//! was lost, or that was killed while it emptied, can be repeated. But a call may come late. One that finds files of another attempt
//! leaves everything alone; so a session is for another command only if each call that was to empty it was answered.

use super::attempt::AttemptFiles;
use super::quote::quote;

/// What changes in every session.
const CHANGING: &str = "/var/log";

/// That a call is to empty the session where it sees the end of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleaning<'a> {
    /// What the session was before its first command. `None` in the call that starts that one, which finds it out and tells.
    pub baseline: Option<&'a Baseline>,
    /// The attempt before this one, whose result is known: its files are removed before the command begins.
    pub earlier: Option<&'a AttemptFiles>,
}

/// What a session was before its first command, in the words of the call that started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline(String);

impl Baseline {
    /// Accepts `text` where it is one.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let parts: Vec<_> = text.split('_').collect();
        let number = |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let digest = |it: &str| it.len() == 16 && it.bytes().all(|b| b.is_ascii_hexdigit());
        let valid = match parts[..] {
            [start, time, mounts, home] => {
                number(start) && number(time) && digest(mounts) && (home == "-" || digest(home))
            }
            _ => false,
        };
        valid.then_some(Self(text))
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a call that was to empty its session tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// What the session was before its first command, where this call could know it.
    pub baseline: Option<Baseline>,
    /// What was left; `None` where it was not emptied, because the command has not ended, or not all that it printed is in the
    /// frame.
    pub remains: Option<Remains>,
}

/// What is left of a command in an emptied session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// Nothing that could be found: it is as it was.
    Nothing,
    /// Files of another attempt lie in it, so that nothing was removed.
    Used,
    /// Processes that could not be killed, or are started as fast as they are killed.
    Processes,
    /// Files that could not be removed.
    Files,
    /// A disk on which there is no room.
    Disk,
    /// Shared memory, semaphores or message queues.
    Ipc,
    /// A change of the home directory.
    Home,
    /// A change of what every program uses, or on `PATH`.
    System,
    /// Other mounts.
    Mounts,
    /// Programs that do not answer as they should.
    Programs,
    /// The session lacks what it takes to tell.
    Lacking,
    /// It took too long, or was not finished.
    Unfinished,
}

impl Remains {
    fn of_word(word: &str) -> Self {
        match word {
            "clean" => Self::Nothing,
            "used" => Self::Used,
            "processes" => Self::Processes,
            "files" => Self::Files,
            "disk" => Self::Disk,
            "ipc" => Self::Ipc,
            "home" => Self::Home,
            "system" => Self::System,
            "mounts" => Self::Mounts,
            "programs" => Self::Programs,
            "lacking" => Self::Lacking,
            _ => Self::Unfinished,
        }
    }
}

impl Cleaned {
    /// Reads the fields that a call adds to its frame.
    pub(super) fn of_fields(baseline: &str, remains: &str) -> Self {
        Self {
            baseline: Baseline::new(baseline),
            remains: (remains != "-").then(|| Remains::of_word(remains)),
        }
    }
}

/// The parts of a call's text that have to do with it.
#[derive(Default)]
pub(super) struct Texts {
    /// Before anything is started.
    pub baseline: String,
    /// Before the command is started.
    pub earlier: String,
    /// Before the frame is printed.
    pub clean: String,
    /// The fields in the frame.
    pub fields: &'static str,
}

impl Cleaning<'_> {
    /// The parts of the text of a call about `attempt`.
    pub(super) fn texts(&self, attempt: &AttemptFiles, prepare: &dyn Fn(&str) -> String) -> Texts {
        let emptied: Vec<_> = attempt.emptied().collect();
        let below: Vec<_> = emptied.iter().map(|it| format!("{it}/*")).collect();
        let hidden: Vec<_> = emptied.iter().map(|it| format!("{it}/.lg-*")).collect();
        let pruned = emptied.iter().chain([&CHANGING]);
        let pruned: Vec<_> = pruned.map(|it| format!("-o -path {it}")).collect();
        let id = attempt.id().as_str();
        let state = prepare(include_str!("state.sh")).replace("@BELOW_EMPTIED@", &below.join(" | "));
        let empty = prepare(include_str!("empty.sh"))
            .replace("@STATE@\n", &state)
            .replace("@EMPTIED@", &emptied.join(" "))
            .replace("@OWN@", &attempt.places().join(" "))
            .replace("@UNCHANGED@", &attempt.unchanged().join(" "))
            .replace("@PRUNED@", &pruned.join(" "))
            .replace("@ID@", id);
        let earlier = self.earlier.map_or_else(String::new, |earlier| {
            let beside = format!("{}.*", earlier.path());
            prepare(include_str!("earlier.sh"))
                .replace("@EARLIER@", &earlier.places().join(" "))
                .replace("@EARLIER_FILES@", &beside)
        });
        Texts {
            baseline: prepare(include_str!("baseline.sh"))
                .replace("@STATE@\n", &state)
                .replace("@BASELINE@", self.baseline.map_or("-", Baseline::as_str)),
            earlier,
            clean: prepare(include_str!("clean.sh"))
                .replace("@ROOT@", attempt.root())
                .replace("@HIDDEN@", &hidden.join(" "))
                .replace("@ID@", id)
                .replace("@EMPTY@", &quote(&empty)),
            fields: " $lg_base $lg_left",
        }
    }
}
