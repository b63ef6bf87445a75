//! What bchan is to reach.

use std::fmt;

use crate::harness::Case;
use crate::table::Row;

/// A bound for the median of bchan in one case.
pub enum Target {
    /// Messages per second.
    Least(f64),
    /// The median of this contender in the same case.
    AheadOf(&'static str),
    /// So many times its own median in the case of this name.
    Times(f64, &'static str),
}

/// All that was measured so far.
pub type Results = [(&'static Case, Vec<Row>)];

impl Target {
    /// The messages per second to reach; `None` if what it compares with was not measured.
    fn bound(&self, rows: &[Row], results: &Results) -> Option<f64> {
        match *self {
            Self::Least(rate) => Some(rate),
            Self::AheadOf(name) => rows.iter().find(|row| row.name == name)?.median(),
            Self::Times(factor, name) => {
                let (_, rows) = results.iter().find(|(case, _)| case.name == name)?;
                Some(rows[0].median()? * factor)
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Least(_) => write!(f, "set beforehand"),
            Self::AheadOf(name) => write!(f, "ahead of {name}"),
            Self::Times(factor, name) => write!(f, "{factor} times `{name}`"),
        }
    }
}

/// Prints whether the case that was measured last reached its targets.
pub fn print(results: &Results) {
    let Some((case, rows)) = results.last() else { return };
    for target in case.targets {
        if let (Some(bound), Some(median)) = (target.bound(rows, results), rows[0].median()) {
            let verdict = if median >= bound { "reached" } else { "MISSED" };
            println!("target: at least {:.1}, {target}: {verdict}", bound / 1e6);
        }
    }
}
