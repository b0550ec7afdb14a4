//! Quoting for POSIX shells, and which names an environment variable may have when a shell has to set it.

/// One shell word that stands for exactly these bytes, which must not contain NUL.
pub fn quote_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut word = Vec::with_capacity(quoted_length(bytes));
    word.push(b'\'');
    for &byte in bytes {
        match byte {
            b'\'' => word.extend_from_slice(b"'\\''"),
            _ => word.push(byte),
        }
    }
    word.push(b'\'');
    word
}

/// How long [`quote_bytes`] makes these bytes.
pub fn quoted_length(bytes: &[u8]) -> usize {
    let longer = |byte: &u8| if *byte == b'\'' { 4 } else { 1 };
    2 + bytes.iter().map(longer).sum::<usize>()
}

/// One shell word that stands for exactly this text, which must not contain NUL.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Names that bash or dash refuse to set, compute anew at each use, or check; and the runner's own mark.
/// Observed with bash 5.2, dash 0.5.12 and busybox ash 1.35.
pub const REFUSED_ENV_NAMES: &[&str] = &[
    "BASHOPTS",
    "BASHPID",
    "BASH_ALIASES",
    "BASH_ARGC",
    "BASH_ARGV",
    "BASH_CMDS",
    "BASH_COMMAND",
    "BASH_LINENO",
    "BASH_MONOSECONDS",
    "BASH_SOURCE",
    "BASH_SUBSHELL",
    "BASH_VERSINFO",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HISTCMD",
    "LG_ID",
    "LINENO",
    "OPTIND",
    "PIPESTATUS",
    "PPID",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "UID",
    "_",
];

/// Whether a shell can export a variable of this name with any value: a C identifier that is none of [`REFUSED_ENV_NAMES`].
pub fn is_valid_env_name(name: &str) -> bool {
    let identifier = |(index, byte): (usize, u8)| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'_' => true,
        b'0'..=b'9' => index > 0,
        _ => false,
    };
    !name.is_empty() && name.bytes().enumerate().all(identifier) && !REFUSED_ENV_NAMES.contains(&name)
}
