//! Switches of the data plane of session pools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::session::{DOCUMENTED_CHARACTERS, SimulatedExecution};

/// How the data plane of session pools behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SessionsBehaviour {
    /// Members of a Shell execution's body that are refused with 400. Live clients report these two; the tutorial of the
    /// documentation sends them.
    pub rejected_shell_fields: Vec<String>,
    /// Members of a Shell execution's body without which it is refused with 400: none on the live service.
    pub required_shell_fields: Vec<String>,
    /// How a Shell execution is answered.
    pub shell_response: ShellResponse,
    /// Bytes that are kept of each stream of an execution.
    pub stream_limit_bytes: usize,
    /// How often the last write to standard output is lost, from 0 to 1. Clients of the live service measured 0.016 to
    /// 0.04.
    pub lost_write_probability: f64,
    /// How long a synchronous execution may take before its connection is closed without an answer. The command goes on.
    pub synchronous_limit_seconds: f64,
    /// Largest file that can be uploaded; a larger one is answered with 413. The documentation says 128 MB.
    pub file_limit_bytes: usize,
    /// The characters, besides letters and digits, that names of files may have (the documentation's).
    pub file_name_characters: String,
    /// What a slash in the name of a file means.
    pub slashes_in_file_names: Slashes,
    /// How a request is answered that would need one session more than the pool has.
    pub exhaustion: Exhaustion,
    /// `Retry-After` of [`Exhaustion::TooManyRequests`]; 0 for none.
    pub exhaustion_retry_after_seconds: u32,
    /// Places of every pool that are taken although no list shows a session: none that anybody reported.
    pub unlisted_sessions: usize,
    /// How long the place of a session that has ended stays taken, on the virtual clock. Nobody reported that it does.
    pub release_seconds: f64,
    /// How long the allocation of a session takes at least, on the virtual clock; the request that needs it waits. Recorded
    /// traffic of a Python pool shows 0.1087.
    pub allocation_seconds: f64,
    /// Whether the answer to an execution tells in headers how its session was allocated. The service documents them for
    /// Python pools only.
    pub allocation_headers: bool,
    /// Sessions on one page of a list; the service's number is not known.
    pub page_size: usize,
    /// How a caller is answered whose role is missing or not in effect yet.
    pub missing_role: MissingRole,
    /// What is run in the place of an image of a custom container: its name as the pool gives it, and a program of this
    /// machine with its arguments. A container that has a `command` needs none.
    pub container_programs: BTreeMap<String, Vec<String>>,
    /// Executions are answered from templates instead of being run; `null` to run them. It holds for sessions that are
    /// allocated while it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated_execution: Option<SimulatedExecution>,
}

/// The shape of the answer to a Shell execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShellResponse {
    /// `status` is the exit code as a decimal string, as live-tested clients read it.
    Live,
    /// `status` is `Succeeded` or `Failed`, `exitCode` a number, as the container image's specification has it.
    Image,
}

/// What a slash in the name of a file means, in the name of an upload as well as in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slashes {
    /// Files have no directories but by `path`: of the name of an upload to `files/upload` the last part counts, as
    /// Semantic Kernel's plugin relies on, and any other name with a slash is refused, as authors of clients of the live
    /// service describe it.
    LastPart,
    /// What is before the last slash is a directory, as other clients write paths.
    Directory,
}

/// The answer to a request for a session that a full pool cannot give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exhaustion {
    /// 404, as the documentation of session pools says.
    NotFound,
    /// 429, as users of LangChain's tools report it of a live pool.
    TooManyRequests,
    /// 500, as a platform without capacity answers.
    InternalServerError,
}

/// The answer to a caller without the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MissingRole {
    /// 403.
    Forbidden,
    /// 401, which some clients of the live service see right after an assignment.
    Unauthorized,
}

impl Default for SessionsBehaviour {
    fn default() -> Self {
        Self {
            rejected_shell_fields: vec!["codeInputType".to_owned(), "executionType".to_owned()],
            required_shell_fields: Vec::new(),
            shell_response: ShellResponse::Live,
            stream_limit_bytes: 4096,
            lost_write_probability: 0.02,
            synchronous_limit_seconds: 220.0,
            file_limit_bytes: 128 * 1024 * 1024,
            file_name_characters: DOCUMENTED_CHARACTERS.to_owned(),
            slashes_in_file_names: Slashes::LastPart,
            exhaustion: Exhaustion::NotFound,
            exhaustion_retry_after_seconds: 5,
            unlisted_sessions: 0,
            release_seconds: 0.0,
            allocation_seconds: 0.1,
            allocation_headers: false,
            page_size: 100,
            missing_role: MissingRole::Forbidden,
            container_programs: BTreeMap::new(),
            simulated_execution: None,
        }
    }
}
