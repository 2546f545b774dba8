//! Filters of lists.

use ::filter::{MAX_BYTES, parse};

/// A filter that is read is read alike when it is written; a refusal points into the text.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse(&text) {
        Ok(None) => assert!(text.trim().is_empty()),
        Ok(Some(read)) => {
            let written = read.to_string();
            // Quotes and parentheses make it longer.
            if written.len() <= MAX_BYTES
                && let Ok(again) = parse(&written)
            {
                assert_eq!(again, Some(read));
            }
        }
        Err(error) => assert!(error.at() <= text.len().max(MAX_BYTES)),
    }
}

/// What there is in the language.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "labels.site = north AND NOT state = REGISTERED",
        r#"endpoint = "urn:imei:*" OR (model != 'X 1' -objects:3303)"#,
        r#"labels."a b":* last_update_time >= 2026-11-30T17:00:00Z"#,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
