use std::iter;

/// Rust source with comments and literals replaced by spaces: what is left is code. Offsets and
/// lines stay where they were.
pub(crate) fn code(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, code.chars().next_back());
        let (taken, after) = rest.split_at(length.unwrap_or_else(|| first.len_utf8()));
        if length.is_some() {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push_str(taken);
        }
        rest = after;
    }
    code
}

/// How many bytes of `rest` are a comment or a literal; `None` if it begins with code.
fn blank_length(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    let in_word = before.is_some_and(is_word);
    if !in_word && (rest.starts_with('r') || rest.starts_with("br")) {
        return raw_string(rest);
    }
    None
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// A quote begins a character if it is escaped or closed right after one; otherwise a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    let (at, second) = chars.next()?;
    if first == '\\' {
        return Some(quoted(rest, '\''));
    }
    (second == '\'').then_some(at + 1)
}

fn raw_string(rest: &str) -> Option<usize> {
    let opening = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r')?;
    let body = opening.trim_start_matches('#');
    let hashes = opening.len() - body.len();
    let text = body.strip_prefix('"')?;
    let closing: String = iter::once('"').chain(iter::repeat_n('#', hashes)).collect();
    let start = rest.len() - text.len();
    Some(
        text.find(&closing)
            .map_or(rest.len(), |at| start + at + closing.len()),
    )
}

/// [`code`] without the items that are compiled for tests only.
pub(crate) fn product_code(source: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut code = code(source);
    let mut from = 0;
    while let Some(found) = code.get(from..).and_then(|rest| rest.find(TEST)) {
        let start = from + found;
        let end = item_end(&code, start + TEST.len());
        let blank: String = code[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        code.replace_range(start..end, &blank);
        from = start + blank.len();
    }
    code
}

/// Where the item that begins at `start` ends: at a `;`, or at the `}` of its first block.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices().skip_while(|(at, _)| *at < start) {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The lines, counted from 1, on which `token` stands as whole words.
pub(crate) fn lines_with(code: &str, token: &str) -> Vec<usize> {
    code.lines()
        .enumerate()
        .filter(|(_, line)| names(line, token))
        .map(|(number, _)| number + 1)
        .collect()
}

fn names(line: &str, token: &str) -> bool {
    line.match_indices(token).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + token.len()..].chars().next();
        !before.is_some_and(is_word) && (token.ends_with("::") || !after.is_some_and(is_word))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests;
