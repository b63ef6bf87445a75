//! Are the calls of a bounded queue linearizable? Threads run small random programs, their calls are
//! recorded, and a search looks for one order, in agreement with real time, in which a plain queue
//! answers every call just so.
//!
//! Two rules. Under [`Rule::Queue`] a call comes back short (refused, empty, or with part of a batch)
//! only if the queue is full or empty. A ring with a sequence per slot cannot promise that: sends and
//! receives take effect when they claim their slots, but others can use a slot only once its holder has
//! published or released it. A receiver that finds the head claimed but unpublished says "empty", though
//! later sends may have completed; a sender that finds its slot claimed but unreleased says "full".
//! [`Rule::Ring`] allows this and nothing more: the short call must have stopped at a slot whose holder
//! was still at work. Who that was follows from the order: the sender of the message at the head, or the
//! receiver of the message that lay in the sender's slot. It must be at work when a call that got nothing
//! takes effect. A batch that got something looked before its claim took effect, so it is enough that the
//! holder had not ended when the batch began. With no call under way the ring must be exact.
//!
//! A batch is one call that sends or receives so many messages in a row, with nothing in between.
//!
//! The tokens that date the calls also order memory, as would a fence before and after every call: a
//! missing fence between two calls is for loom to find.
//!
//! A seed repeats the threads' programs, not their schedule: `BCHAN_SEED` runs that one program over and
//! over. `BCHAN_STRESS` makes it so many times longer.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod by_hand;
mod checker;
mod contenders;
mod faulty;
mod history;
mod recorder;

use checker::Rule;
use contenders::{Fifo, Locked};
use faulty::{Fault, Ring};
use recorder::first_violation;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect(name))
}

#[track_caller]
fn assert_linearizable<F: Fifo>(rule: Rule, new: impl Fn(usize) -> F) {
    let histories = 10_000 * setting("BCHAN_STRESS").unwrap_or(1) as usize;
    let violation = match setting("BCHAN_SEED") {
        Some(seed) => first_violation(rule, new, std::iter::repeat_n(seed, histories)),
        None => first_violation(rule, new, (u64::from(std::process::id()) << 32..).take(histories)),
    };
    assert!(violation.is_none(), "{}", violation.unwrap());
}

#[track_caller]
fn assert_caught<F: Fifo>(rule: Rule, new: impl Fn(usize) -> F) {
    let violation = first_violation(rule, new, 0..20_000);
    println!("{}", violation.expect("a violation in one of 20000 histories"));
}

/// Where rings are mapped twice: elsewhere a batch across the end is two claims.
#[test]
#[cfg(all(target_os = "linux", not(feature = "portable")))]
fn the_ring_is_linearizable() {
    assert_linearizable(Rule::Ring, contenders::Shared::new);
}

#[test]
fn a_locked_queue_is_linearizable() {
    assert_linearizable(Rule::Queue, Locked::new);
}

#[test]
fn a_sound_ring_is_linearizable() {
    assert_linearizable(Rule::Ring, Ring::sound);
}

#[test]
fn a_sound_ring_is_no_plain_queue() {
    assert_caught(Rule::Queue, Ring::sound);
}

#[test]
fn a_slot_released_before_it_is_read_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::ReleasesBeforeReading, capacity));
}

#[test]
fn a_slot_published_before_it_is_written_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::PublishesBeforeWriting, capacity));
}

#[test]
fn one_message_too_many_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::HoldsOneTooMany, capacity));
}

#[test]
fn one_message_too_few_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::HoldsOneTooFew, capacity));
}

#[test]
fn messages_swapped_under_contention_are_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::SwapsWhenOutrun, capacity));
}

#[test]
fn a_message_lost_between_racing_senders_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::SendersRace, capacity));
}

#[test]
fn a_message_received_twice_by_racing_receivers_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::ReceiversRace, capacity));
}

#[test]
fn a_try_that_gives_up_when_outrun_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::GivesUpWhenOutrun, capacity));
}

#[test]
fn a_batch_sent_message_by_message_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::SendsOneByOne, capacity));
}

#[test]
fn a_batch_received_message_by_message_is_caught() {
    assert_caught(Rule::Ring, |capacity| Ring::with(Fault::ReceivesOneByOne, capacity));
}
