//! Processes that die at a labelled place while others go on, and are recovered meanwhile.
//!
//! A process is a thread here, in memory that counts as shared; it dies by unwinding, and leaves its handles
//! as they are. Its death is known when its thread has ended. What the kernel has to do with it (who is told
//! of a death) is not in the model: the model says who recovers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bchan::process::{Killed, be, die_at, died};
use bchan::{
    Channel, Config, Consumer, HandleError, Mode, Producer, ReceiveError, Receiving, SendError, SendSlots,
    Sending,
};
use loom::thread;
use loom::thread::JoinHandle;

use crate::{check, drain};

/// The one who dies.
pub(crate) const VICTIM: u32 = 2;
/// Another, who lives.
pub(crate) const OTHER: u32 = 3;

fn shared(mode: Mode, capacity: usize, max_producers: usize) -> Channel {
    Channel::new(&config(mode, capacity, max_producers)).unwrap()
}

fn config(mode: Mode, capacity: usize, max_producers: usize) -> Config {
    Config { mode, item_size: 8, capacity, max_producers, is_shared: true, ..Config::default() }
}

/// Makes a handle of the process `pid`.
pub(crate) fn of<T>(pid: u32, make: impl FnOnce() -> T) -> T {
    be(pid);
    let made = make();
    be(1);
    made
}

fn producer(channel: &Channel, pid: u32) -> Producer {
    of(pid, || channel.producer().unwrap())
}

fn consumer(channel: &Channel, pid: u32) -> Consumer {
    of(pid, || channel.consumer().unwrap())
}

/// Does work in a process that dies at `label`, or when it is through. Its handles remain, to be dropped when
/// nobody looks at the channel any more: the model checker wants all memory back.
pub(crate) fn kill<T: 'static>(
    pid: u32,
    label: &'static str,
    mut handles: T,
    work: impl FnOnce(&mut T) + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || {
        be(pid);
        die_at(label, 0);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&mut handles))) {
            assert!(panic.is::<Killed>(), "it panicked");
        }
        died(pid);
        handles
    })
}

/// Lives in a process of its own.
pub(crate) fn live<T: 'static>(work: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    thread::spawn(move || {
        be(OTHER);
        work()
    })
}

pub(crate) fn drop_as(pid: u32, handle: impl Sized) {
    of(pid, || drop(handle));
}

/// Sends one message, and waits for nothing.
fn try_one(tx: &mut Producer, item: u64) -> Vec<u64> {
    if tx.try_send(item) == Ok(true) { vec![item] } else { vec![] }
}

/// What comes until there is nothing.
fn take_all(rx: &mut Consumer) -> Vec<u64> {
    std::iter::from_fn(|| rx.try_receive()).collect()
}

/// Dead in the midst of sending, beside one who sends: what is there arrives, and the ring goes on.
fn producer_dies_at(label: &'static str, work: fn(&mut Producer), mode: Mode, preemptions: usize) {
    check(preemptions, move || {
        let channel = shared(mode, 2, 2);
        let (tx, mut rx) = (producer(&channel, VICTIM), consumer(&channel, 1));
        let mut other = (mode == Mode::Mpmc).then(|| producer(&channel, OTHER));
        let victim = kill(VICTIM, label, tx, work);
        let sender = live(move || {
            let sent = other.as_mut().map(|tx| try_one(tx, 200)).unwrap_or_default();
            (sent, other)
        });
        let _remains = victim.join().unwrap();
        assert!(channel.recover(VICTIM));
        let (sent, other) = sender.join().unwrap();
        let mut seen = take_all(&mut rx);
        // Each slot can be used again, twice.
        if let Some(mut tx) = other {
            be(OTHER);
            for item in 300..304_u64 {
                assert_eq!(tx.try_send(item), Ok(true), "after {seen:?}");
                assert_eq!(rx.try_receive(), Some(item));
            }
            drop(tx);
            be(1);
        }
        seen.retain(|item| item / 100 != 1);
        assert_eq!(seen, sent);
        assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
        assert_eq!((channel.active_producers(), channel.stats().deaths), (0, 1));
        assert_eq!(channel.len(), 0);
    });
}

fn send_two(tx: &mut Producer) {
    let _ = tx.try_send_all(&[100_u64, 101]);
}

fn give_up(tx: &mut Producer) {
    if tx.reserve(1) > 0 {
        let _ = tx.commit(0);
    }
}

#[test]
fn producer_that_dies_before_it_claims() {
    producer_dies_at("ring.send.tries", send_two, Mode::Mpmc, 2);
}

#[test]
fn producer_that_dies_after_it_claimed() {
    producer_dies_at("ring.send.claimed", send_two, Mode::Mpmc, 2);
    producer_dies_at("ring.send.holds", send_two, Mode::Mpmc, 2);
}

#[test]
fn producer_that_dies_in_the_midst_of_publishing() {
    producer_dies_at("ring.said_one", send_two, Mode::Mpmc, 2);
    producer_dies_at("port.commit.published", send_two, Mode::Mpmc, 2);
}

#[test]
fn producer_that_dies_while_it_gives_up() {
    producer_dies_at("ring.abandon.doubts", give_up, Mode::Mpmc, 2);
    producer_dies_at("ring.abandon.moved", give_up, Mode::Mpmc, 2);
    producer_dies_at("ring.abandon.skipped", give_up, Mode::Mpmc, 2);
}

#[test]
fn only_producer_that_dies() {
    producer_dies_at("ring.send.claimed", send_two, Mode::Spmc, 3);
    producer_dies_at("ring.abandon.moved", give_up, Mode::Spmc, 3);
    producer_dies_at("lane.commit.published", send_two, Mode::Mpsc, 3);
}

/// What it gave back another claims and keeps: that is not the dead one's.
#[test]
fn slot_given_back_by_the_dead_is_kept_by_who_claimed_it() {
    check(3, || {
        let channel = shared(Mode::Mpmc, 2, 2);
        let (tx, mut rx) = (producer(&channel, VICTIM), consumer(&channel, 1));
        let mut other = producer(&channel, OTHER);
        let victim = kill(VICTIM, "ring.abandon.moved", tx, give_up);
        let holder = live(move || {
            let n = other.reserve(1);
            (n, other)
        });
        let _remains = victim.join().unwrap();
        assert!(channel.recover(VICTIM));
        assert_eq!(rx.try_receive::<u64>(), None, "and nothing is passed");
        let (n, mut other) = holder.join().unwrap();
        be(OTHER);
        assert_eq!(n, 1);
        // SAFETY: the slot is ours.
        unsafe { other.slots(1).cast::<u64>().write(200) };
        other.commit(1).unwrap();
        drop(other);
        be(1);
        assert_eq!(drain(&mut rx), [200]);
    });
}

/// While the recovery lock looks who has a slot that the dead one had tried, it passes from one at whom he
/// has yet to look to one at whom he has.
#[test]
fn slot_that_changes_hands_during_the_burial() {
    check(3, || {
        let channel = shared(Mode::Mpmc, 2, 3);
        let (mut claimer, mut giver) = (producer(&channel, OTHER), producer(&channel, 1));
        let (tx, mut rx) = (producer(&channel, VICTIM), consumer(&channel, 1));
        let _remains = kill(VICTIM, "ring.send.tries", tx, send_two).join().unwrap();
        assert_eq!(giver.reserve(1), 1);
        let giver = thread::spawn(move || {
            giver.commit(0).unwrap();
            giver
        });
        let claimer = live(move || {
            let n = claimer.reserve(1);
            (n, claimer)
        });
        assert!(channel.recover(VICTIM));
        let _giver = giver.join().unwrap();
        let (n, mut claimer) = claimer.join().unwrap();
        assert_eq!(n, 1);
        // What the giver gave up is passed; what the claimer has is not.
        assert_eq!(rx.try_receive::<u64>(), None);
        be(OTHER);
        // SAFETY: the slot is ours.
        unsafe { claimer.slots(1).cast::<u64>().write(200) };
        claimer.commit(1).unwrap();
        assert_eq!(rx.try_receive(), Some(200_u64));
        drop(claimer);
        be(1);
    });
}

/// Dead in the midst of receiving, beside one who receives: each message comes, and but those that the dead
/// one had claimed come once.
fn consumer_dies_at(label: &'static str, work: fn(&mut [Consumer; 2]), preemptions: usize) {
    check(preemptions, move || {
        let channel = shared(Mode::Mpmc, 2, 1);
        let rxs = [consumer(&channel, VICTIM), consumer(&channel, VICTIM)];
        let mut other = consumer(&channel, OTHER);
        let mut tx = producer(&channel, 1);
        tx.try_send_all(&[100_u64, 101]).unwrap();
        let victim = kill(VICTIM, label, rxs, work);
        let receiver = live(move || (Vec::from_iter(other.try_receive::<u64>()), other));
        let _remains = victim.join().unwrap();
        assert!(channel.recover(VICTIM));
        let (mut seen, mut rx) = receiver.join().unwrap();
        be(OTHER);
        seen.extend(take_all(&mut rx));
        for item in 300..304_u64 {
            assert_eq!(tx.try_send(item), Ok(true), "after {seen:?}");
            assert_eq!(rx.try_receive(), Some(item), "after {seen:?}");
        }
        seen.sort_unstable();
        assert_eq!(seen, [100, 101]);
        drop_as(1, tx);
        be(OTHER);
        assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
        drop(rx);
        be(1);
    });
}

/// Claims the first, and nothing more: it is never released.
fn look_at_one([rx, _]: &mut [Consumer; 2]) {
    let _ = rx.peek(1);
}

fn hand_back([rx, _]: &mut [Consumer; 2]) {
    if rx.peek(1) > 0 {
        rx.release(0);
    }
}

/// Not the last that was claimed, so that it is to be taken again.
fn hand_back_in_the_midst([rx, second]: &mut [Consumer; 2]) {
    let (_, _) = (rx.peek(1), second.peek(1));
    rx.release(0);
}

fn take_again(rxs: &mut [Consumer; 2]) {
    hand_back_in_the_midst(rxs);
    let _ = rxs[0].peek(2);
}

#[test]
fn consumer_that_dies_with_a_claim() {
    consumer_dies_at("ring.receive.tries", look_at_one, 2);
    consumer_dies_at("ring.receive.claimed", look_at_one, 2);
    consumer_dies_at("nowhere", look_at_one, 2);
}

#[test]
fn consumer_that_dies_while_it_hands_back() {
    consumer_dies_at("ring.hand_back.doubts", hand_back, 2);
    consumer_dies_at("ring.hand_back.moved", hand_back, 2);
    consumer_dies_at("ring.hand_back.back", hand_back, 2);
}

#[test]
fn consumer_that_dies_while_it_hands_back_in_the_midst() {
    consumer_dies_at("ring.hand_back.doubts", hand_back_in_the_midst, 2);
    consumer_dies_at("ring.hand_back.moved", hand_back_in_the_midst, 2);
    consumer_dies_at("ring.hand_back.back", hand_back_in_the_midst, 2);
}

#[test]
fn consumer_that_dies_while_it_takes_again() {
    consumer_dies_at("ring.take_back.tries", take_again, 2);
    consumer_dies_at("ring.take_back.claimed", take_again, 2);
    consumer_dies_at("ring.take_back.cleared", take_again, 2);
    consumer_dies_at("ring.take_back.holds", take_again, 2);
}

/// Two that were handed back are taken again, one after the other: what it has is written down at each
/// moment.
#[test]
fn consumer_that_dies_while_its_claim_grows() {
    for label in ["claim_words.between", "ring.take_back.tries", "ring.take_back.claimed"] {
        for passed in 0..6 {
            check(1, move || {
                let channel = shared(Mode::Mpmc, 4, 1);
                let rxs = [consumer(&channel, VICTIM), consumer(&channel, VICTIM)];
                let (mut tx, mut rx) = (producer(&channel, 1), consumer(&channel, 1));
                tx.try_send_all(&[100_u64, 101, 102]).unwrap();
                let work = move |[first, second]: &mut [Consumer; 2]| {
                    die_at(label, passed);
                    assert_eq!((first.peek(2), second.peek(1)), (2, 1));
                    first.release(0);
                    let _ = first.peek(2);
                };
                let _remains = kill(VICTIM, "nowhere", rxs, work).join().unwrap();
                assert!(channel.recover(VICTIM));
                drop(tx);
                let mut seen = drain(&mut rx);
                seen.sort_unstable();
                assert_eq!(seen, [100, 101, 102]);
            });
        }
    }
}

/// Whoever is recovered first leaves what both tried to the other.
#[test]
fn two_dead_who_tried_the_same() {
    for label in ["ring.send.tries", "ring.send.claimed"] {
        check(3, move || {
            let channel = shared(Mode::Mpmc, 2, 3);
            let mut rx = consumer(&channel, 1);
            let victims = [VICTIM, OTHER].map(|pid| {
                kill(pid, label, producer(&channel, pid), |tx| assert_eq!(tx.try_send(101_u64), Ok(true)))
            });
            let _remains = victims.map(|victim| victim.join().unwrap());
            assert!(channel.recover(VICTIM) && channel.recover(OTHER));
            let mut tx = channel.producer().unwrap();
            assert_eq!(rx.try_receive::<u64>(), None);
            for item in 300..304_u64 {
                assert_eq!(tx.try_send(item), Ok(true));
                assert_eq!(rx.try_receive(), Some(item));
            }
            drop(tx);
            assert_eq!(drain(&mut rx), []);
            assert_eq!(channel.stats().deaths, 2);
        });
    }
}

#[test]
fn two_recover_the_same() {
    check(2, || {
        let channel = shared(Mode::Mpmc, 2, 1);
        let (tx, mut rx) = (producer(&channel, VICTIM), consumer(&channel, 1));
        let _remains = kill(VICTIM, "ring.send.claimed", tx, send_two).join().unwrap();
        let also = channel.clone();
        let recovery_lock = live(move || assert!(also.recover(VICTIM)));
        assert!(channel.recover(VICTIM));
        recovery_lock.join().unwrap();
        assert_eq!(drain(&mut rx), []);
        assert_eq!(channel.stats().deaths, 1);
    });
}

/// The recovery lock dies at any of its steps, and another takes over.
#[test]
fn recovery_lock_whose_holder_dies() {
    for label in ["recover.marked", "recover.sending", "recover.receiving", "recover.done", "recover.closed"]
    {
        check(1, move || {
            let channel = shared(Mode::Mpmc, 2, 1);
            let (mut tx, rx) = (producer(&channel, VICTIM), consumer(&channel, VICTIM));
            tx.try_send(100_u64).unwrap();
            kill(VICTIM, "nowhere", (tx, rx), |(tx, rx)| {
                let _ = tx.reserve(1);
                let _ = rx.peek(1);
            })
            .join()
            .unwrap();
            let _remains = kill(OTHER, label, channel.clone(), |channel| assert!(channel.recover(VICTIM)))
                .join()
                .unwrap();
            assert!(channel.recover(VICTIM) && channel.recover(OTHER));
            let mut rx = channel.consumer().unwrap();
            assert_eq!(drain(&mut rx), [100]);
        });
    }
}

/// Its registry slot is taken over, or it goes with the dead, but not both.
#[test]
fn handle_on_its_way_when_its_sender_dies() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(4, move || {
            let channel = shared(mode, 2, 1);
            let mut rx = consumer(&channel, 1);
            let token = of(VICTIM, || channel.producer().unwrap().token().unwrap());
            died(VICTIM);
            let theirs = channel.clone();
            let heir = live(move || match theirs.tx_of(token) {
                Ok(mut tx) => try_one(&mut tx, 200),
                Err(error) => {
                    assert_eq!(error, HandleError::TakenBack);
                    vec![]
                }
            });
            assert!(channel.recover(VICTIM));
            let sent = heir.join().unwrap();
            assert_eq!(drain(&mut rx), sent);
            assert_eq!(channel.active_producers(), 0);
            // The place is free for the next one, once.
            let late = channel.tx_of::<bchan::Items>(token).unwrap_err();
            assert!(matches!(late, HandleError::Elsewhere { .. } | HandleError::TakenBack), "{late:?}");
        });
    }
}

/// It has the registry slot, or its maker has closed it, but not both; and the next handle there is nobody
/// else's.
#[test]
fn handle_that_its_maker_closes_while_another_takes_it_over() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(3, move || {
            let channel = shared(mode, 2, 1);
            let mut rx = consumer(&channel, 1);
            let mut tx = producer(&channel, 1);
            let token = tx.token().unwrap();
            let theirs = channel.clone();
            let heir = live(move || match theirs.tx_of(token) {
                Ok(mut tx) => (try_one(&mut tx, 200), None),
                Err(error) => (vec![], Some(error)),
            });
            tx.close();
            let next = channel.producer();
            let (mut sent, refused) = heir.join().unwrap();
            if let Ok(mut next) = next {
                sent.extend(try_one(&mut next, 300));
            }
            assert!(refused.is_none() || refused == Some(HandleError::TakenBack), "{refused:?}");
            assert_eq!(drain(&mut rx), sent);
            assert_eq!(channel.active_producers(), 0);
        });
    }
}

/// Its maker dies in the midst of closing a handle that another wants to take over.
#[test]
fn maker_that_dies_as_it_closes_a_handle() {
    for label in ["handover.taken", "leave.unregistered", "leave.left"] {
        check(3, move || {
            let channel = shared(Mode::Mpsc, 2, 1);
            let mut rx = consumer(&channel, 1);
            let mut tx = producer(&channel, VICTIM);
            let token = of(VICTIM, || tx.token().unwrap());
            let close = |tx: &mut Option<Producer>| tx.take().unwrap().close();
            let victim = kill(VICTIM, label, Some(tx), close);
            let theirs = channel.clone();
            let heir = live(move || match theirs.tx_of(token) {
                Ok(mut tx) => try_one(&mut tx, 200),
                Err(error) => {
                    let is_late = matches!(error, HandleError::Elsewhere { .. } | HandleError::TakenBack);
                    assert!(is_late, "{error:?}");
                    vec![]
                }
            });
            let _remains = victim.join().unwrap();
            assert!(channel.recover(VICTIM));
            let sent = heir.join().unwrap();
            assert_eq!(drain(&mut rx), sent);
            assert_eq!(channel.active_producers(), 0);
        });
    }
}

/// Killed between the wake-up that it gave and the system's call for it.
#[test]
fn sleeper_is_woken_whose_waker_died() {
    for mode in [Mode::Mpsc, Mode::Mpmc] {
        check(2, move || {
            let channel = shared(mode, 2, 1);
            let (tx, mut rx) = (producer(&channel, VICTIM), consumer(&channel, OTHER));
            let sleeper = live(move || rx.receive::<u64>());
            let _remains =
                kill(VICTIM, "event.notified", tx, |tx| assert_eq!(tx.try_send(100_u64), Ok(true)))
                    .join()
                    .unwrap();
            assert!(channel.recover(VICTIM));
            assert_eq!(sleeper.join().unwrap(), Ok(100));
        });
    }
}

#[test]
fn last_consumer_that_dies_as_it_leaves() {
    for (mode, label) in [
        (Mode::Mpsc, "leave.leaving"),
        (Mode::Mpsc, "close.lane"),
        (Mode::Mpmc, "leave.leaving"),
        (Mode::Mpmc, "close.sealed"),
    ] {
        check(1, move || {
            let channel = Channel::new(&Config { stays_open: false, ..config(mode, 1, 1) }).unwrap();
            let (mut tx, rx) = (producer(&channel, OTHER), consumer(&channel, VICTIM));
            of(OTHER, || tx.send(0_u64)).unwrap();
            let sleeper = live(move || tx.send(1_u64));
            let _remains = kill(VICTIM, label, Some(rx), |rx| drop(rx.take())).join().unwrap();
            assert!(channel.recover(VICTIM));
            assert_eq!(sleeper.join().unwrap(), Err(SendError::Deserted));
            assert!(channel.is_deserted());
        });
    }
}

#[test]
fn close_is_finished_whose_caller_died() {
    for (mode, label) in [
        (Mode::Mpsc, "close.lane"),
        (Mode::Mpsc, "close.said"),
        (Mode::Mpmc, "close.sealed"),
        (Mode::Mpmc, "close.said"),
    ] {
        check(1, move || {
            let channel = shared(mode, 2, 1);
            let (_tx, mut rx) = (producer(&channel, 1), consumer(&channel, OTHER));
            let sleeper = live(move || rx.receive::<u64>());
            let _remains = kill(VICTIM, label, channel.clone(), |channel| channel.close()).join().unwrap();
            assert!(channel.recover(VICTIM));
            assert_eq!(sleeper.join().unwrap(), Err(ReceiveError::Ended));
            assert!(channel.is_closed());
        });
    }
}
