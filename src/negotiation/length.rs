//! The length of a request's body, known before any of it is read.

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

/// The length of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// The number of bytes that the head announces.
    Exactly(u64),
    /// The body is chunked, and its length is known only at its end.
    Chunked,
}

impl Length {
    /// Reads the length from the head, and checks it against the body's size hint, from `at_least` to
    /// `at_most`.
    ///
    /// The size hint alone is not enough, because an outer layer that wraps the body often hides its
    /// size. Returns `None` if the two contradict each other: an outer layer may then have replaced the
    /// client's body and left that one unread.
    pub(crate) fn of(headers: &HeaderMap, at_least: u64, at_most: Option<u64>) -> Option<Self> {
        if headers.contains_key(TRANSFER_ENCODING) {
            // hyper does not know the length of a chunked body. If the body knows it, an outer layer
            // made that body.
            return (at_most != Some(at_least)).then_some(Self::Chunked);
        }
        // RFC 9112 §6.3: a request with neither header has no body.
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(parse);
        let length = lengths.next().unwrap_or(Some(0))?;
        let agree = lengths.all(|other| other == Some(length));
        let contradicts = length < at_least || at_most.is_some_and(|at_most| length > at_most);
        (agree && !contradicts).then_some(Self::Exactly(length))
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_zero(self) -> bool {
        self == Self::Exactly(0)
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
        for (name, values, at_least, at_most, expected) in [
            // A body that knows its length.
            (None, &[][..], 0, Some(0), exactly(0)),
            (length, &["5"], 5, Some(5), exactly(5)),
            (length, &["0"], 0, Some(0), exactly(0)),
            (length, &["00000000000000000005"], 5, Some(5), exactly(5)),
            (length, &["5", "5"], 5, Some(5), exactly(5)),
            // A body that does not know it.
            (None, &[], 0, None, exactly(0)),
            (length, &["5"], 0, None, exactly(5)),
            (length, &["5"], 0, Some(9), exactly(5)),
            (length, &["18446744073709551615"], 0, None, exactly(u64::MAX)),
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
}
