//! The promises of the design, over every configuration.
//!
//! Each clause runs with one and with several producers, with both barriers, in small and in large
//! rings, for items of 1, 8, 24 and 100,003 bytes (the last are too odd for a ring mapped twice).
//! Nothing here sleeps to get an order; whoever waits has a limit, and then fails.

#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod bound;
mod claims;
mod closing;
mod config;
mod delivery;
mod fairness;
mod handover;
mod registration;
mod several;
mod sharing;
mod stats;
mod termination;
mod tuning;
mod waiting;

#[cfg(target_os = "linux")]
mod signals;

/// Makes tests of clauses, `fn clause<const N: usize>(case: &Case)`: one for each item size.
macro_rules! over_every_configuration {
    ($($clause:ident)*) => { $(
        mod $clause {
            use crate::common::each_case;

            #[test]
            fn items_of_1_byte() {
                each_case::<1>(super::$clause::<1>);
            }

            #[test]
            fn items_of_8_bytes() {
                each_case::<8>(super::$clause::<8>);
            }

            #[test]
            fn items_of_24_bytes() {
                each_case::<24>(super::$clause::<24>);
            }

            #[test]
            fn items_of_100003_bytes() {
                each_case::<100_003>(super::$clause::<100_003>);
            }
        }
    )* };
}
pub(crate) use over_every_configuration;
