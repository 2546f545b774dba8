use super::*;

#[test]
fn comments_and_literals_are_no_code() {
    let source = r##"
// coap_lite in a comment
/* and /* nested coap_lite */ here */
//! coap_lite
let a = "coap_lite \" coap_lite";
let b = r#"coap_lite " coap_lite"#;
let c = br"coap_lite";
let d = ('"', '\'', b'"'); use_it::<'a>(coap_lite::Packet);
"##;
    assert_eq!(lines_with(&code(source), "coap_lite"), [8]);
}

#[test]
fn blanking_keeps_every_line_where_it_was() {
    let source = "/* é\n\n*/ a\n\"x\ny\" b";
    assert_eq!(code(source).lines().count(), source.lines().count());
    assert_eq!(lines_with(&code(source), "b"), [5]);
}

#[test]
fn a_token_is_a_whole_word() {
    assert_eq!(
        lines_with("openraft_memory\nmy_openraft\nopenraft::Raft", "openraft"),
        [3]
    );
    assert_eq!(
        lines_with("Instant::now_or\nInstant::now()", "Instant::now"),
        [2]
    );
    assert_eq!(lines_with("offs::read\nfs::read", "fs::"), [2]);
}

#[test]
fn what_is_compiled_for_tests_only_is_no_product_code() {
    let source = "\
fn a() { Instant::now(); }
#[cfg(test)]
mod tests {
    fn b() { if x { Instant::now(); } }
}
#[cfg(test)]
use std::time::Instant::now;
fn c() { Instant::now(); }
";
    assert_eq!(lines_with(&product_code(source), "Instant::now"), [1, 8]);
}

#[test]
fn unfinished_source_is_read_to_its_end() {
    for source in [
        "/* a",
        "\"a",
        "'",
        "r#\"a",
        "#[cfg(test)]",
        "#[cfg(test)] mod x {",
        "b'\\",
    ] {
        let _ = product_code(source);
    }
}
