//! The length of a request's body, known before any of it is read.

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// As many bytes as the head announces, and the body says the same.
    Exactly(u64),
    /// As many bytes as the head announces. An outer layer hides what the body says.
    Announced(u64),
    /// Only the end of the body tells, because it is chunked.
    Chunked,
}

impl Length {
    /// Returns the length that the head announces, or `None` if the body contradicts the head.
    ///
    /// The body is `at_least` and `at_most` so long, as far as it says so. An outer layer that wraps
    /// the body often hides its size. If head and body contradict each other, an outer layer may have
    /// replaced the client's body without reading it.
    pub(crate) fn of(headers: &HeaderMap, at_least: u64, at_most: Option<u64>) -> Option<Self> {
        if headers.contains_key(TRANSFER_ENCODING) {
            // hyper does not know the size of a chunked body, so a body with a known size is not
            // hyper's.
            return (at_most != Some(at_least)).then_some(Self::Chunked);
        }
        // RFC 9112 §6.3: a request with neither header has no body.
        let mut lines = headers.get_all(CONTENT_LENGTH).iter().map(parse);
        let length = lines.next().unwrap_or(Some(0))?;
        let agree = lines.all(|line| line == Some(length));
        let contradicts = length < at_least || at_most.is_some_and(|at_most| length > at_most);
        if !agree || contradicts {
            return None;
        }
        let is_said = at_most == Some(at_least);
        Some(if is_said { Self::Exactly(length) } else { Self::Announced(length) })
    }

    /// Returns the length if the client's own head announces the same, which an outermost layer has
    /// seen before any other could change it.
    pub(crate) fn confirmed_by(self, client: Option<Self>) -> Option<Self> {
        match (self, client) {
            (Self::Exactly(bytes) | Self::Announced(bytes), Some(Self::Announced(client))) => {
                (bytes == client).then_some(Self::Exactly(bytes))
            }
            (Self::Chunked, Some(Self::Chunked)) => Some(Self::Chunked),
            _ => None,
        }
    }

    /// Whether the body is read by a handler with this limit, which may read chunked bodies.
    pub(crate) fn fits(self, limit: usize, reads_chunked: bool) -> bool {
        match self {
            Self::Exactly(bytes) | Self::Announced(bytes) => {
                usize::try_from(bytes).is_ok_and(|bytes| bytes <= limit)
            }
            Self::Chunked => reads_chunked,
        }
    }

    /// Whether the head announces that there is nothing to read.
    pub(crate) fn is_zero(self) -> bool {
        matches!(self, Self::Exactly(0) | Self::Announced(0))
    }
}

/// Parses `1*DIGIT` (RFC 9110 §8.6).
fn parse(value: &HeaderValue) -> Option<u64> {
    // `parse` accepts a leading plus sign as well.
    let digits = value.to_str().ok().filter(|digits| !digits.starts_with('+'))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_has_the_length_of_the_body_unless_the_body_contradicts() {
        let length = Some("content-length");
        let chunked = Some("transfer-encoding");
        let exactly = |length| Some(Length::Exactly(length));
        let announced = |length| Some(Length::Announced(length));
        for (name, values, at_least, at_most, expected) in [
            // A body that knows its length.
            (None, &[][..], 0, Some(0), exactly(0)),
            (length, &["5"], 5, Some(5), exactly(5)),
            (length, &["0"], 0, Some(0), exactly(0)),
            (length, &["00000000000000000005"], 5, Some(5), exactly(5)),
            (length, &["5", "5"], 5, Some(5), exactly(5)),
            // A body that does not know it.
            (None, &[], 0, None, announced(0)),
            (length, &["5"], 0, None, announced(5)),
            (length, &["5"], 0, Some(9), announced(5)),
            (length, &["18446744073709551615"], 0, None, announced(u64::MAX)),
            // A body that contradicts the head.
            (None, &[], 1, None, None),
            (None, &[], 5, Some(5), None),
            (length, &["5"], 0, Some(0), None),
            (length, &["5"], 6, None, None),
            (length, &["5"], 0, Some(4), None),
            // Invalid lengths, RFC 9112 §6.3. hyper answers these requests itself.
            (length, &[""], 0, None, None),
            (length, &["+5"], 5, Some(5), None),
            (length, &["-5"], 0, None, None),
            (length, &["5, 5"], 5, Some(5), None),
            (length, &["5", "6"], 5, Some(5), None),
            (length, &["18446744073709551616"], 0, None, None),
            (length, &["\u{e9}"], 0, None, None),
            // A chunked body, and one that a layer collected or replaced.
            (chunked, &["chunked"], 0, None, Some(Length::Chunked)),
            (chunked, &["chunked"], 5, None, Some(Length::Chunked)),
            (chunked, &["gzip, chunked"], 0, Some(9), Some(Length::Chunked)),
            (chunked, &["chunked"], 0, Some(0), None),
            (chunked, &["chunked"], 5, Some(5), None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name.unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let given = Length::of(&headers, at_least, at_most);
            assert_eq!(given, expected, "{name:?}: {values:?}, {at_least} to {at_most:?}");
        }
    }

    #[test]
    fn the_clients_head_confirms_the_same_length_and_no_other() {
        let (exactly, announced) = (Length::Exactly, Length::Announced);
        for (length, client, confirmed) in [
            (exactly(5), Some(announced(5)), Some(exactly(5))),
            (announced(5), Some(announced(5)), Some(exactly(5))),
            (announced(0), Some(announced(0)), Some(exactly(0))),
            (Length::Chunked, Some(Length::Chunked), Some(Length::Chunked)),
            // A layer removed or changed the header.
            (exactly(0), Some(announced(5)), None),
            (announced(0), Some(announced(5)), None),
            (announced(0), Some(Length::Chunked), None),
            (exactly(5), Some(Length::Chunked), None),
            (Length::Chunked, Some(announced(5)), None),
            (announced(5), None, None),
        ] {
            assert_eq!(length.confirmed_by(client), confirmed, "{length:?} by {client:?}");
        }
    }
}
