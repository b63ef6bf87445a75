//! The ring that all share: claims, what is given up or handed back, the end, and wake-ups of one.

use bchan::{
    Channel, Config, Consumer, Mode, Producer, ReceiveError, ReceiveSlots, Receiving, SendError, SendSlots,
    Sending,
};
use loom::thread;
use loom::thread::JoinHandle;

use crate::{check, drain, from_base, passing, send_until_closed, send_without_waiting};

fn ring(mode: Mode, capacity: usize, max_producers: usize) -> Channel {
    Channel::new(&Config { mode, item_size: 8, capacity, max_producers, ..Config::default() }).unwrap()
}

fn mpmc(capacity: usize) -> Channel {
    ring(Mode::Mpmc, capacity, 3)
}

fn producers<const N: usize>(channel: &Channel) -> [Producer; N] {
    std::array::from_fn(|_| channel.producer().unwrap())
}

fn consumers<const N: usize>(channel: &Channel) -> [Consumer; N] {
    std::array::from_fn(|_| channel.consumer().unwrap())
}

/// Moves the ring on by `n`, so that the next claims begin elsewhere and states are of later laps.
fn turn(tx: &mut Producer, rx: &mut Consumer, n: u64) {
    for item in 0..n {
        assert_eq!(tx.try_send(item), Ok(true));
        assert_eq!(rx.try_receive(), Some(item));
    }
}

/// Reserves one slot and writes it.
fn reserve_one(tx: &mut Producer, item: u64) -> bool {
    let has_one = tx.reserve(1) == 1;
    if has_one {
        // SAFETY: the slot is ours until it is committed.
        unsafe { tx.slots(1).cast::<u64>().write(item) };
    }
    has_one
}

/// The first peeked message.
fn read_one(rx: &Consumer) -> u64 {
    // SAFETY: a message was peeked at.
    unsafe { rx.front(1).cast::<u64>().read() }
}

/// Checks a model of a ring in each mode that has one.
fn check_rings(preemptions: usize, model: impl Fn(Mode) + Sync + Send + Copy + 'static) {
    for mode in [Mode::Spmc, Mode::Mpmc] {
        check(preemptions, move || model(mode));
    }
}

/// Sends one message, in a thread that then keeps its handle.
fn send_one(mut tx: Producer, item: u64) -> JoinHandle<Producer> {
    thread::spawn(move || {
        tx.send(item).unwrap();
        tx
    })
}

/// Receives a message if there is one just then, in a thread.
fn try_receive_one(mut rx: Consumer) -> JoinHandle<Vec<u64>> {
    thread::spawn(move || Vec::from_iter(rx.try_receive()))
}

type Receiver = JoinHandle<(Result<u64, ReceiveError>, Consumer)>;

/// Receives one message, in a thread that then keeps its handle.
fn receive_one(mut rx: Consumer) -> Receiver {
    thread::spawn(move || (rx.receive(), rx))
}

/// The same in two threads.
fn two_receivers(channel: &Channel) -> [Receiver; 2] {
    consumers(channel).map(receive_one)
}

/// What they received; their handles are kept until all are through, for a handle that goes wakes others.
fn join(receivers: [Receiver; 2]) -> [Result<u64, ReceiveError>; 2] {
    let mut seen = receivers.map(|receiver| receiver.join().unwrap()).each_ref().map(|(seen, _)| *seen);
    seen.sort_by_key(|seen| seen.unwrap_or(u64::MAX));
    seen
}

fn sorted(items: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut items: Vec<u64> = items.into_iter().collect();
    items.sort_unstable();
    items
}

// Sending and receiving.

#[test]
fn two_producers_and_a_consumer() {
    check(1, || {
        let channel = mpmc(2);
        let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut first, &mut rx, 1);
        let sender = thread::spawn(move || {
            first.send(100_u64).unwrap();
            first.send(101_u64).unwrap();
        });
        let other = thread::spawn(move || second.send(200_u64).unwrap());
        let seen = drain(&mut rx);
        assert_eq!(from_base(&seen, 100), [100, 101]);
        assert_eq!(from_base(&seen, 200), [200]);
        assert_eq!(seen.len(), 3);
        sender.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_producer_and_two_consumers() {
    check_rings(1, |mode| {
        let channel = ring(mode, 1, 1);
        let ([mut tx], receivers) = (producers(&channel), two_receivers(&channel));
        tx.send(1_u64).unwrap();
        tx.send(2_u64).unwrap();
        assert_eq!(join(receivers), [Ok(1), Ok(2)]);
        drop(tx);
    });
}

/// Nobody waits, so that nothing but the states protects the slots.
#[test]
fn shared_slots_are_safe_while_nobody_waits() {
    check_rings(3, |mode| {
        let channel = ring(mode, 1, 1);
        let ([mut tx], [mut rx, other]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut rx, 1);
        let sender = thread::spawn(move || (send_without_waiting(&mut tx, 0..2), tx));
        let receiver = try_receive_one(other);
        let mut seen: Vec<u64> = (0..2).filter_map(|_| rx.try_receive()).collect();
        let (accepted, tx) = sender.join().unwrap();
        drop(tx);
        seen.extend(receiver.join().unwrap());
        seen.extend(drain(&mut rx));
        assert_eq!(sorted(seen), accepted);
    });
}

#[test]
fn shared_batches_across_the_rings_end() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut first, second], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut first, &mut rx, 1);
        let senders = [(first, 100), (second, 200)].map(|(mut tx, base)| {
            thread::spawn(move || {
                let n = tx.try_send_all(&[base, base + 1]).unwrap();
                ([base, base + 1][..n].to_vec(), tx)
            })
        });
        let (mut seen, mut buffer) = (Vec::new(), [0_u64; 2]);
        for _ in 0..2 {
            let n = rx.try_receive_into(&mut buffer);
            seen.extend_from_slice(&buffer[..n]);
        }
        let [(of_first, first), (of_second, other)] = senders.map(|sender| sender.join().unwrap());
        drop((first, other));
        seen.extend(drain(&mut rx));
        assert_eq!(from_base(&seen, 100), of_first);
        assert_eq!(from_base(&seen, 200), of_second);
        assert_eq!(seen.len(), of_first.len() + of_second.len());
    });
}

#[test]
fn batches_to_two_consumers_across_the_rings_end() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx], [mut rx, mut other]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut rx, 1);
        let sender = thread::spawn(move || {
            let items = [0_u64, 1, 2];
            let first = tx.try_send_all(&items[..2]).unwrap();
            (first + tx.try_send_all(&items[first..]).unwrap(), tx)
        });
        let take = |rx: &mut Consumer| {
            let mut buffer = [0_u64; 2];
            let n = rx.try_receive_into(&mut buffer);
            buffer[..n].to_vec()
        };
        let receiver = thread::spawn(move || take(&mut other));
        let mut seen = take(&mut rx);
        let (accepted, tx) = sender.join().unwrap();
        drop(tx);
        seen.extend(receiver.join().unwrap());
        seen.extend(drain(&mut rx));
        assert_eq!(sorted(seen), (0..accepted as u64).collect::<Vec<_>>());
    });
}

// A capacity that is no power of two.

/// A slot of the lap is free, and yet nothing may be sent before the oldest message was released.
#[test]
fn a_ring_of_three_holds_three_in_whatever_order_they_are_released() {
    check(2, || {
        let channel = mpmc(3);
        let ([mut tx], [mut first, mut second]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut first, 2);
        assert_eq!(tx.try_send_all(&[100_u64, 101, 102, 103]), Ok(3));
        assert_eq!(first.peek(1), 1);
        let receiver = thread::spawn(move || (second.try_receive::<u64>(), second));
        assert_eq!(tx.try_send(103_u64), Ok(false), "the oldest is still looked at");
        first.release(1);
        assert_eq!(tx.try_send(103_u64), Ok(true));
        let (received, mut second) = receiver.join().unwrap();
        assert_eq!(received, Some(101));
        assert_eq!(tx.try_send_all(&[104_u64, 105]), Ok(1));
        drop(tx);
        assert_eq!(drain(&mut second), [102, 103, 104]);
    });
}

/// Two producers, whose claims meet where the ring's bound and its lap are not the same.
#[test]
fn producers_that_race_for_a_ring_of_three_send_three() {
    check(2, || {
        let channel = mpmc(3);
        let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut first, &mut rx, 2);
        let other = thread::spawn(move || first.try_send_all(&[100_u64, 101]).unwrap());
        let sent = second.try_send_all(&[200_u64, 201]).unwrap();
        drop(second);
        assert_eq!(sent + other.join().unwrap(), 3);
        assert_eq!(drain(&mut rx).len(), 3);
    });
}

// Claims that are given up.

/// Its slot is the next one's, who writes it too: the ring must order the two writes.
#[test]
fn slot_given_up_is_claimed_by_another() {
    check(3, || {
        let channel = mpmc(1);
        let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
        let giver = thread::spawn(move || {
            assert!(reserve_one(&mut first, 100) || first.try_send(101_u64) == Ok(false));
            first.commit(0).unwrap();
            first
        });
        let accepted = send_without_waiting(&mut second, [200]);
        drop(giver.join().unwrap());
        drop(second);
        assert_eq!(drain(&mut rx), accepted);
        assert_eq!(channel.stats().received, channel.stats().sent);
    });
}

/// What was given up behind another's message is passed, wherever the two lie.
#[test]
fn slots_given_up_are_passed_and_counted() {
    check(1, || {
        let channel = mpmc(2);
        let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
        let giver = thread::spawn(move || {
            let has_one = reserve_one(&mut first, 100);
            first.commit(0).unwrap();
            usize::from(has_one)
        });
        let sender = thread::spawn(move || (0..2_u64).for_each(|i| second.send(200 + i).unwrap()));
        assert_eq!(drain(&mut rx), [200, 201]);
        let reserved = giver.join().unwrap();
        sender.join().unwrap();
        let stats = channel.stats();
        assert!(stats.abandoned as usize <= reserved);
        assert_eq!((stats.sent, stats.received, channel.len()), (2, 2, 0));
    });
}

#[test]
fn part_of_a_reservation_is_committed_beside_another_message() {
    check(1, || {
        let channel = mpmc(4);
        let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
        let sender = thread::spawn(move || {
            assert!(first.reserve(2) == 2);
            // SAFETY: two slots are ours.
            unsafe { first.slots(2).cast::<[u64; 2]>().write([100, 101]) };
            first.commit(1).unwrap();
        });
        let other = thread::spawn(move || second.send(200_u64).unwrap());
        let seen = drain(&mut rx);
        assert_eq!(sorted(seen), [100, 200]);
        sender.join().unwrap();
        other.join().unwrap();
        assert_eq!((channel.stats().sent, channel.stats().received), (2, 2));
    });
}

#[test]
fn dropped_reservation_lets_a_parked_consumer_go_on() {
    check(3, || {
        let channel = mpmc(2);
        let ([mut stalled, mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
        assert!(reserve_one(&mut stalled, 100));
        tx.send(200_u64).unwrap();
        let leaver = thread::spawn(move || drop(stalled));
        assert_eq!(rx.receive(), Ok(200_u64));
        leaver.join().unwrap();
        drop(tx);
    });
}

/// The slot that a consumer passes is space for a producer that waits.
#[test]
fn passing_slots_given_up_wakes_a_parked_producer() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut first, mut second, tx], [mut rx]) = (producers(&channel), consumers(&channel));
        assert!(reserve_one(&mut first, 100) && reserve_one(&mut second, 200));
        first.commit(0).unwrap();
        let sender = send_one(tx, 300);
        assert_eq!(rx.try_receive::<u64>(), None);
        let _tx = sender.join().unwrap();
        second.commit(1).unwrap();
        assert_eq!((rx.try_receive(), rx.try_receive()), (Some(200_u64), Some(300_u64)));
    });
}

// Messages that are handed back.

/// The head goes back, and a producer writes the slot once the other consumer is done with it: the
/// ring must order the first one's reading and that writing.
#[test]
fn message_handed_back_is_taken_by_another() {
    check(3, || {
        let channel = mpmc(1);
        let ([mut tx], [mut rx, mut other]) = (producers(&channel), consumers(&channel));
        tx.send(100_u64).unwrap();
        let looker = thread::spawn(move || {
            if rx.peek(1) == 1 {
                assert!((100..102).contains(&read_one(&rx)));
                rx.release(0);
            }
            rx
        });
        let taken = other.try_receive::<u64>();
        let accepted = send_without_waiting(&mut tx, [101]);
        drop(tx);
        drop(looker.join().unwrap());
        let seen: Vec<u64> = taken.into_iter().chain(drain(&mut other)).collect();
        assert_eq!(sorted(seen), [&[100], &accepted[..]].concat());
    });
}

/// The same in three threads, none of which passes a fence between the looking and the writing.
#[test]
fn slot_of_a_message_handed_back_is_read_before_it_is_written() {
    check(2, || {
        let channel = mpmc(1);
        let ([mut tx], [mut rx, other]) = (producers(&channel), consumers(&channel));
        tx.send(100_u64).unwrap();
        let taker = try_receive_one(other);
        let sender = thread::spawn(move || send_without_waiting(&mut tx, [101]));
        if rx.peek(1) == 1 {
            assert!((100..102).contains(&read_one(&rx)));
            rx.release(0);
        }
        let (mut seen, accepted) = (taker.join().unwrap(), sender.join().unwrap());
        seen.extend(drain(&mut rx));
        assert_eq!(sorted(seen), [&[100], &accepted[..]].concat());
    });
}

/// Two look at messages and hand some back, so that they may lie in the midst of the ring.
#[test]
fn messages_handed_back_are_taken_once() {
    check(2, || {
        let channel = mpmc(4);
        let ([mut tx], [mut rx, other, mut third]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut rx, 3);
        tx.send_all(&[100_u64, 101, 102]).unwrap();
        let lookers = [(rx, 2), (other, 1)].map(|(mut rx, n)| {
            thread::spawn(move || {
                let found = rx.peek(n);
                let first = (found > 0).then(|| read_one(&rx));
                rx.release(usize::from(found > 1));
                if found > 1 { first } else { None }
            })
        });
        let mut seen = Vec::from_iter(third.try_receive::<u64>());
        seen.extend(lookers.into_iter().filter_map(|looker| looker.join().unwrap()));
        drop(tx);
        seen.extend(drain(&mut third));
        assert_eq!(sorted(seen), [100, 101, 102]);
        assert_eq!((channel.len(), channel.stats().received), (0, 6));
    });
}

/// One takes what was handed back, another looks and finds none, and a third hands more back: that there is
/// some must not be forgotten.
#[test]
fn messages_handed_back_while_others_take_some_are_found() {
    check(2, || {
        let channel = mpmc(4);
        let ([mut tx], [mut first, mut second, mut third, fourth]) =
            (producers(&channel), consumers(&channel));
        tx.send_all(&[100_u64, 101, 102]).unwrap();
        assert_eq!((first.peek(1), second.peek(1), third.peek(1)), (1, 1, 1));
        first.release(0);
        let taker = try_receive_one(fourth);
        let giver = thread::spawn(move || drop(second));
        let mut seen = Vec::from_iter(first.try_receive::<u64>());
        seen.extend(taker.join().unwrap());
        giver.join().unwrap();
        third.release(1);
        drop(tx);
        seen.extend(drain(&mut first));
        assert_eq!(sorted(seen), [100, 101]);
    });
}

/// Handed back in the midst of the ring, and taken by one who was asleep.
#[test]
fn handing_back_in_the_midst_wakes_a_parked_consumer() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx], [mut first, mut second, third]) = (producers(&channel), consumers(&channel));
        tx.send_all(&[100_u64, 101]).unwrap();
        assert_eq!((first.peek(1), second.peek(1)), (1, 1));
        let waiter = receive_one(third);
        first.release(0);
        let (seen, mut third) = waiter.join().unwrap();
        assert_eq!(seen, Ok(100));
        second.release(0);
        assert_eq!(third.try_receive::<u64>(), Some(101));
        drop(tx);
    });
}

#[test]
fn dropped_consumer_leaves_what_it_looked_at_to_one_who_waits() {
    check(3, || {
        let channel = mpmc(2);
        let ([mut tx], [mut rx, other]) = (producers(&channel), consumers(&channel));
        tx.send(100_u64).unwrap();
        assert_eq!(rx.peek(1), 1);
        let waiter = receive_one(other);
        drop(rx);
        assert_eq!(waiter.join().unwrap().0, Ok(100));
        drop(tx);
    });
}

/// Woken for a message and gone without it: the next one must hear.
#[test]
fn dropped_consumer_passes_its_wake_up_on() {
    check(1, || {
        let channel = mpmc(2);
        let ([mut tx], [mut rx, other]) = (producers(&channel), consumers(&channel));
        let leaver = thread::spawn(move || {
            let _ = rx.wait_for_message(bchan::Deadline::NEVER);
        });
        let waiter = receive_one(other);
        tx.send(100_u64).unwrap();
        assert_eq!(waiter.join().unwrap().0, Ok(100));
        // The message is gone, so only the end can let the first one go, if it slept.
        drop(tx);
        leaver.join().unwrap();
    });
}

// Closing and the end.

#[test]
fn closing_a_ring_and_sending() {
    check_rings(2, |mode| {
        let channel = ring(mode, 2, 1);
        let ([mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
        let sender = thread::spawn(move || (send_until_closed(&mut tx, 0..2), tx));
        let closing = channel.clone();
        let closer = thread::spawn(move || closing.close());
        let seen = drain(&mut rx);
        let (accepted, _tx) = sender.join().unwrap();
        assert_eq!(seen, accepted);
        assert!(channel.is_empty());
        closer.join().unwrap();
    });
}

#[test]
fn closing_a_ring_tells_two_consumers() {
    check_rings(1, |mode| {
        let channel = ring(mode, 1, 1);
        let ([mut tx], receivers) = (producers(&channel), two_receivers(&channel));
        assert_eq!(tx.try_send(1_u64), Ok(true));
        channel.close();
        assert_eq!(join(receivers), [Ok(1), Err(ReceiveError::Ended)]);
        drop(tx);
    });
}

/// The claim ends after the close: both consumers have to hear of it, though nothing is sent.
#[test]
fn closing_with_an_open_reservation_tells_two_consumers() {
    check(1, || {
        let channel = mpmc(1);
        let ([mut tx], rxs) = (producers(&channel), consumers::<2>(&channel));
        assert!(reserve_one(&mut tx, 100));
        let receivers = rxs.map(receive_one);
        channel.close();
        assert_eq!(tx.commit(1), Err(SendError::Closed));
        assert_eq!(join(receivers), [Err(ReceiveError::Ended); 2]);
        drop(tx);
    });
}

/// One takes the last message and never comes back: the other is told all the same.
#[test]
fn closing_with_an_open_claim_tells_who_waits() {
    check(1, || {
        let channel = mpmc(1);
        let ([mut tx], [rx, other]) = (producers(&channel), consumers(&channel));
        assert_eq!(tx.claim(1), 1);
        let receivers = [receive_one(rx), receive_one(other)];
        channel.close();
        // SAFETY: the slot is ours.
        unsafe { tx.slots(1).cast::<u64>().write(100) };
        tx.commit(1).unwrap();
        assert_eq!(join(receivers), [Ok(100), Err(ReceiveError::Ended)]);
        drop(tx);
    });
}

#[test]
fn closing_a_ring_wakes_two_parked_producers() {
    check(2, || {
        let channel = mpmc(1);
        let ([mut tx, first, second], [mut rx]) = (producers(&channel), consumers(&channel));
        tx.send(7_u64).unwrap();
        let senders =
            [first, second].map(|mut tx| thread::spawn(move || (send_until_closed(&mut tx, [1]), tx)));
        channel.close();
        for sender in senders {
            assert!(sender.join().unwrap().0.is_empty());
        }
        assert_eq!(drain(&mut rx), [7]);
    });
}

#[test]
fn last_producer_leaving_tells_two_consumers() {
    check(1, || {
        let channel = mpmc(2);
        let ([tx], receivers) = (producers(&channel), two_receivers(&channel));
        drop(tx);
        assert_eq!(join(receivers), [Err(ReceiveError::Ended); 2]);
    });
}

/// One of the two takes the last message, the other is told the end.
#[test]
fn last_message_and_the_end_reach_two_consumers() {
    check(1, || {
        let channel = mpmc(2);
        let ([mut tx], receivers) = (producers(&channel), two_receivers(&channel));
        tx.send(1_u64).unwrap();
        drop(tx);
        assert_eq!(join(receivers), [Ok(1), Err(ReceiveError::Ended)]);
    });
}

/// Who looks at the last message may hand it back: until then it is not over for the other.
#[test]
fn end_waits_for_messages_that_are_peeked() {
    check(3, || {
        let channel = mpmc(2);
        let ([mut tx], [mut rx, mut other]) = (producers(&channel), consumers(&channel));
        tx.send(1_u64).unwrap();
        drop(tx);
        let looker = thread::spawn(move || {
            let _ = rx.peek(1);
        });
        assert_eq!(drain(&mut other), [1]);
        looker.join().unwrap();
    });
}

/// A port sends without a handle, until the ring is sealed.
#[test]
fn end_and_a_port_that_sends() {
    check(3, || {
        let channel = mpmc(1);
        let (port, [mut rx]) = (channel.port().unwrap(), consumers(&channel));
        drop(channel.producer().unwrap());
        let sender = thread::spawn(move || port.try_send_all(&[1_u64]));
        let seen = drain(&mut rx);
        match sender.join().unwrap() {
            Ok(n) => assert_eq!(seen.len(), n),
            Err(stop) => assert_eq!((stop, seen.len()), (SendError::Closed, 0)),
        }
    });
}

// Waking one.

#[test]
fn two_messages_wake_two_consumers() {
    for is_batch in [false, true] {
        check(if is_batch { 2 } else { 1 }, move || {
            let channel = mpmc(2);
            let ([mut tx], receivers) = (producers(&channel), two_receivers(&channel));
            if is_batch {
                tx.send_all(&[1_u64, 2]).unwrap();
            } else {
                tx.send(1_u64).unwrap();
                tx.send(2_u64).unwrap();
            }
            assert_eq!(join(receivers), [Ok(1), Ok(2)]);
            drop(tx);
        });
    }
}

#[test]
fn two_producers_wake_two_consumers() {
    check(1, || {
        let channel = mpmc(2);
        let ([first, mut second], rxs) = (producers(&channel), consumers::<2>(&channel));
        let receivers = rxs.map(receive_one);
        let sender = send_one(first, 1);
        second.send(2_u64).unwrap();
        assert_eq!(join(receivers), [Ok(1), Ok(2)]);
        drop((sender.join().unwrap(), second));
    });
}

#[test]
fn release_of_two_slots_wakes_two_producers() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx, first, second], [mut rx]) = (producers(&channel), consumers(&channel));
        tx.send_all(&[1_u64, 2]).unwrap();
        let senders = [first, second].map(|tx| send_one(tx, 3));
        assert_eq!(rx.try_receive_into(&mut [0_u64; 2]), 2);
        let _kept = senders.map(|sender| sender.join().unwrap());
        assert_eq!(channel.len(), 2);
    });
}

/// A batch wakes one. He keeps his message for a while; the other must hear of the second.
#[test]
fn consumer_that_peeks_wakes_the_next() {
    check(1, || {
        let channel = mpmc(2);
        let ([mut tx], rxs) = (producers(&channel), consumers::<2>(&channel));
        let lookers = rxs.map(|mut rx| {
            thread::spawn(move || {
                while rx.peek(1) == 0 {
                    rx.wait_for_message(bchan::Deadline::NEVER).unwrap();
                }
                // Returned with its message open, which is released when both have theirs.
                rx
            })
        });
        tx.send_all(&[1_u64, 2]).unwrap();
        let rxs = lookers.map(|looker| looker.join().unwrap());
        assert_eq!(sorted(rxs.each_ref().map(read_one)), [1, 2]);
        drop(tx);
    });
}

#[test]
fn producer_that_reserves_wakes_the_next() {
    check(1, || {
        let channel = mpmc(2);
        let ([mut tx, first, second], [mut rx]) = (producers(&channel), consumers(&channel));
        tx.send_all(&[1_u64, 2]).unwrap();
        let reservers = [first, second].map(|mut tx| {
            thread::spawn(move || {
                while tx.reserve(1) == 0 {
                    tx.wait_for_space(bchan::Deadline::NEVER).unwrap();
                }
                tx
            })
        });
        assert_eq!(rx.try_receive_into(&mut [0_u64; 2]), 2);
        let _both = reservers.map(|reserver| reserver.join().unwrap());
    });
}

/// One leaves as its deadline passes, maybe with the wake-up that the other needs.
#[test]
fn deadline_that_passes_takes_no_consumers_wake_up() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx], [mut hasty, patient]) = (producers(&channel), consumers(&channel));
        let waiter = receive_one(patient);
        let leaver = thread::spawn(move || match hasty.wait_for_message(passing()) {
            Ok(()) => hasty.try_receive::<u64>(),
            stop => {
                assert_eq!(stop, Err(ReceiveError::TimedOut));
                None
            }
        });
        tx.send(1_u64).unwrap();
        // Replaced, if the hasty one took it.
        if let Some(taken) = leaver.join().unwrap() {
            tx.send(taken).unwrap();
        }
        assert_eq!(waiter.join().unwrap().0, Ok(1));
        drop(tx);
    });
}

#[test]
fn deadline_that_passes_takes_no_producers_wake_up() {
    check(2, || {
        let channel = mpmc(1);
        let ([mut tx, mut hasty, patient], [mut rx]) = (producers(&channel), consumers(&channel));
        tx.send(0_u64).unwrap();
        let waiter = send_one(patient, 1);
        let leaver = thread::spawn(move || {
            let has_sent = hasty.wait_for_space(passing()).is_ok() && hasty.try_send(2_u64) == Ok(true);
            (has_sent, hasty)
        });
        assert_eq!(rx.receive(), Ok(0_u64));
        let (has_sent, _hasty) = leaver.join().unwrap();
        let mut seen: Vec<u64> = (0..1 + usize::from(has_sent)).map(|_| rx.receive().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [&[1][..], &[2][..usize::from(has_sent)]].concat());
        let _patient = waiter.join().unwrap();
    });
}
