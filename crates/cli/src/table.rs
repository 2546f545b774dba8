//! Tables in the manner of kubectl: no lines, upper-case headings, columns three spaces apart.

use comfy_table::{ContentArrangement, Table, presets};

/// Renders `rows` below `headings`; every line ends without trailing spaces.
pub(crate) fn render<R>(headings: &[&str], rows: R) -> String
where
    R: IntoIterator<Item = Vec<String>>,
{
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// What a device sent must not break the table or reach the terminal as a control sequence.
fn one_line(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    printable(cell)
}

/// `text` with its control characters escaped.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_are_escaped() {
        let rows = vec![
            vec!["sim-0001".to_owned(), "a\nb".to_owned()],
            vec!["x".to_owned(), String::new()],
        ];
        let expected = "ENDPOINT   VALUE\nsim-0001   a\\nb\nx          -\n";
        assert_eq!(render(&["ENDPOINT", "VALUE"], rows), expected);
    }

    #[test]
    fn without_rows_there_are_headings() {
        assert_eq!(render(&["A", "B"], Vec::new()), "A   B\n");
    }
}
