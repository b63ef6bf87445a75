//! The Rust core of bchan beside other channels: messages *received* per second between threads.
//!
//! Every run checks that each message arrives once, in its producer's order, and panics otherwise.

mod check;
mod contenders;
mod harness;
mod machine;
mod table;

use contenders::Contender;
use harness::{CAPACITY, Case, DURATION, run};
use machine::Places;
use table::Row;

const RUNS: usize = 5;

const CASES: [Case; 3] = [
    Case { name: "spsc, one message a call", producers: 1, batches: false },
    Case { name: "spsc, batches of 64", producers: 1, batches: true },
    Case { name: "mpsc, 4 producers, batches of 64", producers: 4, batches: true },
];

/// A contender without its type.
struct Entry {
    name: &'static str,
    batch_calls: &'static str,
    run: fn(&Case, &Places) -> Option<f64>,
}

const fn entry<C: Contender>() -> Entry {
    Entry { name: C::NAME, batch_calls: C::BATCH_CALLS, run: run::<C> }
}

/// bchan first: the others are compared with it.
const CONTENDERS: [Entry; 4] = [
    entry::<contenders::bchan::Bchan>(),
    entry::<contenders::rtrb::Rtrb>(),
    entry::<contenders::crossbeam::Crossbeam>(),
    entry::<contenders::kanal::Kanal>(),
];

fn main() {
    end_all_on_panic();
    // Before the pinning: a pinned thread has one CPU.
    let machine = machine::describe();
    let places = Places::choose();
    println!("machine: {machine}; {places}");
    println!("build:   {}", machine::build());
    println!(
        "runs:    {RUNS} of {DURATION:?} each, contenders in turn; {CAPACITY} u64 in flight at most; every message checked"
    );
    for case in &CASES {
        table::print(case, &measure(case, &places));
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
fn measure(case: &Case, places: &Places) -> Vec<Row> {
    let row = |entry: &Entry| Row { name: entry.name, batch_calls: entry.batch_calls, runs: Vec::new() };
    let mut rows: Vec<_> = CONTENDERS.iter().map(row).collect();
    for _ in 0..RUNS {
        for (entry, row) in CONTENDERS.iter().zip(&mut rows) {
            row.runs.extend((entry.run)(case, places));
        }
    }
    rows
}
