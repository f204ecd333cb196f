//! How long a request's body is, before a byte of it is read.

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// As many bytes as the head announces.
    Exactly(u64),
    /// Its end is in the body itself: it is chunked.
    Chunked,
}

impl Length {
    /// Tells the length from the head, with `at_least` and `at_most`, which the body says of
    /// itself.
    ///
    /// The head is asked and not the body, because an outer layer that wraps the body often hides
    /// how long it is. Returns `None` if the two contradict each other: an outer layer may then have
    /// put another body in the place of the client's, and left that one unread.
    pub(crate) fn of(headers: &HeaderMap, at_least: u64, at_most: Option<u64>) -> Option<Self> {
        if headers.contains_key(TRANSFER_ENCODING) {
            // hyper does not know the length of a chunked body. Where it is known, somebody else
            // made the body.
            return (at_most != Some(at_least)).then_some(Self::Chunked);
        }
        // RFC 9112 §6.3: neither of the two headers means that there is no body.
        let mut lines = headers.get_all(CONTENT_LENGTH).iter().map(parse);
        let length = lines.next().unwrap_or(Some(0))?;
        let agree = lines.all(|line| line == Some(length));
        let contradicts = length < at_least || at_most.is_some_and(|at_most| length > at_most);
        (agree && !contradicts).then_some(Self::Exactly(length))
    }

    /// Whether there is nothing to read.
    pub(crate) fn is_zero(self) -> bool {
        self == Self::Exactly(0)
    }
}

/// `1*DIGIT`, RFC 9110 §8.6.
fn parse(line: &HeaderValue) -> Option<u64> {
    // A leading plus sign would parse as well.
    let digits = line.to_str().ok().filter(|digits| !digits.starts_with('+'))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_how_long_a_body_is_unless_the_body_contradicts() {
        let length = Some("content-length");
        let chunked = Some("transfer-encoding");
        let exactly = |length| Some(Length::Exactly(length));
        for (name, values, at_least, at_most, expected) in [
            // A body that says how long it is.
            (None, &[][..], 0, Some(0), exactly(0)),
            (length, &["5"], 5, Some(5), exactly(5)),
            (length, &["0"], 0, Some(0), exactly(0)),
            (length, &["00000000000000000005"], 5, Some(5), exactly(5)),
            (length, &["5", "5"], 5, Some(5), exactly(5)),
            // A body that does not.
            (None, &[], 0, None, exactly(0)),
            (length, &["5"], 0, None, exactly(5)),
            (length, &["5"], 0, Some(9), exactly(5)),
            (length, &["18446744073709551615"], 0, None, exactly(u64::MAX)),
            // One that contradicts.
            (None, &[], 1, None, None),
            (None, &[], 5, Some(5), None),
            (length, &["5"], 0, Some(0), None),
            (length, &["5"], 6, None, None),
            (length, &["5"], 0, Some(4), None),
            // No lengths, RFC 9112 §6.3: hyper answers these itself.
            (length, &[""], 0, None, None),
            (length, &["+5"], 5, Some(5), None),
            (length, &["-5"], 0, None, None),
            (length, &["5, 5"], 5, Some(5), None),
            (length, &["5", "6"], 5, Some(5), None),
            (length, &["18446744073709551616"], 0, None, None),
            (length, &["\u{e9}"], 0, None, None),
            // Chunked, and a layer that collected the body or put another in its place.
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
