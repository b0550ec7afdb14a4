//! Masking of secret values in captured bytes.

use std::fmt;
use std::ops::Range;

const MASK: &[u8] = b"***";
const SHORTEST: usize = 4;

/// The secret values of one job, ready to be found. Never shown.
#[derive(Clone)]
pub struct Secrets {
    needles: Vec<Vec<u8>>,
    ignored: usize,
}

impl Secrets {
    /// Takes the values. Those under 4 bytes are not masked, because they would be found everywhere; of a value of several
    /// lines each line of at least 4 bytes is masked too.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut needles = Vec::new();
        let mut ignored = 0;
        for value in values {
            if value.len() < SHORTEST {
                ignored += usize::from(!value.is_empty());
                continue;
            }
            needles.push(value.to_vec());
            let lines = value.split(|&byte| byte == b'\n');
            let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            needles.extend(lines.filter(|line| line.len() >= SHORTEST).map(<[u8]>::to_vec));
        }
        needles.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles, ignored }
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// How many values were too short to be masked, which deserves a warning. Empty ones do not count.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// How many bytes more than it keeps [`Self::mask_head`] and [`Self::mask_tail`] must be given, so that no part of a
    /// secret is left at the cut.
    pub fn margin(&self) -> usize {
        self.needles.first().map_or(0, |longest| longest.len() - 1)
    }

    /// Replaces each occurrence by `***` and counts the replacements. Occurrences that overlap are replaced as one.
    pub fn mask(&self, stream: &[u8]) -> (Vec<u8>, u64) {
        let found = self.find(stream);
        let mut masked = Vec::with_capacity(stream.len());
        let mut end = 0;
        for range in &found {
            masked.extend_from_slice(&stream[end..range.start]);
            masked.extend_from_slice(MASK);
            end = range.end;
        }
        masked.extend_from_slice(&stream[end..]);
        (masked, found.len() as u64)
    }

    /// Masks the beginning of a longer stream. The last [`margin`](Self::margin) bytes only help to recognise what
    /// begins before them and are dropped.
    pub fn mask_head(&self, head: &[u8]) -> (Vec<u8>, u64) {
        let mut end = head.len().saturating_sub(self.margin());
        for range in self.find(head) {
            if range.contains(&end) {
                end = range.end;
            }
        }
        self.mask(&head[..end])
    }

    /// Masks the end of a longer stream. The first [`margin`](Self::margin) bytes only help to recognise what ends after
    /// them and are dropped.
    pub fn mask_tail(&self, tail: &[u8]) -> (Vec<u8>, u64) {
        let mut start = self.margin().min(tail.len());
        for range in self.find(tail).into_iter().rev() {
            if range.start < start && start < range.end {
                start = range.start;
            }
        }
        self.mask(&tail[start..])
    }

    /// Where secrets are: sorted, disjoint.
    fn find(&self, stream: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for needle in &self.needles {
            occurrences(stream, needle, |start| found.push(start..start + needle.len()));
        }
        found.sort_unstable_by_key(|range| (range.start, range.end));
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

/// All occurrences, overlapping ones too (Horspool's search).
fn occurrences(stream: &[u8], needle: &[u8], mut report: impl FnMut(usize)) {
    let last = needle.len() - 1;
    let mut skip = [needle.len(); 256];
    for (index, &byte) in needle[..last].iter().enumerate() {
        skip[usize::from(byte)] = last - index;
    }
    let mut start = 0;
    while start + needle.len() <= stream.len() {
        let window = &stream[start..start + needle.len()];
        if window == needle {
            report(start);
            start += 1;
        } else {
            start += skip[usize::from(window[last])];
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} hidden)", self.needles.len())
    }
}
