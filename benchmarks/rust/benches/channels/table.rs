//! What was measured, as a table.

use crate::harness::Case;

/// The runs of one contender in one case, in messages per second; empty if it can't take part.
pub struct Row {
    pub name: &'static str,
    pub batch_calls: &'static str,
    pub runs: Vec<f64>,
}

impl Row {
    fn median(&self) -> f64 {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// Prints a case; ratios are to the first row.
pub fn print(case: &Case, rows: &[Row]) {
    println!("\n{} [M messages received per second]", case.name);
    println!("{:<24}{:>8}{:>8}{:>8}{:>10}   runs", "", "median", "min", "max", "of bchan");
    rows.iter().for_each(|row| println!("{}", line(case, row, &rows[0])));
}

fn line(case: &Case, row: &Row, first: &Row) -> String {
    let name = format!("{} {}", row.name, version(row.name).unwrap_or_default());
    if row.runs.is_empty() {
        return format!("{name:<24}{:>8}   it has one producer at most", "n/a");
    }
    let million = |rate: f64| rate / 1e6;
    let least = million(row.runs.iter().copied().fold(f64::INFINITY, f64::min));
    let most = million(row.runs.iter().copied().fold(0.0, f64::max));
    let (median, ratio) = (million(row.median()), row.median() / first.median());
    let runs: Vec<_> = row.runs.iter().map(|&rate| format!("{:.1}", million(rate))).collect();
    let calls = if case.batches { format!("   {}", row.batch_calls) } else { String::new() };
    format!("{name:<24}{median:>8.1}{least:>8.1}{most:>8.1}{ratio:>10.3}   {}{calls}", runs.join(" "))
}

/// The version of a crate that this program was built with.
fn version(name: &str) -> Option<&'static str> {
    let package = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = include_str!("../../Cargo.lock").split_once(&package)?;
    Some(rest.split_once('"')?.0)
}
