//! What the service keeps of a stream.

/// The longest write(2) that a packet-mode pipe keeps in one piece (`PIPE_BUF` on Linux).
pub(super) const PACKET_BYTES: usize = 4096;

/// What happens to the streams of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRules {
    /// Bytes that are kept of each stream; what follows is dropped without a sign. The service keeps 4096.
    pub max_bytes: usize,
    /// Whether the last write to standard output before the end of the process is lost.
    pub lose_last_write: bool,
}

/// Collects one stream, write by write.
#[derive(Debug)]
pub(super) struct Capture {
    kept: Vec<u8>,
    max_bytes: usize,
    /// Where the last write began, in bytes of the whole stream.
    last_write_at: usize,
    total: usize,
}

impl Capture {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            kept: Vec::new(),
            max_bytes,
            last_write_at: 0,
            total: 0,
        }
    }

    /// Takes one write. A write above [`PACKET_BYTES`] arrives as several and counts as such.
    pub(super) fn push(&mut self, write: &[u8]) {
        self.last_write_at = self.total;
        self.total += write.len();
        let room = self.max_bytes.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&write[..write.len().min(room)]);
    }

    /// The stream as the service returns it.
    pub(super) fn finish(mut self, lose_last_write: bool) -> Vec<u8> {
        if lose_last_write {
            self.kept.truncate(self.last_write_at);
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(writes: &[&[u8]], max_bytes: usize, lose_last_write: bool) -> Vec<u8> {
        let mut capture = Capture::new(max_bytes);
        for write in writes {
            capture.push(write);
        }
        capture.finish(lose_last_write)
    }

    #[test]
    fn a_stream_is_cut_at_the_limit_in_bytes() {
        assert_eq!(captured(&[b"abc", "d\u{e9}".as_bytes()], 5, false), b"abcd\xc3");
    }

    #[test]
    fn a_lost_write_takes_exactly_itself() {
        assert_eq!(captured(&[b"abc", b"def", b"\n"], 4096, true), b"abcdef");
        assert_eq!(captured(&[b"abc"], 4096, true), b"");
        assert_eq!(captured(&[], 4096, true), b"");
    }

    #[test]
    fn losing_a_write_beyond_the_limit_changes_nothing() {
        assert_eq!(captured(&[b"abc", b"def"], 3, true), b"abc");
        assert_eq!(captured(&[b"abc", b"def"], 4, true), b"abc");
    }
}
