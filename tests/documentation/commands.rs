//! The commands of the guides cannot drift: each says whether it is run, and names only files that are there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::blocks::{Block, blocks};
use crate::{read, repository};

/// The pages that lead through something, and whether their commands are run in order, by `hack/real-azure` and by the
/// end-to-end tests.
const GUIDES: [(&str, bool); 3] = [
    ("docs/real-azure.md", true),
    ("docs/recipes.md", true),
    ("docs/installation.md", false),
];

fn commands() -> impl Iterator<Item = (&'static str, bool, Block)> {
    GUIDES.into_iter().flat_map(|(page, is_run)| {
        let blocks = blocks(&read(&repository(page)));
        blocks.into_iter().map(move |block| (page, is_run, block))
    })
}

#[test]
fn every_command_of_a_guide_is_run_or_says_what_is_done_instead() {
    let stand_ins = read(&repository("hack/real-azure"));
    for (page, is_run, block) in commands() {
        let place = format!("{page}:{}", block.line);
        assert!(!block.language.is_empty(), "{place}: the block has no language");
        if block.language != "sh" {
            continue;
        }
        match block.mark.as_str() {
            "run" | "run:aks" | "run:kind" => assert!(is_run, "{place}: nothing runs this page"),
            "elsewhere" => assert!(!is_run, "{place}: what is done instead has no name"),
            mark => {
                let name = mark
                    .strip_prefix("elsewhere:")
                    .unwrap_or_else(|| panic!("{place}: `{mark}` says neither that it is run nor that it is not"));
                let case = format!("\n        {name})");
                assert!(
                    stand_ins.contains(&case),
                    "{place}: hack/real-azure does nothing instead of {name}"
                );
            }
        }
    }
}

#[test]
fn every_file_that_a_command_of_a_guide_names_is_there_or_was_written_before() {
    for (guide, _) in GUIDES {
        let mut written = BTreeSet::new();
        for (page, _, block) in commands().filter(|(page, ..)| *page == guide) {
            if block.language == "yaml" && !block.mark.is_empty() {
                written.insert(block.mark.clone());
            }
            if block.language != "sh" {
                continue;
            }
            let words: Vec<&str> = block.text.split_whitespace().collect();
            for (at, word) in words.iter().enumerate() {
                if let Some(file) = word.strip_prefix('>').filter(|it| !it.is_empty()) {
                    written.insert(file.to_owned());
                } else if *word == ">" {
                    written.extend(words.get(at + 1).map(|it| (*it).to_owned()));
                }
                let is_yaml = Path::new(word).extension().is_some_and(|it| it == "yaml");
                let names_a_file = is_yaml || word.starts_with("examples/") || word.starts_with("charts/");
                if names_a_file && !word.starts_with('>') {
                    assert!(
                        written.contains(*word) || repository(word).exists(),
                        "{page}:{}: there is no {word}",
                        block.line
                    );
                }
            }
        }
    }
}

#[test]
fn a_block_is_told_by_its_fence_also_within_a_list() {
    let page = "- text\n\n  ```sh run\n  one\n    two\n  ```\n\n```\nthree\n```\n";
    let block = |line, language: &str, mark: &str, text: &str| Block {
        line,
        language: language.to_owned(),
        mark: mark.to_owned(),
        text: text.to_owned(),
    };
    let expected = [block(3, "sh", "run", "one\n  two\n"), block(8, "", "", "three\n")];
    assert_eq!(blocks(page), expected);
}
