//! Where the frames of a WebSocket end, so that a close frame can be put between two of them.

/// Follows the frames of a server through the bytes that it sends (RFC 6455 §5.2).
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The head of the frame that is being read.
    head: [u8; 10],
    read: usize,
    /// How many bytes of the payload are still to come.
    payload: u64,
    has_closed: bool,
}

impl Frames {
    /// Whether the last byte was the last of a frame, or there was none yet.
    pub(super) fn is_between(&self) -> bool {
        self.read == 0 && self.payload == 0
    }

    /// Whether there was a close frame, behind which there are no frames.
    pub(super) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Follows the bytes, to the end of the frame in which they begin. Returns how many these are.
    pub(super) fn follow_one(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while self.payload == 0 {
            let Some(&byte) = bytes.get(at) else { return at };
            self.head[self.read] = byte;
            (self.read, at) = (self.read + 1, at + 1);
            if self.read == head_length(self.head) {
                self.has_closed |= self.head[0] & 0xf == 8;
                self.payload = payload_length(self.head);
                self.read = 0;
                if self.payload == 0 {
                    return at;
                }
            }
        }
        let rest = bytes.len() - at;
        let payload = usize::try_from(self.payload).unwrap_or(rest).min(rest);
        self.payload -= payload as u64;
        at + payload
    }

    /// Follows all the bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let followed = self.follow_one(bytes);
            bytes = &bytes[followed..];
        }
    }
}

/// The length of a head, of which two bytes are known. A server does not mask; of one that does, the key
/// counts as payload.
fn head_length(head: [u8; 10]) -> usize {
    match head[1] & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

fn payload_length(head: [u8; 10]) -> u64 {
    let mask = if head[1] & 0x80 == 0 { 0 } else { 4 };
    let length = match head[1] & 0x7f {
        126 => u64::from(head[2]) << 8 | u64::from(head[3]),
        127 => head[2..].iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        length => length.into(),
    };
    length.saturating_add(mask)
}

/// A close frame of a server: 1001, going away.
pub(super) const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

#[cfg(test)]
mod tests {
    use super::*;

    /// The offsets at which a frame ends, when the bytes come in pieces of this size.
    fn ends(bytes: &[u8], piece: usize) -> (Vec<usize>, bool) {
        let (mut frames, mut ends, mut at) = (Frames::default(), Vec::new(), 0);
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let followed = frames.follow_one(piece);
                assert!(followed > 0);
                (at, piece) = (at + followed, &piece[followed..]);
                if frames.is_between() {
                    ends.push(at);
                }
            }
        }
        (ends, frames.has_closed())
    }

    #[test]
    fn the_ends_of_frames_are_found_however_the_bytes_are_split() {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (head, payload) in [
            (&[0x81, 0][..], 0),
            (&[0x82, 125], 125),
            (&[0x01, 126, 0, 126], 126),
            (&[0x89, 1], 1),
            (&[0x80, 126, 0x01, 0x00], 256),
            (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
            // Masked, which a server must not do.
            (&[0x81, 0x82], 6),
        ] {
            bytes.extend_from_slice(head);
            bytes.extend(std::iter::repeat_n(0x88, payload));
            expected.push(bytes.len());
        }
        for piece in (1..20).chain([1000, bytes.len()]) {
            assert_eq!(ends(&bytes, piece), (expected.clone(), false), "{piece}");
        }
        bytes.extend(GOING_AWAY);
        assert!(ends(&bytes, 3).1);
    }

    #[test]
    fn the_longest_length_does_not_overflow() {
        let mut frames = Frames::default();
        frames.follow(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert!(!frames.is_between());
    }
}
