//! Names and directories of files, as the files API takes them.

/// Where a session's files are.
pub const DATA_ROOT: &str = "/mnt/data";

/// The characters, besides letters and digits, that the documentation of Azure Container Apps allows in names of files.
pub const DOCUMENTED_CHARACTERS: &str = "-_ .@$&=;,#%^()";

/// Longest name of a file, in bytes (Linux `NAME_MAX`).
const MAX_NAME_BYTES: usize = 255;

/// Why a name or a directory was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A directory has a dot in it, which the service does not take (Azure Container Apps, "Upload files to a session").
    #[error("directory paths may not contain '.': {0:?}")]
    DotInDirectory(String),
    /// A name is empty, too long, `.` or `..`, or has a character that the service does not take.
    #[error("the file name is not valid: {0:?}")]
    Name(String),
}

/// A directory below `/mnt/data`, relative to it; empty for `/mnt/data` itself. It never leads out of it by its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirectoryPath(String);

impl DirectoryPath {
    /// `sub/dir`, `/sub/dir` and `/mnt/data/sub/dir` are the same directory; an absent path is `/mnt/data`.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        Self::parse_with(text, DOCUMENTED_CHARACTERS)
    }

    /// As [`parse`](Self::parse), of names with these characters.
    pub fn parse_with(text: &str, characters: &str) -> Result<Self, PathError> {
        let below = match text.strip_prefix(DATA_ROOT) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => text,
        };
        let segments: Vec<&str> = below.split('/').filter(|segment| !segment.is_empty()).collect();
        for segment in &segments {
            if segment.contains('.') {
                return Err(PathError::DotInDirectory(text.to_owned()));
            }
            FileName::parse_with(segment, characters)?;
        }
        Ok(Self(segments.join("/")))
    }

    /// A directory that was found by listing: its name may have characters that an upload may not.
    pub(super) fn of_listing(relative: &str) -> Self {
        Self(relative.to_owned())
    }

    /// The directory relative to `/mnt/data`, without slashes at its ends; empty for `/mnt/data` itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names on the way from `/mnt/data` to the directory.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }
}

/// The name of a file, without any directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// Letters and digits of any script, and the [`DOCUMENTED_CHARACTERS`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        Self::parse_with(text, DOCUMENTED_CHARACTERS)
    }

    /// Letters and digits of any script, and `characters`, of which a slash is never one.
    pub fn parse_with(text: &str, characters: &str) -> Result<Self, PathError> {
        let allowed = |character: char| {
            character.is_alphanumeric() || (characters.contains(character) && !matches!(character, '/' | '\0'))
        };
        let valid = !matches!(text, "" | "." | "..") && text.len() <= MAX_NAME_BYTES && text.chars().all(allowed);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(PathError::Name(text.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_root_may_be_spelt_out_or_left_out() {
        for text in ["", "/", "/mnt/data", "/mnt/data/"] {
            assert_eq!(DirectoryPath::parse(text).unwrap().as_str(), "", "{text:?}");
        }
        for text in ["a/b", "/a/b/", "/mnt/data/a//b"] {
            assert_eq!(DirectoryPath::parse(text).unwrap().as_str(), "a/b", "{text:?}");
        }
        assert_eq!(DirectoryPath::parse("/mnt/database").unwrap().as_str(), "mnt/database");
    }

    #[test]
    fn a_directory_with_a_dot_is_refused() {
        for text in [".", "..", "a/../b", "/mnt/data/../../etc", ".hidden", "a.b"] {
            assert!(
                matches!(DirectoryPath::parse(text), Err(PathError::DotInDirectory(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn names_take_the_documented_characters_and_no_others() {
        for name in ["a.txt", "lg-1.sh", "r\u{e9}sum\u{e9} (1).pdf", "a@$&=;,#%^", "..a"] {
            assert!(FileName::parse(name).is_ok(), "{name:?}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "a\0b",
            "a\nb",
            "a*",
            "a+b",
            &"x".repeat(256),
        ] {
            assert!(FileName::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn characters_are_a_choice_but_for_the_slash() {
        assert!(FileName::parse_with("a+b.txt", "+.").is_ok());
        assert!(FileName::parse_with("a-b.txt", "+.").is_err());
        assert!(FileName::parse_with("a/b", "/").is_err());
    }
}
