//! Generators for the property tests: lists, well-formed or slightly malformed, and whole heads.

use std::fmt::Debug;

use proptest::{
    collection::vec,
    option,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::{Index, select},
    strategy::ValueTree,
    test_runner::TestRunner,
};

use super::{
    oracle::{Values, append, naive_answer, naive_offers, naively_names_option},
    *,
};

/// A byte that a header value can hold.
pub(super) fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8, Just(b'\t')]
}

pub(super) fn arbitrary_values() -> impl Strategy<Value = Values> {
    vec(vec(byte(), 0..24), 1..=4)
}

/// Lists of the usual parts, in any order.
pub(super) fn jumbled_values() -> impl Strategy<Value = Values> {
    let piece = prop_oneof![
        8 => Just(","),
        6 => select(&["f", "o", "foo", "1", "upgrade", "UpGrade", "websocket", "*"][..]),
        3 => select(&[" ", "\t", ", ", ",\t"][..]),
        1 => select(&["/", "\"", ";", "\u{ff}"][..]),
    ];
    let value = vec(piece, 0..8).prop_map(|pieces| {
        // The characters here are all below 256, and each becomes the byte with its number.
        pieces.concat().chars().map(|character| u8::try_from(character).unwrap()).collect()
    });
    vec(value, 1..=4)
}

/// A well-formed member: a token, perhaps with a version.
fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[fo]{1,3}(/[12])?",
        2 => select(&["foo", "FOO/1", "bar/2", "websocket", "TLS/1.2", "upgrade", "Upgrade"][..])
            .prop_map(str::to_owned),
        1 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9}(/[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9})?",
    ]
}

/// Well-formed lists of up to `members` members over several values, half of them only of tokens.
fn listed_values(members: usize) -> impl Strategy<Value = Values> {
    let member = ("[ \t]{0,2}", member(), "[ \t]{0,2}(,[ \t]?){0,2}", 0..4_usize);
    (vec(member, 0..members), 1..=4_usize, any::<bool>()).prop_map(|(members, count, versions)| {
        let mut values = vec![Vec::new(); count];
        for (before, member, after, value) in members {
            let name = member.split('/').next().unwrap();
            let member = if versions { &member } else { name };
            let value = &mut values[value % count];
            if !value.is_empty() {
                value.push(b',');
            }
            value.extend_from_slice((before + member + &after).as_bytes());
        }
        values
    })
}

/// Well-formed lists, half of them with one byte put in or replaced.
pub(super) fn flawed_values() -> impl Strategy<Value = Values> {
    let flaw = prop_oneof![byte(), select(&b"/ ,\t*\";\xff"[..])];
    let flaw = option::of((flaw, any::<Index>(), any::<Index>(), any::<bool>()));
    (listed_values(10), flaw).prop_map(|(mut values, flaw)| {
        if let Some((byte, value, at, replace)) = flaw {
            let value = value.get_mut(&mut values[..]);
            let at = at.index(value.len() + 1);
            value.splice(at..value.len().min(at + usize::from(replace)), [byte]);
        }
        values
    })
}

/// Lists about as long as they may be, in members or in bytes.
pub(super) fn long_values() -> impl Strategy<Value = Values> {
    let many = listed_values(100).boxed();
    let wide = (listed_values(20), any::<Index>(), 8184..8200_usize, select(&b" ,\tx"[..]));
    let wide = wide.prop_map(|(mut values, value, bytes, filler)| {
        let padding = bytes.saturating_sub(values.iter().map(Vec::len).sum());
        value.get_mut(&mut values[..]).extend(iter::repeat_n(filler, padding));
        values
    });
    prop_oneof![many, wide]
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![arbitrary_values(), jumbled_values(), flawed_values(), long_values()]
}

fn expectations() -> impl Strategy<Value = Values> {
    let value = select(&["100-continue", "100-Continue", "100-continue, x", "x", "", "\t"][..]);
    vec(value.prop_map(|value| value.as_bytes().to_vec()), 0..=2)
}

/// Patterns of which several match many of the offers.
const REGISTERED: [&str; 7] = ["bar/2", "f", "Foo/1", "fo/*", "foo/*", "foo", "websocket"];

/// An arbitrary head. Most could be upgraded.
pub(super) fn head_and_question() -> impl Strategy<Value = (request::Parts, Question<'static>)> {
    let version = prop_oneof![
        15 => Just(Version::HTTP_11),
        1 => select(&[Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3][..]),
    ];
    let method = prop_oneof![
        15 => select(&["GET", "POST", "HEAD", "OPTIONS", "BREW"][..]),
        1 => select(&["CONNECT", "TRACE"][..]),
    ];
    let connection = prop_oneof![
        4 => Just(vec![b"keep-alive".to_vec(), b"Upgrade".to_vec()]),
        1 => values(),
    ];
    let offered = select(&["foo/1", "bar/2", "FO"][..]);
    let taken = (listed_values(10), offered)
        .prop_map(|(values, offered)| [values, vec![offered.as_bytes().to_vec()]].concat());
    let upgrade = prop_oneof![4 => taken, 2 => flawed_values(), 1 => values()];
    let lists = (connection, upgrade, expectations());
    let body = prop_oneof![
        4 => Just(Some(Length::Exactly(0))),
        4 => (0..8_u64).prop_map(|bytes| Some(Length::Exactly(bytes))),
        2 => Just(Some(Length::Chunked)),
        1 => any::<Option<u64>>().prop_map(|bytes| bytes.map(Length::Exactly)),
    ];
    let limits = (0..7_usize, any::<bool>());
    let preference = select(&[Preference::Client, Preference::Server][..]);
    (version, method, lists, body, limits, preference).prop_map(
        |(version, method, (connection, upgrade, expect), body, limits, preference)| {
            let mut head = head("");
            head.version = version;
            head.method = method.parse().unwrap();
            append(&mut head.headers, &CONNECTION, &connection);
            append(&mut head.headers, &UPGRADE, &upgrade);
            append(&mut head.headers, &EXPECT, &expect);
            (
                head,
                Question {
                    registered: &REGISTERED,
                    body,
                    body_limit: limits.0,
                    chunked: limits.1,
                    preference,
                    ..QUESTION
                },
            )
        },
    )
}

/// Some generated values, the same in each run.
fn samples<T>(strategy: &impl Strategy<Value = T>) -> impl Iterator<Item = T>
where
    T: Debug,
{
    let mut runner = TestRunner::deterministic();
    (0..200).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

/// Fails unless `is` holds for at least so many of the 200 samples.
#[track_caller]
fn check_share<T>(samples: &[T], at_least: usize, is: impl Fn(&T) -> bool) {
    let count = samples.iter().filter(|sample| is(sample)).count();
    assert!(count >= at_least, "{count} of {}", samples.len());
}

#[test]
fn the_generated_lists_are_of_every_kind() {
    for lists in [
        samples(&jumbled_values()).collect::<Vec<_>>(),
        samples(&flawed_values()).collect(),
        samples(&long_values()).collect(),
    ] {
        check_share(&lists, 60, |values| naive_offers(values).is_some_and(|all| !all.is_empty()));
        check_share(&lists, 40, |values| naive_offers(values).is_none());
        check_share(&lists, 20, |values| naively_names_option(values, "upgrade"));
        check_share(&lists, 100, |values| values.len() > 1);
    }
    // There are well-formed lists on both sides of the limits.
    let lists: Vec<_> = samples(&long_values()).collect();
    let bytes = |values: &Values| values.iter().map(Vec::len).sum::<usize>();
    check_share(&lists, 20, |values| bytes(values) > 8192);
    check_share(&lists, 15, |values| bytes(values) > 8100 && naive_offers(values).is_some());
    let members = |values: &Values| {
        values
            .join(&b',')
            .split(|byte| *byte == b',')
            .filter(|it| !it.trim_ascii().is_empty())
            .count()
    };
    check_share(&lists, 20, |values| members(values) > 64);
    check_share(&lists, 10, |values| (48..=64).contains(&members(values)));
    // Arbitrary bytes are hardly ever a list. They are to be rejected, without a panic.
    check_share(&samples(&arbitrary_values()).collect::<Vec<_>>(), 100, |values| {
        naive_offers(values).is_none()
    });
}

#[test]
fn the_generated_heads_come_to_every_decision() {
    let heads: Vec<_> = samples(&head_and_question()).collect();
    check_share(&heads, 40, |(head, question)| naive_answer(head, question).is_some());
    check_share(&heads, 40, |(head, question)| naive_answer(head, question).is_none());
    check_share(&heads, 5, |(head, question)| {
        let client = Question { preference: Preference::Client, ..*question };
        let server = Question { preference: Preference::Server, ..*question };
        naive_answer(head, &client) != naive_answer(head, &server)
    });
    // Without its expectation, or with another limit, the request would be upgraded.
    check_share(&heads, 5, |(head, question)| {
        let mut head = head.clone();
        let with = naive_answer(&head, question);
        head.headers.remove(EXPECT);
        with.is_none() && naive_answer(&head, question).is_some()
    });
    check_share(&heads, 5, |(head, question)| {
        let with = naive_answer(head, question);
        let question = Question { body_limit: usize::MAX, ..*question };
        with.is_none() && naive_answer(head, &question).is_some()
    });
}
