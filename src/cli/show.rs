//! How answers are shown: tables for people, lines of tabs for scripts, the API's own JSON for programs.

use std::io::{IsTerminal, Write};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Map, Value};

use super::client::{Answer, Call, Client};
use super::error::{CliError, CliResult};
use super::screen;

/// The most of one page, which the API gives.
const PAGE_MAX: usize = 200;

/// What is in a column.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text, a number, a list of these.
    Text,
    /// A time: local on a terminal, RFC 3339 in UTC else.
    Time,
    /// Bytes: in words on a terminal, a number else.
    Bytes,
}

/// A column: its title, where its value is in the object (a JSON pointer), and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Column(pub &'static str, pub &'static str, pub Kind);

/// A list of the API: where its items are in a page, and how they are shown.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// The field of the page.
    pub field: &'static str,
    /// The columns of the table.
    pub columns: &'static [Column],
}

/// Where output goes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Programs read it.
    pub is_json: bool,
    /// A person reads it.
    pub is_terminal: bool,
}

impl Output {
    /// The output of this process.
    pub fn new(is_json: bool) -> Self {
        Self { is_json, is_terminal: std::io::stdout().is_terminal() }
    }

    /// A line of ours.
    pub fn line(self, text: &str) -> CliResult<()> {
        writeln!(std::io::stdout(), "{text}").map_err(|error| CliError::output(&error))
    }

    /// Bytes as they are.
    pub fn bytes(self, bytes: &[u8]) -> CliResult<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| CliError::output(&error))
    }

    /// JSON as the API said it.
    pub fn json(self, text: &str) -> CliResult<()> {
        self.line(&screen::json(text.trim_end()))
    }

    /// The object of an answer: its JSON, or what it is for a person.
    pub fn object(self, answer: &Answer, fields: &[Column]) -> CliResult<()> {
        if self.is_json {
            return self.json(&answer.text());
        }
        let object = answer.json()?;
        let shown = fields.iter().map(|field| (field.0, self.cell(field, &object)));
        let shown: Vec<(&str, String)> = shown.filter(|(_, cell)| !cell.is_empty()).collect();
        let width = shown.iter().map(|(title, _)| title.len()).max().unwrap_or(0);
        for (title, cell) in shown {
            let title = title.to_lowercase();
            let line = if self.is_terminal {
                format!("{title:<width$}  {cell}")
            } else {
                format!("{title}\t{cell}")
            };
            self.line(&line)?;
        }
        Ok(())
    }

    /// What was done: the answer's JSON, or a sentence.
    pub fn done(self, answer: &Answer, sentence: &str) -> CliResult<()> {
        match self.is_json {
            true if answer.body.is_empty() => Ok(()),
            true => self.json(&answer.text()),
            false => self.line(sentence),
        }
    }

    /// A list: one page, or all of it.
    pub async fn list(
        self,
        client: &Client,
        list: List,
        all: bool,
        call: impl Fn() -> Call,
    ) -> CliResult<()> {
        if !all {
            let answer = client.send(call()).await?;
            if self.is_json {
                return self.json(&answer.text());
            }
            let page = answer.json()?;
            self.table(list.columns, items(&page, list.field)?)?;
            if page["nextCursor"].is_string() {
                eprintln!("there are more; --all shows them");
            }
            return Ok(());
        }
        let items = every(client, list.field, call).await?;
        match self.is_json {
            true => self.json(&Value::Array(items).to_string()),
            false => self.table(list.columns, &items),
        }
    }

    /// A table with borders for a person, or a line of tabs for each item.
    pub fn table(self, columns: &[Column], items: &[Value]) -> CliResult<()> {
        let rows = items.iter().map(|item| columns.iter().map(|column| self.cell(column, item)).collect());
        let rows: Vec<Vec<String>> = rows.collect();
        if !self.is_terminal {
            return rows.iter().try_for_each(|row| self.line(&row.join("\t")));
        }
        if rows.is_empty() {
            eprintln!("there are none");
            return Ok(());
        }
        let mut table = Table::new();
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.load_style(UTF8_BORDERS_ONLY).set_header(columns.iter().map(|column| column.0)).add_rows(rows);
        self.line(&table.to_string())
    }

    fn cell(self, column: &Column, item: &Value) -> String {
        let value = item.pointer(column.1).unwrap_or(&Value::Null);
        match (column.2, value) {
            (Kind::Time, Value::String(text)) if self.is_terminal => local(text),
            (Kind::Bytes, Value::Number(size)) if self.is_terminal => {
                indicatif::HumanBytes(size.as_u64().unwrap_or(0)).to_string()
            }
            _ => plain(value),
        }
    }
}

/// A value in one line.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => screen::one_line(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(fields) => one_of(fields),
        other => other.to_string(),
    }
}

/// An object in a cell: `anna:write` of a member, else its JSON.
fn one_of(fields: &Map<String, Value>) -> String {
    match (fields.get("user"), fields.get("right")) {
        (Some(user), Some(right)) => format!("{}:{}", plain(user), plain(right)),
        _ => screen::one_line(&Value::Object(fields.clone()).to_string()),
    }
}

/// A time of the API as the clock on the wall here shows it.
pub fn local(text: &str) -> String {
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => screen::one_line(text),
    }
}

/// All items of a list, page by page.
pub async fn every(client: &Client, field: &str, call: impl Fn() -> Call) -> CliResult<Vec<Value>> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        // Lists that have no pages take no limit: their one page comes without a cursor.
        let call = match &cursor {
            Some(cursor) => call().query("limit", &PAGE_MAX.to_string()).query("cursor", cursor),
            None => call(),
        };
        let page = client.send(call).await?.json()?;
        found.extend_from_slice(items(&page, field)?);
        let next = page["nextCursor"].as_str().map(str::to_owned);
        if next.is_none() || next == cursor {
            return Ok(found);
        }
        cursor = next;
    }
}

fn items<'p>(page: &'p Value, field: &str) -> CliResult<&'p [Value]> {
    let items = page[field].as_array().map(Vec::as_slice);
    items.ok_or_else(|| CliError::Failed(format!("the server's list has no {field}; is the address right?")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Output = Output { is_json: false, is_terminal: false };

    #[test]
    fn a_cell_for_scripts_is_the_value_in_one_line() {
        let item = json!({"a": "x\ty\u{1b}[2J", "b": ["p", "q"], "c": null, "d": {"e": 7}, "t": "2026-11-20T10:00:00.000Z"});
        let cell = |pointer, kind| PLAIN.cell(&Column("", pointer, kind), &item);
        assert_eq!(cell("/a", Kind::Text), "x y[2J");
        assert_eq!(cell("/b", Kind::Text), "p,q");
        assert_eq!((cell("/c", Kind::Text), cell("/none", Kind::Text)), (String::new(), String::new()));
        assert_eq!(cell("/d/e", Kind::Bytes), "7");
        assert_eq!(cell("/t", Kind::Time), "2026-11-20T10:00:00.000Z");
    }

    #[test]
    fn a_cell_for_a_person_has_local_time_and_sizes_in_words() {
        let output = Output { is_json: false, is_terminal: true };
        let item = json!({"size": 1536, "t": "2026-11-20T10:00:00.000Z"});
        assert_eq!(output.cell(&Column("", "/size", Kind::Bytes), &item), "1.50 KiB");
        let time = output.cell(&Column("", "/t", Kind::Time), &item);
        assert_eq!((time.len(), time.contains('T')), (19, false), "{time}");
    }

    #[test]
    fn a_member_is_shown_with_the_right() {
        assert_eq!(plain(&json!([{"user": "anna", "right": "write"}])), "anna:write");
    }
}
