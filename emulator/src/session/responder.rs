//! Executions that no process runs, for load tests.

use regex::{Captures, Regex};
use serde::{Deserialize, Serialize};

use super::execution::{Completion, Execution};
use super::memory::MemoryVolume;
use super::path::{DirectoryPath, FileName};

/// Executions are answered from templates instead of being run, so that a client can be measured rather than the machine.
///
/// A session that is allocated while this is switched on has no processes and keeps its files in memory. The first
/// responder that matches answers; where none does, the execution prints nothing and exits with 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SimulatedExecution {
    /// How long an execution takes, in real time.
    pub milliseconds: u64,
    /// How long the allocation of a session takes, on the virtual clock.
    pub allocation_milliseconds: u64,
    /// Who answers, tried in this order.
    pub responders: Vec<Responder>,
}

/// Answers the executions that it matches.
///
/// In its templates `${name}` stands for what the named group of `pattern` or `filePattern` captured, and `$$` for a
/// dollar; an unknown name is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Responder {
    /// Must match somewhere in the text of the execution.
    pub pattern: Pattern,
    /// Template of the path of a file below `/mnt/data` that must have been uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Must match somewhere in that file, read as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_pattern: Option<Pattern>,
    /// Template of standard output.
    #[serde(default)]
    pub stdout: String,
    /// Template of standard error.
    #[serde(default)]
    pub stderr: String,
    /// Exit code.
    #[serde(default)]
    pub exit_code: i32,
}

/// A regular expression (syntax of the Rust crate `regex`) that is known to be valid.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Regex::new(&text).map(Self)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl SimulatedExecution {
    /// What an execution of `text` in a session with these files returns.
    pub fn respond(&self, text: &str, files: &MemoryVolume) -> Execution {
        let answer = self
            .responders
            .iter()
            .find_map(|responder| responder.respond(text, files));
        let (stdout, stderr, exit_code) = answer.unwrap_or_default();
        Execution {
            stdout: stdout.into_bytes(),
            stderr: stderr.into_bytes(),
            completion: Completion::Exited(exit_code),
            duration: std::time::Duration::from_millis(self.milliseconds),
        }
    }
}

impl Responder {
    fn respond(&self, text: &str, files: &MemoryVolume) -> Option<(String, String, i32)> {
        let of_text = self.pattern.0.captures(text)?;
        let file = match &self.file {
            None => None,
            Some(template) => Some(read(&expand(template, &of_text, None), files)?),
        };
        let of_file = match (&self.file_pattern, &file) {
            (None, _) => None,
            (Some(pattern), Some(content)) => Some(pattern.0.captures(content)?),
            (Some(_), None) => return None,
        };
        let expand = |template| expand(template, &of_text, of_file.as_ref());
        Some((expand(&self.stdout), expand(&self.stderr), self.exit_code))
    }
}

fn read(path: &str, files: &MemoryVolume) -> Option<String> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let content = files
        .read(&DirectoryPath::parse(directory).ok()?, &FileName::parse(name).ok()?)
        .ok()?;
    Some(String::from_utf8_lossy(&content).into_owned())
}

fn expand(template: &str, of_text: &Captures<'_>, of_file: Option<&Captures<'_>>) -> String {
    let mut expanded = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            let value = of_file
                .and_then(|captures| captures.name(name))
                .or_else(|| of_text.name(name));
            expanded.push_str(value.map_or("", |found| found.as_str()));
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn simulation(json: serde_json::Value) -> SimulatedExecution {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_first_responder_that_matches_fills_its_templates() {
        let simulation = simulation(serde_json::json!({ "responders": [
            { "pattern": "never" },
            { "pattern": "N=(?<nonce>[0-9a-f]+)", "stdout": "START ${nonce} $$ ${unknown}END\n", "stderr": "$x", "exitCode": 3 },
            { "pattern": "" },
        ]}));
        let execution = simulation.respond("N=beef; true", &MemoryVolume::default());
        assert_eq!(execution.stdout, b"START beef $ END\n");
        assert_eq!(execution.stderr, b"$x");
        assert_eq!(execution.completion, Completion::Exited(3));
    }

    #[test]
    fn a_responder_can_ask_for_an_uploaded_file() {
        let simulation = simulation(serde_json::json!({ "responders": [
            { "pattern": r"run (?<path>\S+)", "file": "${path}", "filePattern": "echo (?<word>.*)", "stdout": "${word}" },
            { "pattern": "", "stdout": "absent", "exitCode": 9 },
        ]}));
        let files = MemoryVolume::default();
        assert_eq!(simulation.respond("run /mnt/data/a.sh", &files).stdout, b"absent");
        let (directory, name) = (DirectoryPath::default(), FileName::parse("a.sh").unwrap());
        files.write(&directory, &name, Bytes::from_static(b"echo hello"));
        assert_eq!(simulation.respond("run /mnt/data/a.sh", &files).stdout, b"hello");
    }

    #[test]
    fn what_nobody_matches_succeeds_silently() {
        let execution = SimulatedExecution::default().respond("anything", &MemoryVolume::default());
        assert_eq!(
            (execution.stdout.len(), execution.completion),
            (0, Completion::Exited(0))
        );
    }

    #[test]
    fn an_invalid_pattern_is_refused() {
        let refused =
            serde_json::from_value::<SimulatedExecution>(serde_json::json!({"responders": [{"pattern": "("}]}));
        assert!(refused.is_err());
    }
}
