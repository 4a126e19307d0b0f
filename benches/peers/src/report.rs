//! The figures of a run: as JSON, by their shape, and as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::case::{Case, Scale};
use crate::engine::{Driven, Policy};
use crate::engines::Entry;
use crate::machine;
use crate::measure::Sample;

#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub machine: BTreeMap<String, String>,
    pub scale: Scale,
    pub rounds: usize,
    pub tables: Vec<Table>,
}

/// One case.
#[derive(Debug, Serialize, Deserialize)]
pub struct Table {
    pub case: Case,
    pub title: String,
    /// The first is the one that is compared.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

/// One engine.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub engine: String,
    pub version: Option<String>,
    pub driven: String,
    pub settings: String,
    /// Why the figures must not be compared, if so.
    pub caveat: Option<String>,
    /// One for each round.
    pub samples: Vec<Sample>,
    /// Of each figure by itself.
    pub median: Sample,
    /// mainstay's first figure divided by this one's.
    pub mainstay_by_this: Option<f64>,
    pub failed: Option<String>,
}

impl Row {
    pub fn new(entry: &Entry, policy: Policy) -> Self {
        let settings = (entry.settings)(policy);
        let driven = match entry.driven {
            Driven::Tasks => "tokio tasks",
            Driven::Threads => "threads",
        };
        Self {
            engine: entry.name.to_owned(),
            version: entry.package.map(machine::version),
            driven: driven.to_owned(),
            settings: settings.text.to_owned(),
            caveat: settings.caveat.map(str::to_owned),
            samples: Vec::new(),
            median: Sample::new(),
            mainstay_by_this: None,
            failed: None,
        }
    }
}

impl Table {
    /// Makes medians and ratios of the samples.
    pub fn summarize(&mut self) {
        for row in &mut self.rows {
            row.median = medians(&row.samples);
        }
        let Some(compared) = self.columns.first() else { return };
        let of = |row: &Row| row.median.get(compared).copied();
        let mainstay = self.rows.iter().find(|row| row.engine == "mainstay").and_then(of);
        for row in &mut self.rows {
            row.mainstay_by_this =
                mainstay.zip(of(row)).map(|(mainstay, this)| mainstay / this).filter(|ratio| ratio.is_finite());
        }
    }

    fn markdown(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "## {}\n", self.title)?;
        let columns = self.columns.iter().map(|column| format!(" {column} |")).collect::<String>();
        writeln!(text, "| engine |{columns} mainstay / this |")?;
        writeln!(text, "|---|{}---|", "---|".repeat(self.columns.len()))?;
        let mut notes: Vec<&str> = Vec::new();
        for row in &self.rows {
            let mark = row.caveat.as_deref().map_or(String::new(), |caveat| {
                let known = notes.iter().position(|note| *note == caveat);
                let index = known.unwrap_or_else(|| {
                    notes.push(caveat);
                    notes.len() - 1
                });
                format!(" ({})", index + 1)
            });
            let cell = |column| row.median.get(column).map_or("-".to_owned(), |figure| number(*figure));
            let cells = self.columns.iter().map(|column| format!(" {} |", cell(column))).collect::<String>();
            let ratio = row.mainstay_by_this.map_or("-".to_owned(), number);
            writeln!(text, "| {}{mark} |{cells} {ratio} |", row.engine)?;
        }
        for (index, note) in notes.iter().enumerate() {
            writeln!(text, "\n({}) Not comparable: {note}.", index + 1)?;
        }
        for row in &self.rows {
            if let Some(failed) = &row.failed {
                writeln!(text, "\nFailed: {failed}.")?;
            }
        }
        writeln!(text, "\nSettings:\n")?;
        for row in &self.rows {
            let version = row.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
            writeln!(text, "- {}{version}: {}.", row.engine, row.settings)?;
        }
        writeln!(text)
    }
}

impl Report {
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        self.write_markdown(&mut text).expect("a string takes everything");
        text
    }

    fn write_markdown(&self, text: &mut String) -> std::fmt::Result {
        let Scale { keys, seconds } = self.scale;
        writeln!(text, "# mainstay beside its peers\n")?;
        writeln!(
            text,
            "{} keys of 16 bytes, values of 100; medians of {} rounds of {seconds} s where the engines take turns, \
             each in a fresh process. Every 16th get is timed; the latency of a batch is that of all of it.\n",
            number(keys as f64),
            self.rounds,
        )?;
        for (name, fact) in &self.machine {
            writeln!(text, "- {name}: {fact}")?;
        }
        writeln!(text)?;
        self.tables.iter().try_for_each(|table| table.markdown(text))
    }
}

fn medians(samples: &[Sample]) -> Sample {
    let mut figures: BTreeMap<&String, Vec<f64>> = BTreeMap::new();
    for (name, figure) in samples.iter().flatten() {
        figures.entry(name).or_default().push(*figure);
    }
    figures.into_iter().map(|(name, figures)| (name.clone(), median(figures))).collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len().is_multiple_of(2) { f64::midpoint(figures[middle - 1], figures[middle]) } else { figures[middle] }
}

/// Three digits or whole thousands, with commas.
fn number(figure: f64) -> String {
    let digits = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let plain = format!("{figure:.digits$}");
    let whole = plain.split('.').next().unwrap_or_default();
    let first = whole.len() % 3;
    let grouped: String = whole
        .char_indices()
        .flat_map(|(at, c)| {
            (at > 0 && at % 3 == first && !whole[..at].ends_with('-')).then_some(',').into_iter().chain([c])
        })
        .collect();
    format!("{grouped}{}", &plain[whole.len()..])
}

#[cfg(test)]
mod tests {
    use super::{median, number};

    #[test]
    fn numbers_have_commas_and_three_digits() {
        let numbers = [0.123, 12.34, 123.4, 1_234.5, 123_456.0, 1_234_567.0, -123.0, -1_234.0].map(number);
        assert_eq!(numbers, ["0.12", "12.3", "123", "1,234", "123,456", "1,234,567", "-123", "-1,234"]);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
