//! A table of numbers: features and, in the last column, the class of each row.

use std::{error::Error, fmt};

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub features: Vec<f64>,
    pub class: u32,
}

/// All samples, with the names of their features.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub features: Vec<String>,
    pub rows: Vec<Row>,
}

impl Table {
    /// Reads comma-separated text: a line of names, then one line of numbers for each row.
    ///
    /// # Errors
    /// The line that is not such a line; a table without features or rows.
    pub fn parse(text: &str) -> Result<Self, InvalidTable> {
        let mut lines = text.lines().zip(1..);
        let (header, _) = lines.next().ok_or(InvalidTable::Empty)?;
        let mut features: Vec<String> = header.split(',').map(str::to_owned).collect();
        features.pop();
        let rows = lines
            .map(|(line, number)| {
                read_row(line)
                    .filter(|row| row.features.len() == features.len())
                    .ok_or(InvalidTable::Line(number))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if features.is_empty() || rows.is_empty() {
            return Err(InvalidTable::Empty);
        }
        Ok(Self { features, rows })
    }
}

fn read_row(line: &str) -> Option<Row> {
    let (features, class) = line.rsplit_once(',')?;
    let features = features
        .split(',')
        .map(|number| number.trim().parse::<f64>().ok().filter(|n| n.is_finite()))
        .collect::<Option<Vec<_>>>()?;
    Some(Row {
        features,
        class: class.trim().parse().ok()?,
    })
}

/// Why a text is not a [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidTable {
    Empty,
    /// Counted from 1.
    Line(usize),
}

impl fmt::Display for InvalidTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the table has no features or no rows"),
            Self::Line(number) => write!(
                f,
                "line {number} of the table is not made of one finite number for each feature and a class"
            ),
        }
    }
}

impl Error for InvalidTable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_numbers_under_names() {
        let table = Table::parse("acid,sugar,quality\n0.5,2,6\n1,3.5,5\n").unwrap();
        assert_eq!(table.features, ["acid", "sugar"]);
        assert_eq!(table.rows[1].features, [1.0, 3.5]);
        assert_eq!(table.rows[1].class, 5);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert_eq!(Table::parse(""), Err(InvalidTable::Empty));
        assert_eq!(Table::parse("a,b\n"), Err(InvalidTable::Empty));
        for bad in ["1,2,3", "1", "x,2", "NaN,2", "1,-2", ""] {
            let text = format!("a,class\n1,2\n{bad}\n");
            assert_eq!(Table::parse(&text), Err(InvalidTable::Line(3)), "{bad:?}");
        }
    }
}
