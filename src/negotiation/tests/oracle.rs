//! Compares the parser and the whole decision with a second implementation that is slow and plain.

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, proptest},
    sample::select,
};

use super::{
    generators::{
        arbitrary_values, byte, flawed_values, head_and_question, jumbled_values, long_values,
    },
    *,
};

/// `tchar`, RFC 9110 §5.6.2.
const TCHAR: &str = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The values of one header.
pub(super) type Values = Vec<Vec<u8>>;

/// Reads a list as RFC 9110 §5.3 and §5.6.1 describe it: joined, divided, trimmed.
fn naive_members(values: &Values) -> Option<Vec<String>> {
    if values.iter().map(Vec::len).sum::<usize>() > 8192 {
        return None;
    }
    // Every byte becomes the character with its number, so nothing is lost.
    let list: String = values.join(&b", "[..]).into_iter().map(char::from).collect();
    let members = list.split(',').map(|member| member.trim_matches([' ', '\t']).to_owned());
    let members: Vec<String> = members.filter(|member| !member.is_empty()).collect();
    (members.len() <= 64).then_some(members)
}

fn is_naive_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| TCHAR.contains(character))
}

/// Returns the names and versions of the offer, or `None` if it is malformed.
pub(super) fn naive_offers(values: &Values) -> Option<Vec<(String, Option<String>)>> {
    let offer = |member: String| {
        let parts: Vec<&str> = member.split('/').collect();
        let well_formed = parts.len() <= 2 && parts.iter().all(|part| is_naive_token(part));
        well_formed.then(|| (parts[0].to_owned(), parts.get(1).map(ToString::to_string)))
    };
    naive_members(values)?.into_iter().map(offer).collect()
}

pub(super) fn naively_names_option(values: &Values, option: &str) -> bool {
    naive_members(values).is_some_and(|members| {
        members.iter().all(|member| is_naive_token(member))
            && members.iter().any(|member| member.to_ascii_lowercase() == option)
    })
}

fn naively_meets(values: &Values) -> bool {
    let values: Vec<String> =
        values.iter().map(|value| String::from_utf8_lossy(value).to_ascii_lowercase()).collect();
    values == ["100-continue"] || !values.join("\n").contains("100-continue")
}

pub(super) fn append(headers: &mut HeaderMap, name: &HeaderName, values: &Values) {
    for value in values {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
}

#[track_caller]
fn check_header(values: &Values) {
    let mut headers = HeaderMap::new();
    append(&mut headers, &UPGRADE, values);
    append(&mut headers, &CONNECTION, values);

    let mut members = [Offer::NONE; MEMBERS];
    let parsed = parse_offers(headers.get_all(UPGRADE), &mut members);
    let naive = naive_offers(values);
    assert_eq!(parsed.is_some(), naive.is_some(), "{parsed:?} is not {naive:?}");
    if let (Some(parsed), Some(naive)) = (parsed, naive) {
        assert_eq!(parsed.len(), naive.len(), "{parsed:?} is not {naive:?}");
        for (offer, (name, version)) in iter::zip(parsed, naive) {
            let text = version.map(|version| format!("/{version}")).unwrap_or_default();
            let protocol: Protocol<'_> = (name + &text).parse().unwrap();
            assert!(protocol.is_offered_by(*offer), "{offer:?} is not {protocol}");
        }
    }
    for option in ["upgrade", "foo", "f"] {
        let named = names_connection_option(&headers, option);
        assert_eq!(named, naively_names_option(values, option), "{option}");
    }
}

/// The whole decision, one condition after the other.
pub(super) fn naive_answer(head: &request::Parts, question: &Question<'_>) -> Option<String> {
    let values =
        |name| head.headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect();
    let offers = naive_offers(&values(UPGRADE))?;
    let body = question.body?;
    let fits = match body {
        Length::Exactly(bytes) | Length::Announced(bytes) => bytes <= question.body_limit as u64,
        Length::Chunked => question.chunked,
    };
    if head.version != Version::HTTP_11
        || ["CONNECT", "TRACE"].contains(&head.method.as_str())
        || !naively_names_option(&values(CONNECTION), "upgrade")
        || !fits
        || (!body.is_zero() && !naively_meets(&values(EXPECT)))
    {
        return None;
    }
    let mut pairs = Vec::new();
    for (offer_rank, (name, version)) in offers.iter().enumerate() {
        for (pattern_rank, pattern) in question.registered.iter().enumerate() {
            let (registered, rule) = pattern.split_once('/').unwrap_or((pattern, ""));
            let matches = registered.eq_ignore_ascii_case(name)
                && (rule == "*" || rule == version.as_deref().unwrap_or_default());
            let ranks = match question.preference {
                Preference::Client => (offer_rank, pattern_rank),
                Preference::Server => (pattern_rank, offer_rank),
            };
            let version = version.as_ref().map(|version| format!("/{version}")).unwrap_or_default();
            pairs.extend(matches.then(|| (ranks, registered.to_owned() + &version)));
        }
    }
    pairs.into_iter().min().map(|(_, protocol)| protocol)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_are_read_as_by_the_oracle(values in arbitrary_values()) {
        check_header(&values);
    }

    #[test]
    fn jumbled_lists_are_read_as_by_the_oracle(values in jumbled_values()) {
        check_header(&values);
    }

    #[test]
    fn flawed_lists_are_read_as_by_the_oracle(values in flawed_values()) {
        check_header(&values);
    }

    #[test]
    fn long_lists_are_read_as_by_the_oracle(values in long_values()) {
        check_header(&values);
    }

    #[test]
    fn the_decision_is_that_of_the_oracle((head, question) in head_and_question()) {
        assert_eq!(question.answer(&head), naive_answer(&head, &question));
    }

    #[test]
    fn no_head_makes_negotiation_panic(
        (mut head, question) in head_and_question(),
        lists in vec((select(&[CONNECTION, UPGRADE, EXPECT][..]), vec(byte(), 0..64)), 0..8),
        option in any::<String>(),
    ) {
        for (name, value) in lists {
            append(&mut head.headers, &name, &vec![value]);
        }
        drop(question.ask(&head));
        let _ = names_connection_option(&head.headers, &option);
        let stack = ["TLS".parse().unwrap(), "HTTP/1.1".parse().unwrap()];
        let _ = Offered::new(&head.headers, false).allows(&stack[0], &stack);
    }
}
