//! Masking of secret values in captured bytes.
//!
//! Both the values and what is searched are a tenant's. So the work is linear in both, and what it takes in memory follows
//! from the size of the values alone: the mask is shorter than anything that is masked, so a stream is masked in place.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::automaton::{Automaton, Scan};
use super::quoted;

const MASK: &[u8] = b"***";
const SHORTEST: usize = 4;

/// After how many bytes it is asked whether masking is still wanted.
const BETWEEN_QUESTIONS: usize = 64 * 1024;

/// The secret values of one job, to be found. Never shown.
#[derive(Clone)]
pub struct Secrets {
    values: Vec<Bytes>,
    ignored: usize,
    bytes: usize,
    longest: usize,
}

impl Secrets {
    /// Takes the values. Those under 4 bytes are not masked, because they would be found everywhere; of a value of several
    /// lines each line of at least 4 bytes is masked too; and so is the value as shells quote it.
    pub fn new<T: Into<Bytes>>(values: impl IntoIterator<Item = T>) -> Self {
        let (mut values, short): (Vec<Bytes>, Vec<Bytes>) =
            values.into_iter().map(T::into).partition(|it| it.len() >= SHORTEST);
        values.sort_unstable();
        values.dedup();
        let (mut bytes, mut longest) = (0, 0);
        for value in &values {
            for_each_text(value, |text| {
                bytes += text.len();
                longest = longest.max(text.len());
            });
        }
        Self {
            values,
            ignored: short.iter().filter(|it| !it.is_empty()).count(),
            bytes,
            longest,
        }
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many values were too short to be masked, which deserves a warning. Empty ones do not count.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// How many bytes all texts have that are looked for: the measure of what masking takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes more than it keeps [`Self::mask_head`] and [`Self::mask_tail`] must be given, so that no part of a
    /// secret is left at the cut.
    pub fn margin(&self) -> usize {
        self.longest.saturating_sub(1)
    }

    /// Replaces each occurrence by `***` and counts the replacements. Occurrences that overlap are replaced as one. `None`
    /// where `is_given_up` said so meanwhile.
    pub fn mask(&self, stream: Vec<u8>, is_given_up: &dyn Fn() -> bool) -> Option<(Vec<u8>, u64)> {
        mask(&self.automaton(), stream, is_given_up)
    }

    /// Masks the beginning of a longer stream. The last [`margin`](Self::margin) bytes only help to recognise what
    /// begins before them and are dropped.
    pub fn mask_head(&self, mut head: Vec<u8>, is_given_up: &dyn Fn() -> bool) -> Option<(Vec<u8>, u64)> {
        let automaton = self.automaton();
        let mut end = head.len().saturating_sub(self.margin());
        find(&automaton, &head, is_given_up, |range| {
            if range.contains(&end) {
                end = range.end;
            }
        })?;
        head.truncate(end);
        mask(&automaton, head, is_given_up)
    }

    /// Masks the end of a longer stream. The first [`margin`](Self::margin) bytes only help to recognise what ends after
    /// them and are dropped.
    pub fn mask_tail(&self, mut tail: Vec<u8>, is_given_up: &dyn Fn() -> bool) -> Option<(Vec<u8>, u64)> {
        let automaton = self.automaton();
        let cut = self.margin().min(tail.len());
        let mut start = cut;
        find(&automaton, &tail, is_given_up, |range| {
            if range.start < cut && cut < range.end {
                start = range.start;
            }
        })?;
        tail.drain(..start);
        mask(&automaton, tail, is_given_up)
    }

    /// Masks the end of a stream that goes on. If it `is_cut` at its beginning, that is as in [`mask_tail`](Self::mask_tail); and
    /// what may be the beginning of a secret, of which the rest is still to come, is held back.
    pub fn mask_growing(&self, mut part: Vec<u8>, is_cut: bool, is_given_up: &dyn Fn() -> bool) -> Option<Vec<u8>> {
        let automaton = self.automaton();
        let cut = if is_cut { self.margin().min(part.len()) } else { 0 };
        let mut start = cut;
        let begun = find(&automaton, &part, is_given_up, |range| {
            if range.start < cut && cut < range.end {
                start = range.start;
            }
        })?;
        let mut end = part.len() - begun;
        find(&automaton, &part, is_given_up, |range| {
            if range.contains(&end) {
                end = range.end;
            }
        })?;
        part.truncate(end);
        part.drain(..start.min(end));
        mask(&automaton, part, is_given_up).map(|(masked, _)| masked)
    }

    /// What finds the values. It is large for as long as it lives.
    fn automaton(&self) -> Automaton {
        let mut texts = Vec::new();
        for value in &self.values {
            for_each_text(value, |text| texts.push(text));
        }
        Automaton::new(texts)
    }
}

/// What is looked for because of a value: the value, its quoted forms, and the lines of each.
fn for_each_text(value: &Bytes, mut visit: impl FnMut(Bytes)) {
    for form in std::iter::once(value.clone()).chain(quoted::forms(value)) {
        let lines = form.split(|&byte| byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        for line in lines.filter(|line| line.len() >= SHORTEST && line.len() < form.len()) {
            visit(form.slice_ref(line));
        }
        visit(form);
    }
}

/// Tells where secrets are: ranges that are sorted and disjoint. Returns how many bytes at the end may be the beginning of one more.
fn find(
    automaton: &Automaton,
    stream: &[u8],
    is_given_up: &dyn Fn() -> bool,
    mut visit: impl FnMut(Range<usize>),
) -> Option<usize> {
    let mut scan = Scan::new(automaton);
    for chunk in stream.chunks(BETWEEN_QUESTIONS) {
        if is_given_up() {
            return None;
        }
        for &byte in chunk {
            scan.push(byte);
            while let Some(range) = scan.settled() {
                visit(range);
            }
        }
    }
    let begun = scan.begun();
    scan.rest().for_each(visit);
    Some(begun)
}

fn mask(automaton: &Automaton, stream: Vec<u8>, is_given_up: &dyn Fn() -> bool) -> Option<(Vec<u8>, u64)> {
    let mut masked = InPlace {
        stream,
        kept: 0,
        written: 0,
        count: 0,
    };
    let mut scan = Scan::new(automaton);
    for at in 0..masked.stream.len() {
        if at % BETWEEN_QUESTIONS == 0 && is_given_up() {
            return None;
        }
        scan.push(masked.stream[at]);
        while let Some(range) = scan.settled() {
            masked.replace(&range);
        }
    }
    for range in scan.rest() {
        masked.replace(&range);
    }
    Some(masked.finish())
}

/// A stream whose beginning is masked. What is written never overtakes what is read.
struct InPlace {
    stream: Vec<u8>,
    /// Up to where the stream is dealt with.
    kept: usize,
    /// Up to where the masked stream is written.
    written: usize,
    count: u64,
}

impl InPlace {
    fn replace(&mut self, range: &Range<usize>) {
        self.copy(range.start);
        self.stream[self.written..self.written + MASK.len()].copy_from_slice(MASK);
        self.written += MASK.len();
        self.kept = range.end;
        self.count += 1;
    }

    fn copy(&mut self, end: usize) {
        self.stream.copy_within(self.kept..end, self.written);
        self.written += end - self.kept;
        self.kept = end;
    }

    fn finish(mut self) -> (Vec<u8>, u64) {
        self.copy(self.stream.len());
        self.stream.truncate(self.written);
        (self.stream, self.count)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} hidden)", self.values.len())
    }
}
