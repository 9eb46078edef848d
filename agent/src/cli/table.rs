//! Tables for people: no lines, two spaces between columns, fitted to the terminal.

use comfy_table::{CellAlignment, ContentArrangement, TableStyle};

use super::{escape, output::BOLD};

/// Narrowest terminal that a table is fitted to.
const MIN_WIDTH: u16 = 40;

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Columns of numbers.
    right: Vec<usize>,
}

impl Table {
    /// Begins a table; a heading that starts with `>` makes a column of numbers.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        let right = header.iter().enumerate();
        let right = right.filter(|(_, heading)| heading.starts_with('>'));
        Self {
            right: right.map(|(column, _)| column).collect(),
            header: header
                .iter()
                .map(|text| text.trim_start_matches('>'))
                .collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.map(|cell| escape::line(&cell)).to_vec());
    }

    /// Leaves out every column in which no row has anything.
    #[must_use]
    pub(crate) fn without_empty_columns(self) -> Self {
        let filled = |column: &usize| self.rows.iter().any(|row| !row[*column].is_empty());
        let kept: Vec<usize> = (0..self.header.len()).filter(filled).collect();
        let right = |(now, before): (usize, &usize)| self.right.contains(before).then_some(now);
        Self {
            header: kept.iter().map(|column| self.header[*column]).collect(),
            right: kept.iter().enumerate().filter_map(right).collect(),
            rows: self
                .rows
                .iter()
                .map(|row| kept.iter().map(|column| row[*column].clone()).collect())
                .collect(),
        }
    }

    /// Returns the table, or `empty` where it has no rows.
    pub(crate) fn to_text(&self, empty: &str) -> String {
        if self.rows.is_empty() {
            return empty.to_owned();
        }
        self.fit(terminal_width())
    }

    fn fit(&self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_style(TableStyle::new())
            .set_header(self.header.clone());
        table.add_rows(self.rows.iter());
        match width {
            Some(width) => table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width.max(MIN_WIDTH)),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.right.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut lines = table.lines().map(|line| line.trim_end().to_owned());
        let header = lines.next().unwrap_or_default();
        let rows: Vec<String> = lines.collect();
        format!("{BOLD}{header}{BOLD:#}\n{}\n", rows.join("\n"))
    }
}

/// Returns how many columns stdout's terminal has; `None` where it is not one.
fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", ">JOBS", "DETAIL"]);
        table.row([
            "bob-workstation".into(),
            "7".into(),
            "a long explanation of what it is".into(),
        ]);
        table.row(["x".into(), "12".into(), "one\u{1b}[2J".into()]);
        table
    }

    #[test]
    fn columns_align_and_hide_escapes() {
        let text = anstream::adapter::strip_str(&table().fit(None)).to_string();
        assert_eq!(
            text,
            "NAME             JOBS  DETAIL\n\
             bob-workstation     7  a long explanation of what it is\n\
             x                  12  one\\u{1b}[2J\n"
        );
        assert_eq!(Table::new(&["A"]).to_text("nothing yet"), "nothing yet");
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let mut table = Table::new(&["A", ">B", ">C"]);
        table.row(["".into(), "7".into(), "".into()]);
        table.row(["".into(), "12".into(), "".into()]);
        let text = table.without_empty_columns().fit(None);
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            " B\n 7\n12\n"
        );
    }

    #[test]
    fn a_narrow_terminal_folds_instead_of_cutting() {
        let text = anstream::adapter::strip_str(&table().fit(Some(40))).to_string();
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
        assert!(text.lines().count() > 3, "{text}");
    }
}
