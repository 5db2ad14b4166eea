//! What somebody sees who looks at a terminal: rows of characters, as many as were ever written.

/// A terminal of so many columns that wraps what is longer, and leaves rows as they are when its size changes.
pub(crate) struct Window {
    columns: usize,
    rows: Vec<Row>,
    row: usize,
    /// As many as there are columns: the next character begins a row.
    column: usize,
}

#[derive(Clone, Default)]
struct Row {
    text: String,
    /// The line goes on in the next row.
    goes_on: bool,
}

impl Window {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, rows: vec![Row::default()], row: 0, column: 0 }
    }

    pub(crate) fn resize(&mut self, columns: usize) {
        self.columns = columns;
        self.column = self.column.min(columns);
    }

    /// Shows what a program writes: ASCII, and what a line editor says to the cursor.
    pub(crate) fn write(&mut self, output: &str) {
        let mut rest = output.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => self.down(1),
                '\u{1b}' => {
                    assert_eq!(rest.next(), Some('['), "in {output:?}");
                    let mut number = String::new();
                    let last = loop {
                        match rest.next().expect("sequences end") {
                            c if c.is_ascii_alphabetic() => break c,
                            c => number.push(c),
                        }
                    };
                    let count = number.parse().unwrap_or(1);
                    match last {
                        'A' => self.row -= count,
                        'B' => self.down(count),
                        'C' => self.column = (self.column + count).min(self.columns - 1),
                        'D' => self.column = self.column.saturating_sub(count),
                        'K' => {
                            self.rows[self.row].text.truncate(self.column);
                            self.rows[self.row].goes_on = false;
                        }
                        'h' | 'l' if number.starts_with('?') => {}
                        other => panic!("{other:?} in {output:?}"),
                    }
                }
                c if c.is_ascii_graphic() || c == ' ' => self.put(c),
                other => panic!("{other:?} in {output:?}"),
            }
        }
    }

    /// The lines, whatever rows they take, without spaces at their end.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for row in &self.rows {
            lines.last_mut().unwrap().push_str(&row.text);
            if !row.goes_on {
                lines.push(String::new());
            }
        }
        // Below the last there is nothing.
        while lines.last().is_some_and(|line| line.trim_end().is_empty()) {
            lines.pop();
        }
        lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
    }

    fn put(&mut self, c: char) {
        if self.column == self.columns {
            self.rows[self.row].goes_on = true;
            self.column = 0;
            self.down(1);
        }
        let text = &mut self.rows[self.row].text;
        while text.len() < self.column {
            text.push(' ');
        }
        let end = (self.column + 1).min(text.len());
        text.replace_range(self.column..end, c.encode_utf8(&mut [0; 4]));
        self.column += 1;
    }

    fn down(&mut self, count: usize) {
        self.row += count;
        let most = self.rows.len().max(self.row + 1);
        self.rows.resize(most, Row::default());
    }
}
