//! The page of the wire protocols: its examples and its tables.

/// The whole page.
pub(crate) const PAGE: &str = include_str!("../../docs/protocols.md");

/// The code blocks of a language, each with the heading above it.
pub(crate) fn blocks(language: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let fence = format!("```{language}\n");
    sections().flat_map(move |(heading, text)| {
        let blocks: Vec<_> = text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect();
        blocks.into_iter().map(move |block| (heading, block))
    })
}

/// The rows of all tables under a heading, without the heads, each cut into its cells.
pub(crate) fn rows(under: &str) -> Vec<Vec<&'static str>> {
    let (_, text) = sections().find(|(heading, _)| *heading == under).unwrap_or_else(|| panic!("no section {under}"));
    let mut rows = Vec::new();
    for table in text.split("\n\n").map(|part| part.trim_start_matches('\n')).filter(|part| part.starts_with("| ")) {
        let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
        rows.extend(table.lines().skip(2).map(cells));
    }
    rows
}

/// The text between backticks.
pub(crate) fn codes(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.split("\n#").map(|section| {
        let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
        (heading.trim_start_matches(['#', ' ']), text)
    })
}
