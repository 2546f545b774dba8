//! What the language says, and that no text breaks its reader.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use filter::{
    Argument, Comparator, Expression, Field, FilterError, MAX_BYTES, MAX_DEPTH, MAX_TERMS,
    Restriction, Tail, parse,
};
use proptest::prelude::*;

/// The filter, written with all its parentheses.
fn read(text: &str) -> String {
    parse(text)
        .unwrap()
        .map_or_else(String::new, |expression| expression.to_string())
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn or_binds_tighter_than_and() {
    assert_eq!(
        read("a=1 AND b=2 OR c=3 AND d=4"),
        r#"a = "1" AND (b = "2" OR c = "3") AND d = "4""#
    );
    assert_eq!(
        read("(a=1 AND b=2) OR c=3"),
        r#"(a = "1" AND b = "2") OR c = "3""#
    );
}

#[test]
fn and_may_be_left_out_and_not_be_a_minus() {
    assert_eq!(read("a=1 -b=2"), r#"a = "1" AND NOT b = "2""#);
    assert_eq!(read("NOT (a=1 b:2)"), r#"NOT (a = "1" AND b : "2")"#);
    assert_eq!(read("  "), "");
}

#[test]
fn words_and_strings_say_the_same() {
    assert_eq!(read("e=urn:imei:*"), r#"e = "urn:imei:*""#);
    assert_eq!(read(r"e='a b'"), r#"e = "a b""#);
    assert_eq!(read(r#"e="a\*\"""#), r#"e = "a\*\"""#);
    assert_eq!(
        read("t >= 2026-11-30T17:00:00Z"),
        r#"t >= "2026-11-30T17:00:00Z""#
    );
    assert_eq!(
        read(r#"labels.example.com/a=1 OR labels."x y"=1"#),
        r#"labels.example.com/a = "1" OR labels."x y" = "1""#
    );
}

#[test]
fn an_error_says_where_it_is_and_what_could_stand_there() {
    for (text, expected) in [
        (
            "a",
            "at position 1: expected one of = != < <= > >= :, found the end",
        ),
        (
            "a=",
            "at position 2: expected a value; one with spaces, parentheses or = < > ! , has to be quoted, found the end",
        ),
        (
            "a=1 AND",
            "at position 7: expected a field, NOT or (, found the end",
        ),
        (
            "(a=1",
            "at position 4: expected AND, OR or ), found the end",
        ),
        (
            "a=1)",
            "at position 3: expected AND, OR or the end, found \")\"",
        ),
        (
            "=1",
            "at position 0: expected a field, NOT or (, found \"=1\"",
        ),
        (
            "a=\"1",
            "at position 2: the string that begins here does not end",
        ),
        (
            "labels.=1",
            "at position 7: expected a key after the dot, found \"=1\"",
        ),
        (
            "a=*1",
            "at position 2: a * can only stand at the end; \\* in quotes is the character",
        ),
        (
            "a=1=2",
            "at position 3: expected a field, NOT or (, found \"=2\"",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn length_depth_and_number_of_comparisons_are_bounded() {
    let long = " ".repeat(MAX_BYTES + 1);
    assert_eq!(parse(&long), Err(FilterError::TooLong(MAX_BYTES + 1)));
    let deep = format!("{}a=1{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    assert!(matches!(parse(&deep), Err(FilterError::TooDeep { .. })));
    let many = "a=1 ".repeat(MAX_TERMS);
    assert!(parse(&many).is_ok());
    assert!(matches!(
        parse(&format!("{many} a=1")),
        Err(FilterError::TooManyTerms { .. })
    ));
}

fn restriction() -> impl Strategy<Value = Expression> {
    let comparator = prop::sample::select(vec![
        Comparator::Equal,
        Comparator::NotEqual,
        Comparator::Less,
        Comparator::LessOrEqual,
        Comparator::Greater,
        Comparator::GreaterOrEqual,
        Comparator::Has,
    ]);
    let tail = prop::sample::select(vec![Tail::Nothing, Tail::Any]);
    let name = "[a-z][a-z_0-9]{0,5}";
    (name, prop::option::of(".{1,5}"), comparator, ".{0,6}", tail).prop_map(
        |(name, member, comparator, text, tail)| {
            Expression::Restriction(Restriction {
                field: Field {
                    name,
                    member,
                    at: 0,
                },
                comparator,
                argument: Argument { text, tail, at: 0 },
            })
        },
    )
}

fn expression() -> impl Strategy<Value = Expression> {
    restriction().prop_recursive(4, 20, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several().prop_map(Expression::And),
            several().prop_map(Expression::Or),
            inner
                .clone()
                .prop_map(|inner| Expression::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(expression in expression()) {
        let text = expression.to_string();
        // What does not fit is refused as such.
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, Some(expression)),
            Err(error) => prop_assert!(
                matches!(error, FilterError::TooLong(_) | FilterError::TooManyTerms { .. } | FilterError::TooDeep { .. }),
                "{}: {}", text, error
            ),
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in r#"[abN OTRD()"'*=<>!:.\\é-]{0,40}"#) {
        match parse(&text) {
            Ok(Some(read)) => prop_assert_eq!(parse(&read.to_string()), Ok(Some(read))),
            Ok(None) => prop_assert!(text.trim().is_empty()),
            Err(error) => prop_assert!(error.at() <= text.len() && text.is_char_boundary(error.at())),
        }
    }
}
