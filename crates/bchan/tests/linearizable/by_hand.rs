//! Does the checker judge rightly? Histories written by hand, and a search too simple to be wrong.

use std::collections::VecDeque;
use std::ops::Range;

use proptest::prelude::*;

use crate::checker::{Rule, linearize};
use crate::history::{Call, History, Operation};

fn operation(time: Range<u64>, call: Call) -> Operation {
    Operation { thread: 0, call, invoked: time.start, responded: time.end }
}

fn sends(time: Range<u64>, items: &[u64]) -> Operation {
    sends_part(time, items, items.len())
}

fn sends_part(time: Range<u64>, items: &[u64], sent: usize) -> Operation {
    operation(time, Call::Send { items: items.to_vec(), sent })
}

fn finds_full(time: Range<u64>, item: u64) -> Operation {
    sends_part(time, &[item], 0)
}

fn receives(time: Range<u64>, items: &[u64]) -> Operation {
    receives_part(time, items.len(), items)
}

fn receives_part(time: Range<u64>, most: usize, items: &[u64]) -> Operation {
    operation(time, Call::Receive { most, received: items.to_vec() })
}

fn finds_empty(time: Range<u64>) -> Operation {
    receives_part(time, 1, &[])
}

fn is_legal(capacity: usize, rule: Rule, operations: &[Operation]) -> bool {
    linearize(&History::new(operations.to_vec()), capacity, rule).is_ok()
}

#[track_caller]
fn assert_legal(capacity: usize, operations: &[Operation]) {
    assert!(is_legal(capacity, Rule::Queue, operations));
    assert!(is_legal(capacity, Rule::Ring, operations));
}

#[track_caller]
fn assert_illegal(capacity: usize, operations: &[Operation]) {
    assert!(!is_legal(capacity, Rule::Queue, operations));
    assert!(!is_legal(capacity, Rule::Ring, operations));
}

#[track_caller]
fn assert_legal_for_rings_alone(capacity: usize, operations: &[Operation]) {
    assert!(!is_legal(capacity, Rule::Queue, operations));
    assert!(is_legal(capacity, Rule::Ring, operations));
}

#[test]
fn one_call_after_the_other_is_legal() {
    assert_legal(
        2,
        &[
            finds_empty(0..1),
            sends(2..3, &[1]),
            sends_part(4..5, &[2, 3], 1),
            finds_full(6..7, 4),
            receives(8..9, &[1]),
            sends(10..11, &[5]),
            receives_part(12..13, 3, &[2, 5]),
            finds_empty(14..15),
        ],
    );
}

#[test]
fn swapped_messages_are_illegal() {
    assert_illegal(2, &[sends(0..1, &[1]), sends(2..3, &[2]), receives(4..5, &[2]), receives(6..7, &[1])]);
    assert_illegal(2, &[sends(0..1, &[1, 2]), receives(2..3, &[2, 1])]);
}

#[test]
fn a_message_received_twice_is_illegal() {
    assert_illegal(2, &[sends(0..1, &[1]), receives(2..3, &[1]), receives(4..5, &[1])]);
    assert_illegal(2, &[sends(0..9, &[1]), receives(1..8, &[1]), receives(2..7, &[1])]);
}

#[test]
fn a_lost_message_is_illegal() {
    assert_illegal(2, &[sends(0..1, &[1]), sends(2..3, &[2]), receives(4..5, &[2])]);
    assert_illegal(2, &[sends(0..1, &[1]), sends(2..3, &[2]), receives(4..5, &[1]), finds_empty(6..7)]);
}

#[test]
fn a_message_that_was_not_sent_is_illegal() {
    assert_illegal(2, &[finds_full(0..9, 1), receives(1..8, &[1])]);
    assert_illegal(2, &[receives(0..1, &[1]), sends(2..3, &[1])]);
}

#[test]
fn more_messages_than_the_capacity_are_illegal() {
    assert_illegal(2, &[sends(0..1, &[1]), sends(2..3, &[2]), sends(4..5, &[3])]);
    assert_illegal(2, &[sends(0..1, &[1, 2, 3])]);
    assert_illegal(1, &[sends(0..9, &[1]), sends(1..8, &[2])]);
}

#[test]
fn empty_while_a_message_waits_is_illegal() {
    assert_illegal(2, &[sends(0..1, &[1]), finds_empty(2..3), receives(4..5, &[1])]);
    assert_illegal(2, &[sends(0..1, &[1, 2]), receives_part(2..3, 2, &[1]), receives(4..5, &[2])]);
}

#[test]
fn full_while_there_is_space_is_illegal() {
    assert_illegal(2, &[sends(0..1, &[1]), finds_full(2..3, 2)]);
    assert_illegal(3, &[sends(0..1, &[1]), sends_part(2..3, &[2, 3], 1)]);
}

#[test]
fn what_others_received_tells_the_order_of_concurrent_sends() {
    let sends = [sends(0..9, &[1]), sends(1..8, &[2]), sends(2..7, &[3])];
    let receives = [receives(10..11, &[3]), receives(12..13, &[1]), receives(14..15, &[2])];
    let history = History::new([sends, receives].concat());
    for rule in [Rule::Queue, Rule::Ring] {
        assert_eq!(linearize(&history, 3, rule), Ok(vec![2, 0, 1, 3, 4, 5]));
        assert!(linearize(&history, 2, rule).is_err());
    }
}

#[test]
fn a_refused_send_tells_when_a_concurrent_receive_took_effect() {
    let history = History::new(vec![
        sends(0..1, &[1]),
        receives(2..9, &[1]),
        finds_full(3..4, 2),
        sends(5..6, &[3]),
        finds_full(7..8, 4),
    ]);
    assert_eq!(linearize(&history, 1, Rule::Queue), Ok(vec![0, 2, 1, 3, 4]));
}

#[test]
fn a_send_that_ended_comes_before_one_that_had_not_begun() {
    let received_in_reverse = [receives(10..11, &[2]), receives(12..13, &[1])];
    let overlapping = [sends(0..5, &[1]), sends(4..9, &[2])];
    let in_turn = [sends(0..4, &[1]), sends(5..9, &[2])];
    assert_legal(2, &[overlapping, received_in_reverse.clone()].concat());
    assert_illegal(2, &[in_turn, received_in_reverse].concat());
}

#[test]
fn nothing_comes_between_the_messages_of_a_batch() {
    assert_legal(3, &[sends(0..9, &[1, 2]), sends(1..8, &[3]), receives(10..11, &[3, 1, 2])]);
    assert_illegal(3, &[sends(0..9, &[1, 2]), sends(1..8, &[3]), receives(10..11, &[1, 3, 2])]);
    assert_illegal(3, &[sends(0..1, &[1, 2, 3]), receives(2..9, &[1, 3]), receives(3..8, &[2])]);
}

#[test]
fn a_ring_may_be_empty_to_all_while_the_sender_at_the_head_is_at_work() {
    let history = |first_sender, empty| {
        [
            operation(first_sender, Call::Send { items: vec![1], sent: 1 }),
            sends(1..2, &[2]),
            operation(empty, Call::Receive { most: 1, received: vec![] }),
            receives(20..21, &[1, 2]),
        ]
    };
    assert_legal_for_rings_alone(2, &history(0..9, 3..4));
    assert_legal_for_rings_alone(2, &history(0..9, 8..10));
    assert_illegal(2, &history(0..7, 8..10));
}

#[test]
fn a_ring_may_be_full_to_all_while_the_receiver_from_the_next_slot_is_at_work() {
    let history = |first_receiver, full| {
        [
            sends(0..1, &[1, 2]),
            operation(first_receiver, Call::Receive { most: 1, received: vec![1] }),
            receives(3..4, &[2]),
            operation(full, Call::Send { items: vec![3], sent: 0 }),
        ]
    };
    assert_legal_for_rings_alone(2, &history(2..9, 5..6));
    assert_legal_for_rings_alone(2, &history(2..9, 8..10));
    assert_illegal(2, &history(2..7, 8..10));
}

#[test]
fn whoever_holds_another_slot_is_no_excuse() {
    assert_illegal(2, &[sends(0..1, &[1]), sends(2..9, &[2]), finds_empty(3..4)]);
    assert_illegal(
        2,
        &[sends(0..1, &[1]), receives(2..3, &[1]), receives_part(4..9, 1, &[]), finds_full(5..6, 2)],
    );
    assert_illegal(
        2,
        &[sends(0..1, &[1, 2]), receives(2..3, &[1]), receives(4..9, &[2]), finds_full(5..6, 3)],
    );
}

/// The call that came back short follows the receive, and the send had ended before that began.
#[test]
fn a_batch_looks_before_it_takes_effect_but_an_empty_try_takes_effect_where_it_looks() {
    let empty = |sender_responded| {
        [
            sends(0..1, &[1]),
            operation(2..sender_responded, Call::Send { items: vec![2], sent: 1 }),
            finds_empty(8..20),
            receives(10..11, &[1]),
            receives(21..22, &[2]),
        ]
    };
    assert_legal(2, &empty(12));
    assert_illegal(2, &empty(9));
    let part = |sender_responded| {
        [
            sends(0..1, &[1, 2]),
            operation(2..sender_responded, Call::Send { items: vec![3], sent: 1 }),
            receives_part(8..20, 2, &[2]),
            receives(10..11, &[1]),
            receives(21..22, &[3]),
        ]
    };
    assert_legal_for_rings_alone(3, &part(9));
    assert_illegal(3, &part(7));
}

/// What a plain queue did, one call each 20 ticks, with every call made longer at both ends.
fn history_of_a_queue(most: usize) -> impl Strategy<Value = (usize, Vec<Operation>)> {
    let step = (any::<bool>(), 1..4_usize, 0..40_u64, 0..40_u64);
    (1..4_usize, prop::collection::vec(step, 1..most)).prop_map(|(capacity, steps)| {
        let mut queue = VecDeque::new();
        let mut items = 1_u64..;
        let run = |(number, (is_send, most, earlier, later)): (u64, _)| {
            let call = if is_send {
                let items: Vec<u64> = items.by_ref().take(most).collect();
                let sent = most.min(capacity - queue.len());
                queue.extend(&items[..sent]);
                Call::Send { items, sent }
            } else {
                Call::Receive { most, received: queue.drain(..most.min(queue.len())).collect() }
            };
            let middle = 100 + 20 * number;
            operation(middle - 2 * earlier..middle + 1 + 2 * later, call)
        };
        (capacity, (0..).zip(steps).map(run).collect())
    })
}

/// Tries every order to its end.
fn is_legal_to_the_simple(capacity: usize, order: &mut Vec<Operation>, rest: &[Operation]) -> bool {
    if rest.is_empty() {
        return keeps_real_time(order) && is_run_of_a_queue(capacity, order);
    }
    (0..rest.len()).any(|next| {
        let mut rest = rest.to_vec();
        order.push(rest.remove(next));
        let is_legal = is_legal_to_the_simple(capacity, order, &rest);
        order.pop();
        is_legal
    })
}

fn keeps_real_time(order: &[Operation]) -> bool {
    (0..order.len()).all(|at| order[at..].iter().all(|later| later.responded > order[at].invoked))
}

fn is_run_of_a_queue(capacity: usize, order: &[Operation]) -> bool {
    let mut queue: VecDeque<u64> = VecDeque::new();
    order.iter().all(|operation| match &operation.call {
        Call::Send { items, sent } => {
            let space = capacity - queue.len();
            queue.extend(items.iter().take(space));
            *sent == space.min(items.len())
        }
        Call::Receive { most, received } => {
            let count = queue.len().min(*most);
            queue.drain(..count).eq(received.iter().copied())
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_plain_queue_did_is_legal((capacity, operations) in history_of_a_queue(24)) {
        assert_legal(capacity, &operations);
    }

    #[test]
    fn the_checker_agrees_with_a_simple_search(
        (capacity, mut operations) in history_of_a_queue(7),
        (one, other) in (0..6_usize, 0..6_usize),
    ) {
        let count = operations.len();
        let call = operations[one % count].call.clone();
        operations[one % count].call = std::mem::replace(&mut operations[other % count].call, call);
        let expected = is_legal_to_the_simple(capacity, &mut Vec::new(), &operations);
        prop_assert_eq!(is_legal(capacity, Rule::Queue, &operations), expected);
        prop_assert!(!expected || is_legal(capacity, Rule::Ring, &operations));
    }
}
