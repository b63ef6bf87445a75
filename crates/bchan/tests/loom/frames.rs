//! Messages of one slot and of two, in a lane and in the ring that all share.

use bchan::{
    Channel, Config, Deadline, Frame, FrameConsumer, FrameProducer, Mode, ReceiveError, ReceivingFrames,
    SendError, SendSlots, SendingFrames,
};
use loom::thread;
use loom::thread::JoinHandle;

use crate::{check, passing};

pub(crate) const ONE: usize = 10;
pub(crate) const TWO: usize = 65;

fn channel(mode: Mode, capacity: usize, max_producers: usize) -> Channel {
    Channel::of_frames(&Config { mode, capacity, max_producers, ..Config::default() }).unwrap()
}

fn lane(capacity: usize) -> Channel {
    channel(Mode::Mpsc, capacity, 1)
}

fn mpmc(capacity: usize) -> Channel {
    channel(Mode::Mpmc, capacity, 3)
}

fn producers<const N: usize>(channel: &Channel) -> [FrameProducer; N] {
    std::array::from_fn(|_| channel.frame_producer().unwrap())
}

fn consumers<const N: usize>(channel: &Channel) -> [FrameConsumer; N] {
    std::array::from_fn(|_| channel.frame_consumer().unwrap())
}

/// Message `id`, which says it in every byte.
fn message(id: u8, len: usize) -> Vec<u8> {
    vec![id; len]
}

pub(crate) fn try_send(tx: &mut FrameProducer, id: u8, len: usize) -> bool {
    tx.try_send(&message(id, len), id) == Ok(true)
}

fn send(tx: &mut FrameProducer, id: u8, len: usize) -> Result<(), SendError> {
    tx.send(&message(id, len), id)
}

/// Which message it is, and how long, checked to be whole.
pub(crate) fn checked(kind: u8, bytes: &[u8]) -> (u8, usize) {
    assert!(bytes.iter().all(|byte| *byte == kind), "{kind} is torn");
    (kind, bytes.len())
}

pub(crate) fn try_receive(rx: &mut FrameConsumer) -> Option<(u8, usize)> {
    let mut buffer = Vec::new();
    let kind = rx.try_receive(&mut buffer)?;
    Some(checked(kind, &buffer))
}

fn receive(rx: &mut FrameConsumer) -> Result<(u8, usize), ReceiveError> {
    let mut buffer = Vec::new();
    rx.receive(&mut buffer).map(|kind| checked(kind, &buffer))
}

fn drain(rx: &mut FrameConsumer) -> Vec<(u8, usize)> {
    let all = std::iter::from_fn(|| receive(rx).ok()).collect();
    assert!(rx.claim().is_none(), "nothing comes after the end");
    all
}

pub(crate) fn sorted(mut seen: Vec<(u8, usize)>) -> Vec<(u8, usize)> {
    seen.sort_unstable();
    seen
}

/// Moves the ring on by `n` slots.
fn turn(tx: &mut FrameProducer, rx: &mut FrameConsumer, n: usize) {
    for _ in 0..n {
        assert!(try_send(tx, 9, ONE));
        assert_eq!(try_receive(rx), Some((9, ONE)));
    }
}

// A lane.

#[test]
fn frames_of_a_lane_arrive_whole_and_in_order() {
    check(2, || {
        let channel = lane(2);
        let ([mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut rx, 1);
        let sender = thread::spawn(move || {
            send(&mut tx, 1, TWO).unwrap();
            send(&mut tx, 2, ONE).unwrap();
            send(&mut tx, 3, TWO).unwrap();
        });
        assert_eq!(drain(&mut rx), [(1, TWO), (2, ONE), (3, TWO)]);
        sender.join().unwrap();
    });
}

/// Nobody waits, so that nothing but the lane's own orderings protects slots and lengths.
#[test]
fn frames_of_a_lane_are_safe_while_nobody_waits() {
    check(4, || {
        let channel = lane(2);
        let ([mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut rx, 1);
        let sender = thread::spawn(move || {
            let sent =
                [(1, ONE), (2, TWO), (3, ONE)].map(|(id, len)| (try_send(&mut tx, id, len), (id, len)));
            (sent, tx)
        });
        let mut seen: Vec<_> = (0..3).filter_map(|_| try_receive(&mut rx)).collect();
        let (sent, tx) = sender.join().unwrap();
        drop(tx);
        seen.extend(drain(&mut rx));
        let accepted: Vec<_> = sent.into_iter().filter(|(went, _)| *went).map(|(_, which)| which).collect();
        assert_eq!(seen, accepted);
        assert_eq!((channel.stats().sent, channel.len()), (1 + seen.len() as u64, 0));
    });
}

#[test]
fn parked_producer_of_a_lane_hears_that_two_slots_are_free() {
    check(3, || {
        let channel = lane(2);
        let ([mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut rx, 1);
        assert!(try_send(&mut tx, 1, ONE) && try_send(&mut tx, 2, ONE));
        let sender = thread::spawn(move || {
            send(&mut tx, 3, TWO).unwrap();
            tx
        });
        assert_eq!((try_receive(&mut rx), try_receive(&mut rx)), (Some((1, ONE)), Some((2, ONE))));
        // Nothing else wakes it: this thread only waits for it.
        let _tx = sender.join().unwrap();
        assert_eq!(try_receive(&mut rx), Some((3, TWO)));
    });
}

#[test]
fn closing_a_lane_and_sending_frames() {
    check(3, || {
        let channel = lane(2);
        let ([mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut rx, 1);
        let sender = thread::spawn(move || {
            let sent = [(1, TWO), (2, ONE)].map(|(id, len)| send(&mut tx, id, len).is_ok());
            (sent.into_iter().filter(|went| *went).count(), tx)
        });
        channel.close();
        let seen = drain(&mut rx);
        let (accepted, _tx) = sender.join().unwrap();
        assert_eq!(seen, [(1, TWO), (2, ONE)][..accepted]);
        assert_eq!(channel.stats().sent, 1 + accepted as u64);
    });
}

// The shared ring.

#[test]
fn two_producers_of_one_slot_and_two() {
    check(1, || {
        let channel = mpmc(2);
        let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut first, &mut rx, 1);
        let one = thread::spawn(move || send(&mut first, 1, ONE).unwrap());
        let two = thread::spawn(move || send(&mut second, 2, TWO).unwrap());
        assert_eq!(sorted(drain(&mut rx)), [(1, ONE), (2, TWO)]);
        one.join().unwrap();
        two.join().unwrap();
        assert_eq!((channel.stats().sent, channel.stats().received), (3, 3));
    });
}

/// Nobody waits, so that nothing but the states protects slots and lengths.
#[test]
fn shared_frames_are_safe_while_nobody_waits() {
    for mode in [Mode::Spmc, Mode::Mpmc] {
        check(3, move || {
            let channel = channel(mode, 2, 1);
            let ([mut tx], [mut rx, mut other]) = (producers(&channel), consumers(&channel));
            turn(&mut tx, &mut rx, 1);
            let sender = thread::spawn(move || {
                let sent =
                    [(1, ONE), (2, TWO), (3, ONE)].map(|(id, len)| (try_send(&mut tx, id, len), (id, len)));
                (sent, tx)
            });
            let receiver = thread::spawn(move || Vec::from_iter(try_receive(&mut other)));
            let mut seen: Vec<_> = (0..2).filter_map(|_| try_receive(&mut rx)).collect();
            let (sent, tx) = sender.join().unwrap();
            drop(tx);
            seen.extend(receiver.join().unwrap());
            seen.extend(drain(&mut rx));
            let accepted: Vec<_> =
                sent.into_iter().filter(|(went, _)| *went).map(|(_, which)| which).collect();
            assert_eq!(sorted(seen), accepted);
        });
    }
}

#[test]
fn producers_of_one_slot_and_two_contend_while_nobody_waits() {
    check(2, || {
        let channel = mpmc(4);
        let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
        turn(&mut first, &mut rx, 3);
        let one = thread::spawn(move || (try_send(&mut first, 1, ONE), first));
        let two = thread::spawn(move || (try_send(&mut second, 2, TWO), second));
        let mut seen = Vec::from_iter(try_receive(&mut rx));
        let ((has_one, first), (has_two, second)) = (one.join().unwrap(), two.join().unwrap());
        assert!(has_one && has_two, "there is room for both");
        drop((first, second));
        seen.extend(drain(&mut rx));
        assert_eq!(sorted(seen), [(1, ONE), (2, TWO)]);
    });
}

#[test]
fn two_consumers_of_frames() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx], [mut rx, mut other]) = (producers(&channel), consumers(&channel));
        turn(&mut tx, &mut rx, 1);
        assert!(try_send(&mut tx, 1, TWO));
        let receiver = thread::spawn(move || {
            let seen = try_receive(&mut other);
            (seen, other)
        });
        let mut seen = Vec::from_iter(try_receive(&mut rx));
        let accepted = try_send(&mut tx, 2, ONE);
        drop(tx);
        let (of_other, _other) = receiver.join().unwrap();
        seen.extend(of_other);
        seen.extend(drain(&mut rx));
        assert_eq!(sorted(seen), [(1, TWO), (2, ONE)][..1 + usize::from(accepted)]);
    });
}

/// A reservation of two slots, of which one is used or none, beside another's message.
#[test]
fn room_given_up_is_passed() {
    for commits in [true, false] {
        check(2, move || {
            let channel = mpmc(4);
            let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
            turn(&mut first, &mut rx, 1);
            let giver = thread::spawn(move || {
                assert!(first.reserve(TWO));
                if commits {
                    // SAFETY: room for one byte is ours.
                    unsafe { first.room().write(1) };
                    first.commit(Frame { len: 1, kind: 1 }).unwrap();
                } else {
                    first.abort();
                }
            });
            let sender = thread::spawn(move || send(&mut second, 2, TWO).unwrap());
            let mut expected = vec![(2, TWO)];
            if commits {
                expected.insert(0, (1, 1));
            }
            assert_eq!(sorted(drain(&mut rx)), expected);
            giver.join().unwrap();
            sender.join().unwrap();
            assert_eq!(channel.len(), 0);
        });
    }
}

/// Its slots are the next one's, who writes them too: the ring must order the two writes.
#[test]
fn room_given_up_is_claimed_by_another() {
    check(3, || {
        let channel = mpmc(2);
        let ([mut first, mut second], [mut rx]) = (producers(&channel), consumers(&channel));
        let giver = thread::spawn(move || {
            if first.reserve(TWO) {
                // SAFETY: room for that many bytes is ours.
                unsafe { first.room().write_bytes(1, TWO) };
            }
            first.abort();
            first
        });
        let accepted = try_send(&mut second, 2, ONE);
        drop(giver.join().unwrap());
        drop(second);
        assert_eq!(drain(&mut rx), [(2, ONE)][..usize::from(accepted)]);
    });
}

#[test]
fn frame_handed_back_is_taken_by_another() {
    check(2, || {
        let channel = mpmc(4);
        let ([mut tx], [mut rx, mut other]) = (producers(&channel), consumers(&channel));
        assert!(try_send(&mut tx, 1, TWO) && try_send(&mut tx, 2, ONE));
        let looker = thread::spawn(move || {
            if rx.peek().is_some() {
                rx.hand_back();
            }
            rx
        });
        let mut seen = Vec::from_iter(try_receive(&mut other));
        seen.extend(try_receive(&mut other));
        let accepted = try_send(&mut tx, 3, TWO);
        drop(tx);
        drop(looker.join().unwrap());
        seen.extend(drain(&mut other));
        assert_eq!(sorted(seen), [(1, TWO), (2, ONE), (3, TWO)][..2 + usize::from(accepted)]);
    });
}

// Waiting for room.

fn sending(mut tx: FrameProducer, id: u8, len: usize) -> JoinHandle<FrameProducer> {
    thread::spawn(move || {
        send(&mut tx, id, len).unwrap();
        tx
    })
}

#[test]
fn parked_producer_hears_that_two_slots_are_free() {
    for mode in [Mode::Spmc, Mode::Mpmc] {
        check(3, move || {
            let channel = channel(mode, 2, 1);
            let ([mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
            assert!(try_send(&mut tx, 1, ONE) && try_send(&mut tx, 2, ONE));
            let sender = sending(tx, 3, TWO);
            assert_eq!((try_receive(&mut rx), try_receive(&mut rx)), (Some((1, ONE)), Some((2, ONE))));
            let _tx = sender.join().unwrap();
            assert_eq!(try_receive(&mut rx), Some((3, TWO)));
        });
    }
}

/// Both wait, in whatever order, and have their turns one after the other.
#[test]
fn those_that_wait_for_different_room_have_their_turns() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx, one, two], [mut rx]) = (producers(&channel), consumers(&channel));
        assert!(try_send(&mut tx, 1, TWO));
        let (one, two) = (sending(one, 3, ONE), sending(two, 4, TWO));
        assert_eq!(try_receive(&mut rx), Some((1, TWO)));
        let seen = sorted((0..2).map(|_| receive(&mut rx).unwrap()).collect());
        assert_eq!(seen, [(3, ONE), (4, TWO)]);
        let _kept = (one.join().unwrap(), two.join().unwrap());
    });
}

/// Room for both becomes free at once, and one wake-up is for the first.
#[test]
fn turn_is_passed_on_while_there_is_room() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx, one, two], [mut rx]) = (producers(&channel), consumers(&channel));
        assert!(try_send(&mut tx, 1, TWO));
        let senders = [sending(one, 3, ONE), sending(two, 4, ONE)];
        assert_eq!(try_receive(&mut rx), Some((1, TWO)));
        // Nothing else wakes them: this thread only waits for them.
        let _kept = senders.map(|sender| sender.join().unwrap());
        assert_eq!(channel.len(), 2);
    });
}

#[test]
fn deadline_that_passes_takes_no_turn_from_others() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx, mut one, two], [mut rx]) = (producers(&channel), consumers(&channel));
        assert!(try_send(&mut tx, 1, TWO));
        let two = sending(two, 4, TWO);
        let hasty = thread::spawn(move || {
            let has_sent = one.wait_for_room(ONE, passing()).is_ok() && try_send(&mut one, 3, ONE);
            (has_sent, one)
        });
        assert_eq!(try_receive(&mut rx), Some((1, TWO)));
        let (has_sent, _one) = hasty.join().unwrap();
        let mut expected = vec![(4, TWO)];
        expected.extend(has_sent.then_some((3, ONE)));
        let seen = expected.iter().map(|_| receive(&mut rx).unwrap()).collect();
        assert_eq!(sorted(seen), sorted(expected));
        let _two = two.join().unwrap();
    });
}

#[test]
fn room_given_up_wakes_a_parked_producer() {
    for commits in [true, false] {
        check(3, move || {
            let channel = mpmc(2);
            let ([mut tx, other], [mut rx]) = (producers(&channel), consumers(&channel));
            assert!(tx.reserve(TWO));
            let sender = sending(other, 2, if commits { ONE } else { TWO });
            if commits {
                tx.commit(Frame { len: 0, kind: 1 }).unwrap();
            } else {
                tx.abort();
            }
            let _other = sender.join().unwrap();
            assert_eq!(channel.len(), 1 + usize::from(commits));
            assert!(try_receive(&mut rx).is_some());
        });
    }
}

/// The slots that a consumer passes are room for a producer that waits.
#[test]
fn passing_room_given_up_wakes_a_parked_producer() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut first, mut second, tx], [mut rx]) = (producers(&channel), consumers(&channel));
        assert!(first.reserve(ONE) && second.reserve(ONE));
        first.abort();
        let sender = sending(tx, 3, ONE);
        assert_eq!(try_receive(&mut rx), None);
        let _tx = sender.join().unwrap();
        second.commit(Frame { len: 0, kind: 2 }).unwrap();
        assert_eq!((try_receive(&mut rx), try_receive(&mut rx)), (Some((2, 0)), Some((3, ONE))));
    });
}

#[test]
fn deadline_that_passes_takes_nobodys_wake_up() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx, mut hasty, patient], [mut rx]) = (producers(&channel), consumers(&channel));
        assert!(try_send(&mut tx, 1, TWO));
        let waiter = sending(patient, 2, ONE);
        let leaver = thread::spawn(move || {
            let has_sent = hasty.wait_for_room(TWO, passing()).is_ok() && try_send(&mut hasty, 3, ONE);
            (has_sent, hasty)
        });
        assert_eq!(receive(&mut rx), Ok((1, TWO)));
        let _patient = waiter.join().unwrap();
        let (has_sent, _hasty) = leaver.join().unwrap();
        assert_eq!(channel.len(), 1 + usize::from(has_sent));
    });
}

#[test]
fn both_sides_of_a_full_ring_park_in_turn() {
    check(1, || {
        let channel = mpmc(2);
        let ([mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
        let sender = thread::spawn(move || {
            (1..=3).for_each(|id| send(&mut tx, id, TWO).unwrap());
            tx
        });
        (1..=3).for_each(|id| assert_eq!(receive(&mut rx), Ok((id, TWO))));
        let _tx = sender.join().unwrap();
    });
}

// The end.

#[test]
fn closing_a_ring_of_frames_wakes_two_parked_producers() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx, one, two], [mut rx]) = (producers(&channel), consumers(&channel));
        assert!(try_send(&mut tx, 1, TWO));
        let senders = [(one, ONE), (two, TWO)].map(|(mut tx, len)| {
            thread::spawn(move || {
                assert_eq!(tx.wait_for_room(len, Deadline::NEVER), Err(SendError::Closed));
                tx
            })
        });
        channel.close();
        let _kept = senders.map(|sender| sender.join().unwrap());
        assert_eq!(drain(&mut rx), [(1, TWO)]);
    });
}

#[test]
fn closing_a_ring_and_sending_frames() {
    for mode in [Mode::Spmc, Mode::Mpmc] {
        check(2, move || {
            let channel = channel(mode, 2, 1);
            let ([mut tx], [mut rx]) = (producers(&channel), consumers(&channel));
            let sender = thread::spawn(move || {
                let sent = [(1, TWO), (2, ONE)].map(|(id, len)| send(&mut tx, id, len).is_ok());
                (sent.into_iter().filter(|went| *went).count(), tx)
            });
            channel.close();
            let seen = drain(&mut rx);
            let (accepted, _tx) = sender.join().unwrap();
            assert_eq!(seen, [(1, TWO), (2, ONE)][..accepted]);
        });
    }
}

#[test]
fn the_last_producer_of_frames_leaves_while_a_consumer_waits() {
    check(2, || {
        let channel = mpmc(2);
        let ([mut tx], [mut rx, mut other]) = (producers(&channel), consumers(&channel));
        let waiting = thread::spawn(move || drain(&mut other));
        let sender = thread::spawn(move || send(&mut tx, 1, TWO).unwrap());
        let mut seen = drain(&mut rx);
        seen.extend(waiting.join().unwrap());
        assert_eq!(seen, [(1, TWO)]);
        sender.join().unwrap();
    });
}
