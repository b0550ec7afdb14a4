//! The fenced blocks of a page. What is done with one stands behind its language, where renderers ignore it:
//!
//! | fence | meaning |
//! |---|---|
//! | `sh run` | a command that is run as it stands; `sh run:WAY` on one way through the page only |
//! | `sh elsewhere`, `sh elsewhere:NAME` | a command that needs what is not on this machine; NAME is what is done instead |
//! | `yaml FILE` | a file that later commands name |
//! | `text printed`, `text refused` | all that the command before it prints; words of its failure |

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of its fence, from 1.
    pub line: usize,
    /// The first word of its fence; empty if there is none.
    pub language: String,
    /// The rest of its fence.
    pub mark: String,
    /// What is between the fences, without their indentation.
    pub text: String,
}

/// The blocks of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, fence)) = lines.next() {
        let indentation = fence.len() - fence.trim_start().len();
        let Some(words) = fence.trim_start().strip_prefix("```") else {
            continue;
        };
        let (language, mark) = words.trim().split_once(' ').unwrap_or((words.trim(), ""));
        let inside = lines.by_ref().map(|(_, line)| line);
        let mut text = String::new();
        for line in inside.take_while(|line| line.trim() != "```") {
            text.push_str(line.get(indentation..).unwrap_or_default());
            text.push('\n');
        }
        blocks.push(Block {
            line: at + 1,
            language: language.to_owned(),
            mark: mark.trim().to_owned(),
            text,
        });
    }
    blocks
}
