//! What was measured, as a table.

use crate::harness::Case;

/// The runs of one contender in one case, in messages per second; empty if it can't take part.
pub struct Row {
    pub name: &'static str,
    pub batch_calls: &'static str,
    pub note: &'static str,
    pub runs: Vec<f64>,
}

impl Row {
    /// The middle run; `None` if there is none.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
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
    let (Some(median), Some(of)) = (row.median(), first.median()) else {
        return format!("{name:<24}{:>8}   it can't have so many", "n/a");
    };
    let million = |rate: f64| rate / 1e6;
    let least = million(row.runs.iter().copied().fold(f64::INFINITY, f64::min));
    let most = million(row.runs.iter().copied().fold(0.0, f64::max));
    let runs: Vec<_> = row.runs.iter().map(|&rate| format!("{:.1}", million(rate))).collect();
    let calls = if case.batches { row.batch_calls } else { "" };
    let remarks: Vec<_> = [calls, row.note].into_iter().filter(|remark| !remark.is_empty()).collect();
    let (median, ratio) = (million(median), median / of);
    let figures = format!("{median:>8.1}{least:>8.1}{most:>8.1}{ratio:>10.3}");
    format!("{name:<24}{figures}   {}   {}", runs.join(" "), remarks.join("; "))
}

/// The version of a crate that this program was built with.
fn version(name: &str) -> Option<&'static str> {
    let package = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = include_str!("../../Cargo.lock").split_once(&package)?;
    Some(rest.split_once('"')?.0)
}
