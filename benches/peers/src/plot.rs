//! Plots of a report: durable puts by clients, as lines, and point gets, as bars.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::case::Case;
use crate::report::{Report, Row};

const SIZE: (u32, u32) = (900, 520);
const FONT: &str = "sans-serif";
/// Beginnings of names.
const FAMILIES: [(&str, (u8, u8, u8)); 10] = [
    ("mainstay", (214, 39, 40)),
    ("ceiling: group", (60, 60, 60)),
    ("ceiling: mutex", (90, 90, 90)),
    ("ceiling", (160, 160, 160)),
    ("rocksdb", (31, 119, 180)),
    ("lmdb", (44, 160, 44)),
    ("redb", (255, 127, 14)),
    ("fjall", (148, 103, 189)),
    ("sled", (140, 86, 75)),
    ("okaywal", (23, 190, 207)),
];

type Failure = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot = fn(&Report, &Area<'_>) -> Result<(), Failure>;

/// Draws the plots of a written report.
pub fn run(report: &Path, out: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", report.display());
    let text = std::fs::read_to_string(report).map_err(|error| failed(&error))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    draw(&report, out)
}

/// Draws what the report has the figures for.
pub fn draw(report: &Report, out: &Path) -> Result<(), String> {
    let plots: [(&str, Plot); 2] = [("durable.svg", durable), ("gets.svg", gets)];
    for (name, plot) in plots {
        let path = out.join(name);
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        plot(report, &area).map_err(|error| format!("{}: {error}", path.display()))?;
        area.present().map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// A colour for each family of engines, the same in all plots. Who is grouped has a lighter one.
fn colour(engine: &str) -> RGBAColor {
    let known = FAMILIES.iter().find(|(family, _)| engine.starts_with(family));
    let (red, green, blue) = known.map_or((0, 0, 0), |(_, colour)| *colour);
    let is_variant = engine.ends_with("grouped") || engine.ends_with("latest");
    RGBColor(red, green, blue).mix(if is_variant { 0.5 } else { 1.0 })
}

/// The logarithm of the clients and the puts a second, for every engine.
fn lines(report: &Report) -> Vec<(&Row, Vec<(f64, f64)>)> {
    let mut lines: Vec<(&Row, Vec<(f64, f64)>)> = Vec::new();
    for table in &report.tables {
        let Case::Durable { clients } = table.case else { continue };
        for row in &table.rows {
            let Some(figure) = row.median.get("put/s") else { continue };
            let point = ((clients as f64).log2(), *figure);
            match lines.iter_mut().find(|(known, _)| known.engine == row.engine) {
                Some((_, points)) => points.push(point),
                None => lines.push((row, vec![point])),
            }
        }
    }
    lines
}

fn durable(report: &Report, area: &Area<'_>) -> Result<(), Failure> {
    let lines = lines(report);
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = points().map(|(_, figure)| *figure).fold(1.0, f64::max);
    let least = points().map(|(_, figure)| *figure).fold(most, f64::min);
    let mut chart = ChartBuilder::on(area)
        .caption("Durable puts, 16 B keys and 100 B values", (FONT, 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(-0.2..11.0, (least * 0.7..most * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("clients")
        .y_desc("puts a second")
        .light_line_style(TRANSPARENT)
        .x_labels(12)
        // What is right of 256 is the legend's.
        .x_label_formatter(&|log: &f64| if *log > 8.0 { String::new() } else { format!("{:.0}", log.exp2()) })
        .y_label_formatter(&|figure| thousands(*figure))
        .draw()?;
    for (row, points) in &lines {
        let width = if row.engine == "mainstay" { 4 } else { 2 };
        let style = colour(&row.engine).stroke_width(width);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
            .label(row.engine.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    if !lines.is_empty() {
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::UpperRight).label_font((FONT, 12));
        labels.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    }
    Ok(())
}

fn gets(report: &Report, area: &Area<'_>) -> Result<(), Failure> {
    let mut bars: Vec<(String, f64, RGBAColor)> = Vec::new();
    for table in &report.tables {
        let Case::Gets { clients } = table.case else { continue };
        for row in &table.rows {
            if let Some(figure) = row.median.get("get/s") {
                bars.push((format!("{}, {clients}", row.engine), *figure, colour(&row.engine)));
            }
        }
    }
    let most = bars.iter().map(|(_, figure, _)| *figure).fold(1.0, f64::max);
    let rows = bars.len().max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption("Point gets, engine and clients", (FONT, 20))
        .margin(12)
        .x_label_area_size(40)
        .build_cartesian_2d(0.0..most * 1.1, rows..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .x_desc("gets a second")
        .x_label_formatter(&|figure| thousands(*figure))
        .draw()?;
    for (row, (name, figure, colour)) in (0..).map(f64::from).zip(&bars) {
        chart.draw_series([Rectangle::new([(0.0, row + 0.1), (*figure, row + 0.9)], colour.mix(0.6).filled())])?;
        let label = format!("{name}: {}", thousands(*figure));
        chart.draw_series([Text::new(label, (most * 0.01, row + 0.25), (FONT, 12))])?;
    }
    Ok(())
}

fn thousands(figure: f64) -> String {
    match figure {
        figure if figure >= 1e6 => format!("{:.1}M", figure / 1e6),
        figure if figure >= 1e3 => format!("{:.0}k", figure / 1e3),
        figure => format!("{figure:.0}"),
    }
}
