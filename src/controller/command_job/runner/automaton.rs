//! Finding many texts at once, in time that is linear in what is searched (Aho and Corasick, 1975).
//!
//! The texts are whatever a tenant put into its Secrets, so the worst case counts. The crate `aho-corasick` copies to each
//! state the matches of all states that it falls back to: for one long text of a single letter and many short ones these are
//! gigabytes. To know where anything is to be masked, the longest match at each place is enough. So a state is thirteen bytes
//! here, all of them allocated beforehand, and nothing is copied.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

const ROOT: u32 = 0;

/// A trie of texts, its states in order of their depth, so that the children of a state are neighbours.
pub struct Automaton {
    /// By state: the byte that leads to it.
    labels: Vec<u8>,
    /// By state: its first child. Its last one is before the first of the next state.
    first: Vec<u32>,
    /// By state: that of the longest proper end of its text that is the beginning of any.
    fallback: Vec<u32>,
    /// By state: how long the longest text is that ends here; 0 if none does.
    longest: Vec<u32>,
    /// How long the longest text is.
    most: usize,
}

impl Automaton {
    /// Finds `texts`, none of which is empty.
    pub fn new(mut texts: Vec<Bytes>) -> Self {
        texts.sort_unstable();
        texts.dedup();
        let states = texts.iter().map(Bytes::len).sum::<usize>() + 1;
        let mut automaton = Self {
            labels: Vec::with_capacity(states),
            first: Vec::with_capacity(states + 1),
            fallback: Vec::with_capacity(states),
            longest: Vec::with_capacity(states),
            most: texts.iter().map(Bytes::len).max().unwrap_or(0),
        };
        automaton.add(0, ROOT, 0);
        // The texts that begin with the text of a state, in the order of the states.
        let mut begun = VecDeque::from([(0..texts.len(), 0)]);
        let mut state = ROOT;
        while let Some((mut range, depth)) = begun.pop_front() {
            automaton.first.push(index(automaton.labels.len()));
            if range.start < range.end && texts[range.start].len() == depth {
                range.start += 1;
            }
            while range.start < range.end {
                let byte = texts[range.start][depth];
                let alike = texts[range.clone()].partition_point(|it| it[depth] == byte);
                let child = range.start..range.start + alike;
                let fallback = match state {
                    ROOT => ROOT,
                    _ => automaton.after(automaton.fallback[state as usize], byte),
                };
                let ends = texts[child.start].len() == depth + 1;
                automaton.add(byte, fallback, if ends { depth + 1 } else { 0 });
                range.start = child.end;
                begun.push_back((child, depth + 1));
            }
            state += 1;
        }
        automaton.first.push(index(automaton.labels.len()));
        automaton
    }

    fn add(&mut self, byte: u8, fallback: u32, ending: usize) {
        let inherited = self.longest.get(fallback as usize).copied().unwrap_or(0);
        self.labels.push(byte);
        self.fallback.push(fallback);
        self.longest.push(index(ending).max(inherited));
    }

    fn child(&self, state: u32, byte: u8) -> Option<u32> {
        let (from, to) = (self.first[state as usize], self.first[state as usize + 1]);
        let found = self.labels[from as usize..to as usize].binary_search(&byte).ok()?;
        Some(from + index(found))
    }

    /// How long the text of a state is. The children of one level are the next.
    fn depth(&self, state: u32) -> usize {
        let (mut level, mut depth) = (0..1, 0);
        while state >= level.end {
            level = self.first[level.start as usize]..self.first[level.end as usize];
            depth += 1;
        }
        depth
    }

    /// The state after one more byte. Each fallback is to a lesser depth, and each byte adds one to it at most, so there are
    /// no more fallbacks than bytes.
    fn after(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            match self.child(state, byte) {
                Some(child) => return child,
                None if state == ROOT => return ROOT,
                None => state = self.fallback[state as usize],
            }
        }
    }
}

/// A place among what has a budget of megabytes.
fn index(number: usize) -> u32 {
    u32::try_from(number).expect("invariant: all texts together are far below 4 GiB")
}

/// Reads a stream byte by byte and says where texts are in it: ranges that are sorted and disjoint, those that overlap as
/// one.
pub struct Scan<'a> {
    automaton: &'a Automaton,
    state: u32,
    read: usize,
    /// The ranges that a later match may still be joined with.
    open: VecDeque<Range<usize>>,
}

impl<'a> Scan<'a> {
    /// Begins to read.
    pub fn new(automaton: &'a Automaton) -> Self {
        Self {
            automaton,
            state: ROOT,
            read: 0,
            open: VecDeque::new(),
        }
    }

    /// Reads the next byte.
    pub fn push(&mut self, byte: u8) {
        self.state = self.automaton.after(self.state, byte);
        self.read += 1;
        let longest = self.automaton.longest[self.state as usize] as usize;
        if longest == 0 {
            return;
        }
        let mut found = self.read - longest..self.read;
        while let Some(last) = self.open.pop_back_if(|last| last.end > found.start) {
            found.start = found.start.min(last.start);
        }
        self.open.push_back(found);
    }

    /// The next range that no later match can be joined with.
    pub fn settled(&mut self) -> Option<Range<usize>> {
        let earliest = (self.read + 1).saturating_sub(self.automaton.most);
        self.open.pop_front_if(|it| it.end <= earliest)
    }

    /// How many bytes at the end may be the beginning of a text that is not read to its end; none where they are a whole one.
    pub fn begun(&self) -> usize {
        let depth = self.automaton.depth(self.state);
        let is_whole = self.automaton.longest[self.state as usize] as usize == depth;
        if is_whole { 0 } else { depth }
    }

    /// The ranges that are left when all is read.
    pub fn rest(self) -> impl Iterator<Item = Range<usize>> {
        self.open.into_iter()
    }

    /// How many ranges are in memory.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(automaton: &Automaton, stream: &[u8]) -> (Vec<Range<usize>>, usize) {
        let mut scan = Scan::new(automaton);
        let (mut found, mut most) = (Vec::new(), 0);
        for &byte in stream {
            scan.push(byte);
            most = most.max(scan.kept());
            found.extend(std::iter::from_fn(|| scan.settled()));
        }
        found.extend(scan.rest());
        (found, most)
    }

    /// The definition: every occurrence of every text, those that overlap as one.
    fn defined(texts: &[Vec<u8>], stream: &[u8]) -> Vec<Range<usize>> {
        let mut all: Vec<Range<usize>> = Vec::new();
        for text in texts {
            let at = |start: usize| stream[start..].starts_with(text).then(|| start..start + text.len());
            all.extend((0..stream.len()).filter_map(at));
        }
        all.sort_unstable_by_key(|range| (range.start, range.end));
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in all {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }

    fn few_letters(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![4 => Just(b'a'), 2 => Just(b'b'), 1 => Just(b'\n')], length)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn what_is_found_is_every_occurrence_of_every_text(
            texts in proptest::collection::vec(few_letters(1..9), 0..8),
            stream in few_letters(0..80),
        ) {
            let automaton = Automaton::new(texts.iter().cloned().map(Bytes::from).collect());
            prop_assert_eq!(ranges(&automaton, &stream).0, defined(&texts, &stream));
        }
    }

    #[test]
    fn what_is_kept_follows_from_the_texts_and_not_from_the_stream() {
        // Each text ends at each place of the stream: a match for each of them would be twenty million.
        let texts: Vec<Bytes> = (4..24).map(|n| Bytes::from(vec![b'a'; n])).collect();
        let automaton = Automaton::new(texts);
        let (found, most) = ranges(&automaton, &vec![b'a'; 1_000_000]);
        assert_eq!((found.len(), found[0].clone(), most), (1, 0..1_000_000, 1));
        // As many ranges as there can be: they settle as soon as nothing can be joined with them any more.
        let stream = b"aaaab".repeat(100_000);
        let (found, most) = ranges(&automaton, &stream);
        assert_eq!(found.len(), 100_000);
        assert!(most <= 24, "{most}");
    }

    #[test]
    fn the_size_is_that_of_the_texts_however_they_are_nested() {
        // 60 000 states, at each of which up to 300 texts end.
        let mut texts: Vec<Bytes> = (4..304).map(|n| Bytes::from(vec![b'a'; n])).collect();
        texts.push(Bytes::from(vec![b'a'; 60_000]));
        let automaton = Automaton::new(texts);
        assert_eq!(automaton.labels.len(), 60_001);
        assert_eq!(automaton.first.len(), 60_002);
        assert_eq!(automaton.longest.last(), Some(&60_000));
        assert_eq!(automaton.longest[59_999], 303);
    }
}
