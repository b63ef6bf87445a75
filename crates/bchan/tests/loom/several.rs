//! One thread that waits for several channels: whichever is ready wakes it, and nobody else waits in vain.

use bchan::{
    Channel, Config, Consumer, Deadline, Mode, Producer, ReceiveSlots, Receiving, SendError, Sending,
    SendingFrames, WaitError, wait_for_any,
};
use loom::thread;

use crate::frames::{ONE, TWO, try_receive, try_send};
use crate::{channel, check, passing, warm};

fn ring(mode: Mode, capacity: usize) -> Channel {
    Channel::new(&Config { mode, item_size: 8, capacity, max_producers: 2, ..Config::default() }).unwrap()
}

/// Receives one message of any of them, the first that has one; tells from which. `None` is an end.
fn receive_any<const N: usize>(rxs: &mut [&mut Consumer; N]) -> Option<(usize, u64)> {
    let mut woken = None;
    loop {
        for (place, rx) in rxs.iter_mut().enumerate() {
            if let Some(item) = rx.try_receive() {
                return Some((place, item));
            }
            if rx.is_ended() {
                return None;
            }
        }
        // What it was woken for last time is passed on now, after the look.
        drop(woken.take());
        woken = Some(wait_for_any(&mut rxs.each_mut().map(|rx| rx.case()), Deadline::NEVER).unwrap());
    }
}

/// Sends one message, and keeps the place, so that nothing else wakes the receiver.
fn sending(mut tx: Producer, item: u64) -> thread::JoinHandle<Producer> {
    thread::spawn(move || {
        tx.send(item).unwrap();
        tx
    })
}

#[test]
fn message_of_either_lane_is_heard() {
    check(5, || {
        let channels = [channel(2, 1), channel(2, 1)];
        let [(quiet, mut first), (tx, mut second)] = channels.each_ref().map(warm);
        let sender = sending(tx, 5);
        assert_eq!(receive_any(&mut [&mut first, &mut second]), Some((1, 5)));
        sender.join().unwrap();
        drop(quiet);
    });
}

#[test]
fn messages_of_two_lanes_are_both_heard() {
    check(3, || {
        let channels = [channel(2, 1), channel(2, 1)];
        let [(one, mut first), (other, mut second)] = channels.each_ref().map(warm);
        let senders = [sending(one, 0), sending(other, 1)];
        let mut rxs = [&mut first, &mut second];
        let mut seen = [receive_any(&mut rxs), receive_any(&mut rxs)];
        seen.sort_unstable();
        assert_eq!(seen, [Some((0, 0)), Some((1, 1))]);
        senders.into_iter().for_each(|sender| drop(sender.join().unwrap()));
    });
}

/// It rests between two messages, also while the bell that the first one rang is still on its way.
#[test]
fn every_message_of_a_lane_is_heard() {
    check(3, || {
        let channels = [channel(4, 1), channel(1, 1)];
        let [mut tx, silent] = channels.each_ref().map(|channel| channel.producer().unwrap());
        let [mut rx, mut idle] = channels.each_ref().map(|channel| channel.consumer().unwrap());
        let sender = thread::spawn(move || {
            (0..3_u64).for_each(|item| tx.send(item).unwrap());
            tx
        });
        for item in 0..3 {
            assert_eq!(receive_any(&mut [&mut idle, &mut rx]), Some((1, item)));
        }
        drop((sender.join().unwrap(), silent));
    });
}

/// The look at the one that is ready must not keep it from the look at the other.
#[test]
fn message_beside_one_that_is_ready_stays_in_sight() {
    check(5, || {
        let channels = [channel(2, 1), channel(2, 1)];
        let [(mut one, mut first), (other, mut second)] = channels.each_ref().map(warm);
        assert_eq!(second.try_receive::<u64>(), None);
        let sender = sending(other, 1);
        one.send(0_u64).unwrap();
        drop(wait_for_any(&mut [first.case(), second.case()], Deadline::NEVER).unwrap());
        assert_eq!(first.try_receive(), Some(0_u64));
        drop(sender.join().unwrap());
        assert_eq!(second.try_receive(), Some(1_u64));
        assert!(second.is_ended());
    });
}

#[test]
fn messages_of_two_rings_are_both_heard() {
    check(4, || {
        let channels = [ring(Mode::Mpmc, 2), ring(Mode::Spmc, 2)];
        let senders = [0, 1].map(|place| sending(channels[place].producer().unwrap(), place as u64));
        let [mut first, mut second] = channels.each_ref().map(|channel| channel.consumer().unwrap());
        let mut rxs = [&mut first, &mut second];
        let mut seen = [receive_any(&mut rxs), receive_any(&mut rxs)];
        seen.sort_unstable();
        assert_eq!(seen, [Some((0, 0)), Some((1, 1))]);
        senders.into_iter().for_each(|sender| drop(sender.join().unwrap()));
    });
}

#[test]
fn space_is_heard_beside_a_message_that_does_not_come() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(4, move || {
            let (full, quiet) = (ring(mode, 1), channel(1, 1));
            let (mut tx, mut rx) = warm(&full);
            let (_silent, mut idle) = warm(&quiet);
            tx.send(0_u64).unwrap();
            let receiver = thread::spawn(move || (rx.try_receive::<u64>(), rx));
            while !tx.try_send(1_u64).unwrap() {
                drop(wait_for_any(&mut [idle.case(), tx.case()], Deadline::NEVER).unwrap());
            }
            assert_eq!(receiver.join().unwrap().0, Some(0));
        });
    }
}

#[test]
fn closing_one_of_several_is_heard() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(5, move || {
            let (closing, quiet) = (ring(mode, 1), channel(1, 1));
            let (_tx, mut rx) = warm(&closing);
            let (_silent, mut idle) = warm(&quiet);
            let closer = thread::spawn(move || closing.close());
            assert_eq!(receive_any(&mut [&mut idle, &mut rx]), None);
            closer.join().unwrap();
        });
    }
}

#[test]
fn closing_a_full_one_of_several_is_heard() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(5, move || {
            let (closing, quiet) = (ring(mode, 1), channel(1, 1));
            let (mut tx, _rx) = warm(&closing);
            let (_silent, mut idle) = warm(&quiet);
            tx.send(0_u64).unwrap();
            let closer = thread::spawn(move || closing.close());
            let refused = loop {
                match tx.try_send(1_u64) {
                    Ok(sent) => assert!(!sent),
                    Err(stop) => break stop,
                }
                drop(wait_for_any(&mut [tx.case(), idle.case()], Deadline::NEVER).unwrap());
            };
            assert_eq!(refused, SendError::Closed);
            closer.join().unwrap();
        });
    }
}

/// The last producer leaves.
#[test]
fn end_of_one_of_several_is_heard() {
    check(5, || {
        let (ending, quiet) = (ring(Mode::Mpmc, 1), channel(1, 1));
        let (tx, mut rx) = (ending.producer().unwrap(), ending.consumer().unwrap());
        let (_silent, mut idle) = warm(&quiet);
        let leaver = thread::spawn(move || drop(tx));
        assert_eq!(receive_any(&mut [&mut idle, &mut rx]), None);
        leaver.join().unwrap();
    });
}

/// Who waits for both may be woken for both, or use up the wake that was for the other.
#[test]
fn one_who_waits_for_two_leaves_a_message_to_one_who_waits_for_one() {
    check(2, || {
        let (shared, own) = (ring(Mode::Mpmc, 1), ring(Mode::Mpmc, 1));
        let (mut to_shared, mut to_own) = (shared.producer().unwrap(), own.producer().unwrap());
        let (mut plain, mut rx) = (shared.consumer().unwrap(), shared.consumer().unwrap());
        let mut other = own.consumer().unwrap();
        let mut again = shared.producer().unwrap();
        let receiver = thread::spawn(move || (plain.receive::<u64>(), plain));
        let selecting = thread::spawn(move || {
            let (place, item) = receive_any(&mut [&mut other, &mut rx]).unwrap();
            if place == 1 {
                again.send(item).unwrap();
            }
            (other, rx, again)
        });
        to_own.send(1_u64).unwrap();
        to_shared.send(2_u64).unwrap();
        let (received, _plain) = receiver.join().unwrap();
        assert_eq!(received, Ok(2));
        drop(selecting.join().unwrap());
    });
}

#[test]
fn two_who_wait_for_the_same_two_get_a_message_each() {
    check(2, || {
        let channels = [ring(Mode::Mpmc, 1), ring(Mode::Mpmc, 1)];
        let [mut one, mut other] = channels.each_ref().map(|channel| channel.producer().unwrap());
        let selecting = [(); 2].map(|()| {
            let [mut first, mut second] = channels.each_ref().map(|channel| channel.consumer().unwrap());
            thread::spawn(move || (receive_any(&mut [&mut first, &mut second]), first, second))
        });
        one.send(0_u64).unwrap();
        other.send(1_u64).unwrap();
        // Their handles are kept until both are through, for a handle that goes wakes others.
        let ended = selecting.map(|thread| thread.join().unwrap());
        let mut seen = ended.each_ref().map(|(seen, ..)| *seen);
        seen.sort_unstable();
        assert_eq!(seen, [Some((0, 0)), Some((1, 1))]);
    });
}

#[test]
fn deadline_that_passes_takes_no_wake_up_from_others() {
    check(3, || {
        let (shared, own) = (ring(Mode::Mpmc, 1), ring(Mode::Mpmc, 1));
        let mut tx = shared.producer().unwrap();
        let (mut plain, mut rx) = (shared.consumer().unwrap(), shared.consumer().unwrap());
        let (_silent, mut other) = (own.producer().unwrap(), own.consumer().unwrap());
        let receiver = thread::spawn(move || (plain.receive::<u64>(), plain));
        let late = thread::spawn(move || {
            let outcome = wait_for_any(&mut [rx.case(), other.case()], passing());
            assert!(matches!(outcome, Ok(_) | Err(WaitError::TimedOut)));
            // It takes nothing, whatever it was told.
            drop(outcome);
            (rx, other)
        });
        tx.send(5_u64).unwrap();
        assert_eq!(receiver.join().unwrap().0, Ok(5));
        drop(late.join().unwrap());
    });
}

#[test]
fn room_for_a_frame_is_heard_beside_a_message_that_does_not_come() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(4, move || {
            let config = Config { mode, capacity: 2, ..Config::default() };
            let (full, quiet) = (Channel::of_frames(&config).unwrap(), channel(1, 1));
            let (mut tx, mut rx) = (full.frame_producer().unwrap(), full.frame_consumer().unwrap());
            let (_silent, mut idle) = warm(&quiet);
            assert!(try_send(&mut tx, 1, ONE) && try_send(&mut tx, 2, ONE));
            let receiver = thread::spawn(move || ([try_receive(&mut rx), try_receive(&mut rx)], rx));
            while !try_send(&mut tx, 3, TWO) {
                drop(wait_for_any(&mut [idle.case(), tx.case(TWO)], Deadline::NEVER).unwrap());
            }
            assert_eq!(receiver.join().unwrap().0, [Some((1, ONE)), Some((2, ONE))]);
        });
    }
}

#[test]
fn frame_is_heard_beside_room_that_does_not_come() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(4, move || {
            let config = Config { mode, capacity: 2, ..Config::default() };
            let (heard, quiet) = (Channel::of_frames(&config).unwrap(), Channel::of_frames(&config).unwrap());
            let (mut tx, mut rx) = (heard.frame_producer().unwrap(), heard.frame_consumer().unwrap());
            let (mut full, _idle) = (quiet.frame_producer().unwrap(), quiet.frame_consumer().unwrap());
            assert!(try_send(&mut full, 1, TWO));
            let sender = thread::spawn(move || {
                assert!(try_send(&mut tx, 2, ONE));
                tx
            });
            let received = loop {
                if let Some(message) = try_receive(&mut rx) {
                    break message;
                }
                drop(wait_for_any(&mut [full.case(ONE), rx.case()], Deadline::NEVER).unwrap());
            };
            assert_eq!(received, (2, ONE));
            drop(sender.join().unwrap());
        });
    }
}

/// Both are woken for the room of one, whichever way they wait.
#[test]
fn room_wakes_who_waits_for_several_and_who_waits_for_it_alone() {
    check(3, || {
        let config = Config { mode: Mode::Mpmc, capacity: 2, max_producers: 2, ..Config::default() };
        let (full, quiet) = (Channel::of_frames(&config).unwrap(), channel(1, 1));
        let (mut one, mut two) = (full.frame_producer().unwrap(), full.frame_producer().unwrap());
        let mut rx = full.frame_consumer().unwrap();
        let (_silent, mut idle) = warm(&quiet);
        assert!(try_send(&mut one, 1, TWO));
        let senders = [
            thread::spawn(move || {
                while !try_send(&mut one, 2, ONE) {
                    drop(wait_for_any(&mut [idle.case(), one.case(ONE)], Deadline::NEVER).unwrap());
                }
                one
            }),
            thread::spawn(move || {
                two.send(&[3; ONE], 3).unwrap();
                two
            }),
        ];
        assert_eq!(try_receive(&mut rx), Some((1, TWO)));
        senders.into_iter().for_each(|sender| drop(sender.join().unwrap()));
    });
}
