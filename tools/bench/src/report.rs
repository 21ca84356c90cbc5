//! The results, as tables for people or as one JSON object.

use std::io::{IsTerminal as _, Write as _};

use serde_json::{Map, Value, json};

use crate::cli::OutputFormat;
use crate::machine;

/// Longest line of a table. A wider table is printed with a line for each figure.
const LONGEST_LINE: usize = 120;

/// All results of one run.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Value,
    tables: Vec<Table>,
}

/// One table of figures.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    notes: Vec<&'static str>,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: title.into(),
            notes: Vec::new(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// A table of figures with their thresholds.
    pub(crate) fn of_thresholds(title: &str) -> Self {
        Self::new(title, &["case", "measured", "required", "aim", "verdict"])
    }

    /// Adds a note on how the figures were measured.
    pub(crate) fn note(&mut self, note: &'static str) {
        self.notes.push(note);
    }

    pub(crate) fn row(&mut self, cells: Vec<Value>) {
        self.rows.push(cells);
    }

    /// Adds a figure that should be large, with its thresholds.
    pub(crate) fn at_least(
        &mut self,
        case: impl Into<String>,
        measured: f64,
        required: f64,
        aim: f64,
    ) {
        // What is compared is what is printed.
        let measured = to_three_digits(measured);
        let verdict = verdict(measured >= required, measured >= aim);
        let limit = |limit: f64| json!(format!("≥ {limit}"));

        self.row(vec![
            json!(case.into()),
            rounded(measured),
            limit(required),
            limit(aim),
            json!(verdict),
        ]);
    }

    /// Adds a figure that should be small, with its thresholds.
    pub(crate) fn at_most(
        &mut self,
        case: impl Into<String>,
        measured: f64,
        required: f64,
        aim: f64,
    ) {
        let measured = to_three_digits(measured);
        let verdict = verdict(measured <= required, measured <= aim);
        let limit = |limit: f64| json!(format!("≤ {limit}"));

        self.row(vec![
            json!(case.into()),
            rounded(measured),
            limit(required),
            limit(aim),
            json!(verdict),
        ]);
    }

    fn json(&self) -> Value {
        let object = |row: &Vec<Value>| -> Map<String, Value> {
            self.columns
                .iter()
                .map(|name| (*name).to_owned())
                .zip(row.iter().cloned())
                .collect()
        };

        json!({"title": self.title, "notes": self.notes, "rows": self.rows.iter().map(object).collect::<Vec<_>>()})
    }

    fn text(&self) -> String {
        let names = self.columns.iter().map(|name| Cell::text(name)).collect();
        let rows = self
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::of).collect());
        let lines: Vec<Vec<Cell>> = std::iter::once(names).chain(rows).collect();

        let mut text = format!("\n{}\n", self.title);
        for note in &self.notes {
            text += &format!("  {note}\n");
        }

        let table = aligned(&lines);
        let is_wide = |line: &str| line.chars().count() > LONGEST_LINE;
        text + &if table.lines().any(is_wide) {
            aligned(&turned(lines))
        } else {
            table
        }
    }
}

/// A cell of a table that is printed.
#[derive(Clone, Debug, Default)]
struct Cell {
    text: String,
    is_number: bool,
}

impl Cell {
    fn text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_number: false,
        }
    }

    fn of(value: &Value) -> Self {
        Self {
            text: shown(value),
            is_number: value.is_number(),
        }
    }
}

/// Lines of cells below one another, numbers to the right.
fn aligned(lines: &[Vec<Cell>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells
            .map(|cell| cell.text.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();

    let padded = |(Cell { text, is_number }, &width): (&Cell, &usize)| {
        if *is_number {
            format!("{text:>width$}")
        } else {
            format!("{text:<width$}")
        }
    };
    let line = |line: &Vec<Cell>| {
        let cells: Vec<String> = line.iter().zip(&widths).map(padded).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

/// The same cells with lines for columns.
fn turned(lines: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let mut turned = vec![Vec::new(); columns];

    for line in lines {
        for (column, cell) in turned.iter_mut().zip(line) {
            column.push(cell);
        }
    }
    turned
}

fn verdict(met: bool, aim: bool) -> &'static str {
    match (met, aim) {
        (_, true) => "aim met",
        (true, false) => "met",
        (false, false) => "NOT MET",
    }
}

/// The value with about three significant digits, or null if it is not finite.
pub(crate) fn rounded(value: f64) -> Value {
    serde_json::Number::from_f64(to_three_digits(value)).map_or(Value::Null, Value::Number)
}

fn to_three_digits(value: f64) -> f64 {
    let factor = match value.abs() {
        size if size >= 100.0 => 1.0,
        size if size >= 10.0 => 10.0,
        size if size >= 0.1 => 100.0,
        _ => 10_000.0,
    };

    (value * factor).round() / factor
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            let text = number.to_string();
            text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
        }
        other => other.to_string(),
    }
}

impl Report {
    pub(crate) fn new(machine: Value) -> Self {
        Self {
            machine,
            tables: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Records how busy and how fast the machine was at the end.
    pub(crate) fn finish(&mut self) {
        self.machine["load_at_end"] = json!(machine::load());
        self.machine["fixed_work_ms_at_end"] = machine::speed();
    }

    pub(crate) fn print(&self, format: Option<OutputFormat>) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();

        let usual = if stdout.is_terminal() {
            OutputFormat::Text
        } else {
            OutputFormat::Json
        };

        let text = match format.unwrap_or(usual) {
            OutputFormat::Json => {
                let tables: Vec<Value> = self.tables.iter().map(Table::json).collect();
                serde_json::to_string_pretty(&json!({"machine": self.machine, "tables": tables}))?
                    + "\n"
            }
            OutputFormat::Text => self.text(),
        };

        Ok(stdout.write_all(text.as_bytes())?)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.machine.as_object().into_iter().flatten() {
            let value = match value {
                Value::Object(settings) => {
                    let settings = settings
                        .iter()
                        .map(|(name, value)| format!("{name} {}", shown(value)));
                    settings.collect::<Vec<_>>().join(", ")
                }
                other => shown(other),
            };

            text += &format!("{name:<14} {value}\n");
        }

        text + &self.tables.iter().map(Table::text).collect::<String>()
    }
}
