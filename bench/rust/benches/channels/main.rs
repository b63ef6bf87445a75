//! The Rust core of bchan beside other channels: messages *received* per second between threads.
//!
//! Every run checks that each message arrives once, in its producer's order, and panics otherwise.

mod check;
mod contenders;
mod harness;
mod machine;
mod table;
mod targets;

use std::time::Duration;

use contenders::Contender;
use harness::{Case, Setting, run};
use machine::Places;
use table::Row;
use targets::Target;

/// How often each contender runs, and for how long; with `--quick` just to see that all works.
const MEASURING: (usize, Duration) = (5, Duration::from_secs(1));
const QUICK: (usize, Duration) = (1, Duration::from_millis(20));
const CAPACITY: usize = 65_536;

const CASES: [Case; 5] = [
    Case { name: "spsc, one message a call", producers: 1, consumers: 1, batches: false, targets: &[] },
    Case { name: "spsc, batches of 64", producers: 1, consumers: 1, batches: true, targets: &[] },
    Case {
        name: "mpsc, 4 producers, batches of 64",
        producers: 4,
        consumers: 1,
        batches: true,
        targets: &[],
    },
    Case {
        name: "mpmc, 4 and 4, one message a call",
        producers: 4,
        consumers: 4,
        batches: false,
        targets: &[
            Target::Least(19e6),
            Target::AheadOf("crossbeam-queue"),
            Target::AheadOf("crossbeam-channel"),
        ],
    },
    Case {
        name: "mpmc, 4 and 4, batches of 64",
        producers: 4,
        consumers: 4,
        batches: true,
        targets: &[Target::Times(10.0, "mpmc, 4 and 4, one message a call")],
    },
];

/// A contender without its type.
struct Entry {
    name: &'static str,
    batch_calls: &'static str,
    note: &'static str,
    run: fn(&Case, &Setting) -> Option<f64>,
}

const fn entry<C: Contender>() -> Entry {
    Entry { name: C::NAME, batch_calls: C::BATCH_CALLS, note: C::NOTE, run: run::<C> }
}

/// bchan first: the others are compared with it.
const CONTENDERS: [Entry; 5] = [
    entry::<contenders::bchan::Bchan>(),
    entry::<contenders::rtrb::Rtrb>(),
    entry::<contenders::array_queue::ArrayQueue>(),
    entry::<contenders::crossbeam::Crossbeam>(),
    entry::<contenders::kanal::Kanal>(),
];

/// Arguments: a number is the capacity, `--quick` makes it short, any other word chooses the cases with it
/// in their names.
fn main() {
    end_all_on_panic();
    // cargo adds options of its own.
    let (options, words): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|word| word.starts_with('-'));
    let is_quick = options.iter().any(|option| option == "--quick");
    let (runs, duration) = if is_quick { QUICK } else { MEASURING };
    let (numbers, names): (Vec<_>, Vec<_>) =
        words.into_iter().partition(|word| word.parse::<usize>().is_ok());
    let capacity = numbers.last().map_or(CAPACITY, |number| number.parse().expect("a number"));
    // Before the pinning: a pinned thread has one CPU.
    let machine = machine::describe();
    let setting = Setting { places: Places::choose(), capacity, runs, duration };
    println!("machine: {machine}; {}", setting.places);
    println!("build:   {}", machine::build());
    println!(
        "runs:    {runs} of {duration:?} each, contenders in turn; {capacity} u64 in flight at most; every message checked"
    );
    let mut results = Vec::new();
    for case in CASES.iter().filter(|case| names.iter().all(|name| case.name.contains(name.as_str()))) {
        let rows = measure(case, &setting);
        table::print(case, &rows);
        results.push((case, rows));
        targets::print(&results);
    }
}

/// Lets a panic in one thread end them all: the others would wait for it for ever.
fn end_all_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
}

/// Lets the contenders run in turn, so that what disturbs the machine disturbs them all.
fn measure(case: &Case, setting: &Setting) -> Vec<Row> {
    let row = |entry: &Entry| {
        let &Entry { name, batch_calls, note, .. } = entry;
        Row { name, batch_calls, note, runs: Vec::new() }
    };
    let mut rows: Vec<_> = CONTENDERS.iter().map(row).collect();
    for _ in 0..setting.runs {
        for (entry, row) in CONTENDERS.iter().zip(&mut rows) {
            row.runs.extend((entry.run)(case, setting));
        }
    }
    rows
}
