//! Interleaved rounds: in each, every case runs on every engine, and each time another engine begins.

use std::fs;
use std::path::Path;

use crate::args::Args;
use crate::case::Case;
use crate::cell::Cell;
use crate::engines::Entry;
use crate::machine;
use crate::place;
use crate::plot;
use crate::report::{Report, Row, Table};

pub fn run(args: &Args) -> Result<(), String> {
    let (cases, engines) = (args.cases()?, args.engines()?);
    let mut tables: Vec<Table> = cases.iter().map(|case| table(case, &engines)).collect();
    tables.retain(|table| !table.rows.is_empty());
    if args.list {
        for table in &tables {
            let names: Vec<_> = table.rows.iter().map(|row| row.engine.as_str()).collect();
            println!("{}: {}", table.title, names.join(", "));
        }
        return Ok(());
    }
    let place = place::directory(args.dir.clone())?;
    let mut report = Report { machine: machine::facts(&place), scale: args.scale(), rounds: args.rounds, tables };
    for round in 0..args.rounds {
        for (index, table) in report.tables.iter_mut().enumerate() {
            eprintln!("round {} of {}: {}", round + 1, args.rounds, table.title);
            let (case, count) = (table.case, table.rows.len());
            for turn in 0..count {
                let row = &mut table.rows[(turn + round + index) % count];
                match Cell::run(case, report.scale, &row.engine, &place) {
                    Ok(sample) => row.samples.push(sample),
                    Err(error) => row.failed = Some(error),
                }
            }
        }
        report.tables.iter_mut().for_each(Table::summarize);
        if let Some(out) = &args.out {
            write(&report, out)?;
        }
    }
    print!("{}", report.markdown());
    Ok(())
}

fn table(case: &Case, engines: &[Entry]) -> Table {
    let able = |entry: &&Entry| case.needs().iter().all(|need| entry.abilities.contains(need));
    let rows = engines.iter().filter(able).map(|entry| Row::new(entry, case.policy()));
    Table { case: *case, title: case.to_string(), columns: case.columns(), rows: rows.collect() }
}

fn write(report: &Report, out: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", out.display());
    fs::create_dir_all(out).map_err(|error| failed(&error))?;
    let json = serde_json::to_string_pretty(report).map_err(|error| failed(&error))?;
    fs::write(out.join("peers.json"), json).map_err(|error| failed(&error))?;
    fs::write(out.join("peers.md"), report.markdown()).map_err(|error| failed(&error))?;
    plot::draw(report, out)
}
