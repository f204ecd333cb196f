//! The parser and the whole decision against another way to write them, slow and plain.

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, proptest},
    sample::select,
};

use super::{
    generators::{
        arbitrary_lines, flawed_lines, head_and_question, jumbled_lines, long_lines, byte,
    },
    *,
};

/// `tchar`, RFC 9110 §5.6.2.
const TCHAR: &str = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The lines of one field.
pub(super) type Lines = Vec<Vec<u8>>;

/// Reads a list as RFC 9110 §5.3 and §5.6.1 describe it: joined, divided, trimmed.
fn naive_members(lines: &Lines) -> Option<Vec<String>> {
    if lines.iter().map(Vec::len).sum::<usize>() > 8192 {
        return None;
    }
    // Every byte becomes the character with its number, so nothing is lost.
    let list: String = lines.join(&b", "[..]).into_iter().map(char::from).collect();
    let members = list.split(',').map(|member| member.trim_matches([' ', '\t']).to_owned());
    let members: Vec<String> = members.filter(|member| !member.is_empty()).collect();
    (members.len() <= 64).then_some(members)
}

fn is_naive_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| TCHAR.contains(character))
}

/// The names and versions of the offer, or `None` if it is void.
pub(super) fn naive_offers(lines: &Lines) -> Option<Vec<(String, Option<String>)>> {
    let offer = |member: String| {
        let parts: Vec<&str> = member.split('/').collect();
        let well_formed = parts.len() <= 2 && parts.iter().all(|part| is_naive_token(part));
        well_formed.then(|| (parts[0].to_owned(), parts.get(1).map(ToString::to_string)))
    };
    naive_members(lines)?.into_iter().map(offer).collect()
}

pub(super) fn naively_names_option(lines: &Lines, option: &str) -> bool {
    naive_members(lines).is_some_and(|members| {
        members.iter().all(|member| is_naive_token(member))
            && members.iter().any(|member| member.to_ascii_lowercase() == option)
    })
}

fn naively_meets(lines: &Lines) -> bool {
    let lines: Vec<String> =
        lines.iter().map(|line| String::from_utf8_lossy(line).to_ascii_lowercase()).collect();
    lines == ["100-continue"] || !lines.join("\n").contains("100-continue")
}

pub(super) fn append(headers: &mut HeaderMap, name: &HeaderName, lines: &Lines) {
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line).unwrap());
    }
}

#[track_caller]
fn check_field(lines: &Lines) {
    let mut headers = HeaderMap::new();
    append(&mut headers, &UPGRADE, lines);
    append(&mut headers, &CONNECTION, lines);

    let mut members = [Offer::NONE; MEMBERS];
    let parsed = parse_offers(&headers, &mut members);
    let naive = naive_offers(lines);
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
        assert_eq!(named, naively_names_option(lines, option), "{option}");
    }
}

/// The whole decision, one condition after the other.
pub(super) fn naive_answer(head: &request::Parts, question: &Question<'_>) -> Option<String> {
    let lines =
        |name| head.headers.get_all(name).iter().map(|line| line.as_bytes().to_vec()).collect();
    let offers = naive_offers(&lines(UPGRADE))?;
    let body = question.body?;
    let fits = match body {
        Length::Exactly(bytes) => bytes <= question.body_limit as u64,
        Length::Chunked => question.chunked,
    };
    if head.version != Version::HTTP_11
        || ["CONNECT", "TRACE"].contains(&head.method.as_str())
        || !naively_names_option(&lines(CONNECTION), "upgrade")
        || !fits
        || (body != Length::Exactly(0) && !naively_meets(&lines(EXPECT)))
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
    fn arbitrary_bytes_are_read_as_by_the_oracle(lines in arbitrary_lines()) {
        check_field(&lines);
    }

    #[test]
    fn jumbled_lists_are_read_as_by_the_oracle(lines in jumbled_lines()) {
        check_field(&lines);
    }

    #[test]
    fn flawed_lists_are_read_as_by_the_oracle(lines in flawed_lines()) {
        check_field(&lines);
    }

    #[test]
    fn long_lists_are_read_as_by_the_oracle(lines in long_lines()) {
        check_field(&lines);
    }

    #[test]
    fn the_decision_is_that_of_the_oracle((head, question) in head_and_question()) {
        assert_eq!(question.answer(&head), naive_answer(&head, &question));
    }

    #[test]
    fn no_head_makes_negotiation_panic(
        (mut head, question) in head_and_question(),
        fields in vec((select(&[CONNECTION, UPGRADE, EXPECT][..]), vec(byte(), 0..64)), 0..8),
        option in any::<String>(),
    ) {
        for (name, line) in fields {
            append(&mut head.headers, &name, &vec![line]);
        }
        drop(question.ask(&head));
        let _ = names_connection_option(&head.headers, &option);
        let _ = all_offered(&head.headers, &["TLS".parse().unwrap(), "HTTP/1.1".parse().unwrap()]);
    }
}
