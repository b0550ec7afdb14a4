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

/// The file in the root of the files API that says what the session was before its first command: [`Cleaning::mark`].
pub const MARK_FILE: &str = "lg-session";

/// That a call is to empty the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleaning<'a> {
    /// What the session was before its first command. `None` in the call that starts that one, which finds it out and tells. So does
    /// one that finds nothing of the attempt before this one: that is another session.
    pub baseline: Option<&'a Baseline>,
    /// What is written into [`MARK_FILE`] of a session that is as it was: the baseline, so that it can be found again, with
    /// something that no command can make. `[A-Za-z0-9._ -]`.
    pub mark: Option<&'a str>,
    /// In which sessions.
    pub when: CleanWhen,
}

/// In which sessions a call is to leave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanWhen {
    /// In one whose command has ended, if all that it printed is in the frame.
    AllIsTold,
    /// In one whose command has ended. What it printed may not be there any more afterwards.
    Ended,
    /// In any one, whatever is in it: nobody has a command in it. What tells it from a new one afterwards is the attempt of the
    /// call.
    Abandoned,
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
        let told = |start, time, mounts, home: &str| {
            number(start) && number(time) && digest(mounts) && (home == "-" || digest(home))
        };
        // The last one: that no command can change what every program uses, so that it need not be looked at again.
        let valid = match parts[..] {
            [start, time, mounts, home] | [start, time, mounts, home, "r"] => told(start, time, mounts, home),
            _ => false,
        };
        valid.then_some(Self(text))
    }

    /// Whether both are of one session.
    pub fn is_of_same(&self, other: &Self) -> bool {
        let told = |it: &Self| it.0.trim_end_matches("_r").to_owned();
        told(self) == told(other)
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
    /// Before the frame is printed.
    pub clean: String,
    /// The fields in the frame.
    pub fields: &'static str,
}

impl Cleaning<'_> {
    /// The parts of the text of a call about `attempt`.
    pub(super) fn texts(
        &self,
        attempt: &AttemptFiles,
        earlier: Option<&AttemptFiles>,
        prepare: &dyn Fn(&str) -> String,
    ) -> Texts {
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
            .replace("@ROOT@", attempt.root())
            .replace("@MARK@", self.mark.unwrap_or_default())
            .replace("@MARK_FILE@", MARK_FILE)
            .replace("@ID@", id);
        let (is_to_be_emptied, is_alone) = match self.when {
            CleanWhen::AllIsTold => ("lg_over && lg_told", "lg_alone"),
            CleanWhen::Ended => ("lg_over", "lg_alone"),
            CleanWhen::Abandoned => ("lg_make", "true"),
        };
        let same = earlier.map(|it| it.places().join(" ")).unwrap_or_default();
        Texts {
            baseline: prepare(include_str!("baseline.sh"))
                .replace("@STATE@\n", &state)
                .replace("@EARLIER@", &same)
                .replace("@BASELINE@", self.baseline.map_or("-", Baseline::as_str)),
            clean: prepare(include_str!("clean.sh"))
                .replace("@ROOT@", attempt.root())
                .replace("@HIDDEN@", &hidden.join(" "))
                .replace("@IS_TO_BE_EMPTIED@", is_to_be_emptied)
                .replace("@IS_ALONE@", is_alone)
                .replace("@MARK_FILE@", MARK_FILE)
                .replace("@ID@", id)
                .replace("@EMPTY@", &quote(&empty)),
            fields: " $lg_base $lg_left",
        }
    }
}

/// The part of the text of a call that removes what the attempt before has left, before a command begins.
pub(super) fn removal(earlier: &AttemptFiles, prepare: &dyn Fn(&str) -> String) -> String {
    prepare(include_str!("earlier.sh"))
        .replace("@EARLIER@", &earlier.places().join(" "))
        .replace("@EARLIER_FILES@", &format!("{}.*", earlier.path()))
}
