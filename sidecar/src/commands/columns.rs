//! Columns as `ryanuber/columnize` aligns them (`docs/spec/agent-cli.md` 1.4).

/// Aligns `rows`, whose cells are separated by `|`. No final newline; blanks at both ends of the whole are gone.
pub(super) fn columns(rows: &[Vec<u8>]) -> Vec<u8> {
    let rows: Vec<Vec<&[u8]>> = rows.iter().map(|row| row.split(|byte| *byte == b'|').map(trim).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (index, cell) in row.iter().enumerate() {
            match widths.get_mut(index) {
                Some(width) => *width = (*width).max(characters(cell)),
                None => widths.push(characters(cell)),
            }
        }
    }
    let lines: Vec<Vec<u8>> = rows.iter().map(|row| line(row, &widths)).collect();
    trim(&lines.join(&b'\n')).to_vec()
}

fn line(row: &[&[u8]], widths: &[usize]) -> Vec<u8> {
    let mut line = Vec::new();
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        line.extend_from_slice(cell);
        if index.saturating_add(1) < row.len() {
            let padding = width.saturating_sub(characters(cell)).saturating_add(GAP);
            line.resize(line.len().saturating_add(padding), b' ');
        }
    }
    line
}

/// Blanks between columns.
const GAP: usize = 2;

/// Without white space at both ends; Unicode's where the text is UTF-8.
fn trim(cell: &[u8]) -> &[u8] {
    match std::str::from_utf8(cell) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => cell.trim_ascii(),
    }
}

/// How many characters Go counts: a byte that is no UTF-8 counts for itself.
fn characters(cell: &[u8]) -> usize {
    cell.utf8_chunks().map(|chunk| chunk.valid().chars().count().saturating_add(chunk.invalid().len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(rows: &[&str]) -> String {
        let rows: Vec<Vec<u8>> = rows.iter().map(|row| row.as_bytes().to_vec()).collect();
        String::from_utf8(columns(&rows)).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = aligned(&["alpha|127.0.13.1:7946|alive|role=web,dc=east", "beta|127.0.13.2:7946|alive|role=db"]);
        let expected = "alpha  127.0.13.1:7946  alive  role=web,dc=east\nbeta   127.0.13.2:7946  alive  role=db";
        assert_eq!(text, expected);
    }

    #[test]
    fn only_inner_lines_end_in_blanks() {
        assert_eq!(aligned(&["a|alive|", "b|failed|"]), "a  alive   \nb  failed");
    }

    #[test]
    fn rows_may_have_different_numbers_of_cells() {
        assert_eq!(aligned(&["a|b", "a|bbb| c |d", "x"]), "a  b\na  bbb  c  d\nx");
    }

    #[test]
    fn widths_are_characters() {
        assert_eq!(aligned(&["é|1", "ab|2"]), "é   1\nab  2");
        assert_eq!(columns(&[b"\xff\xff|1".to_vec(), b"a|2".to_vec()]), b"\xff\xff  1\na   2");
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(aligned(&[]), "");
        assert_eq!(aligned(&[" | "]), "");
    }
}
