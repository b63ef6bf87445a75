//! Processes that die in the midst of frames of one slot and of two; see `death`.

use bchan::{
    Channel, Config, FrameConsumer, FrameProducer, Mode, ReceiveError, ReceivingFrames, SendSlots,
    SendingFrames,
};

use crate::check;
use crate::death::{OTHER, VICTIM, drop_as, kill, live, of};
use crate::frames::{ONE, TWO, checked, sorted, try_receive, try_send};

fn shared(mode: Mode, capacity: usize, max_producers: usize) -> Channel {
    Channel::of_frames(&Config { mode, capacity, max_producers, is_shared: true, ..Config::default() })
        .unwrap()
}

fn producer(channel: &Channel, pid: u32) -> FrameProducer {
    of(pid, || channel.frame_producer().unwrap())
}

fn consumer(channel: &Channel, pid: u32) -> FrameConsumer {
    of(pid, || channel.frame_consumer().unwrap())
}

/// What comes until there is nothing.
fn take_all(rx: &mut FrameConsumer) -> Vec<(u8, usize)> {
    std::iter::from_fn(|| try_receive(rx)).collect()
}

/// Checks that all slots can be used again, in each of two laps, and that what was counted was done.
fn goes_on(channel: &Channel, tx: &mut FrameProducer, rx: &mut FrameConsumer, seen: &[(u8, usize)]) {
    let laps = 2 * channel.capacity() / 2;
    for _ in 0..laps {
        assert!(try_send(tx, 30, TWO), "after {seen:?}");
        assert_eq!(try_receive(rx), Some((30, TWO)), "after {seen:?}");
    }
    is_counted(
        channel,
        seen.len() + laps,
        seen.iter().map(|(_, len)| len.div_ceil(64)).sum::<usize>() + laps * 2,
    );
}

/// Checks the counters of a channel at rest that has carried so many messages in so many slots.
fn is_counted(channel: &Channel, messages: usize, slots: usize) {
    let stats = channel.stats();
    assert_eq!((stats.sent, stats.received, channel.len()), (messages as u64, messages as u64, 0));
    if let Some(claimed) = channel.slots_claimed() {
        assert_eq!(stats.abandoned, claimed - slots as u64);
    }
}

/// Dead in the midst of sending a frame of two slots, beside one that sends another: what is there is whole,
/// and the ring goes on.
fn producer_dies_at(label: &'static str, work: fn(&mut FrameProducer), mode: Mode, preemptions: usize) {
    check(preemptions, move || {
        let channel = shared(mode, 4, 2);
        let (tx, mut rx) = (producer(&channel, VICTIM), consumer(&channel, 1));
        let mut other = (mode == Mode::Mpmc).then(|| producer(&channel, OTHER));
        let victim = kill(VICTIM, label, tx, work);
        let sender = live(move || {
            let sent = other.as_mut().is_some_and(|tx| try_send(tx, 20, TWO));
            (sent, other)
        });
        let _remains = victim.join().unwrap();
        assert!(channel.recover(VICTIM));
        let (sent, other) = sender.join().unwrap();
        let seen = take_all(&mut rx);
        assert_eq!(seen.contains(&(20, TWO)), sent);
        let mut tx = match other {
            Some(tx) => tx,
            None => of(OTHER, || channel.frame_producer().unwrap()),
        };
        of(OTHER, || goes_on(&channel, &mut tx, &mut rx, &seen));
        drop_as(OTHER, tx);
        assert_eq!(rx.receive(&mut Vec::new()), Err(ReceiveError::Ended));
        assert_eq!((channel.active_producers(), channel.stats().deaths), (0, 1));
    });
}

fn send_two(tx: &mut FrameProducer) {
    let _ = tx.try_send(&[10; TWO], 10);
}

/// Reserves two slots, and sends one.
fn send_less(tx: &mut FrameProducer) {
    if tx.reserve(TWO) {
        // SAFETY: there is room.
        unsafe { tx.room().write_bytes(10, ONE) };
        let _ = tx.commit(bchan::Frame { len: ONE, kind: 10 });
    }
}

fn give_up(tx: &mut FrameProducer) {
    if tx.reserve(TWO) {
        tx.abort();
    }
}

#[test]
fn producer_that_dies_before_it_has_a_frame() {
    for label in ["ring.send.tries", "ring.send.claimed", "ring.send.holds"] {
        producer_dies_at(label, send_two, Mode::Mpmc, 2);
    }
}

#[test]
fn producer_that_dies_in_the_midst_of_publishing_a_frame() {
    for label in
        ["frame.publish.counted", "frame.publish.rest", "frame.publish.first", "port.commit.published"]
    {
        producer_dies_at(label, send_two, Mode::Mpmc, 2);
    }
}

#[test]
fn producer_that_dies_while_it_gives_a_frame_up() {
    for label in ["ring.abandon.doubts", "ring.abandon.moved", "ring.abandon.keeps", "ring.abandon.counted"] {
        producer_dies_at(label, give_up, Mode::Mpmc, 2);
        producer_dies_at(label, send_less, Mode::Mpmc, 1);
    }
}

#[test]
fn only_producer_of_frames_that_dies() {
    for label in ["ring.send.claimed", "frame.publish.rest", "frame.publish.first"] {
        producer_dies_at(label, send_two, Mode::Spmc, 3);
    }
    for label in ["lane.frame.counted", "lane.commit.published"] {
        producer_dies_at(label, send_two, Mode::Mpsc, 3);
    }
}

/// Dead in the midst of receiving, beside one that receives: each frame comes whole, and but those that the
/// dead one had claimed come once.
fn consumer_dies_at(label: &'static str, work: fn(&mut [FrameConsumer; 2]), preemptions: usize) {
    check(preemptions, move || {
        let channel = shared(Mode::Mpmc, 4, 1);
        let rxs = [consumer(&channel, VICTIM), consumer(&channel, VICTIM)];
        let mut other = consumer(&channel, OTHER);
        let mut tx = producer(&channel, 1);
        assert!(try_send(&mut tx, 10, TWO) && try_send(&mut tx, 11, TWO));
        let victim = kill(VICTIM, label, rxs, work);
        let receiver = live(move || (Vec::from_iter(try_receive(&mut other)), other));
        let _remains = victim.join().unwrap();
        assert!(channel.recover(VICTIM));
        let (mut seen, mut rx) = receiver.join().unwrap();
        of(OTHER, || {
            seen.extend(take_all(&mut rx));
            assert_eq!(sorted(seen.clone()), [(10, TWO), (11, TWO)]);
            goes_on(&channel, &mut tx, &mut rx, &seen);
        });
        drop_as(1, tx);
        of(OTHER, || assert_eq!(rx.receive(&mut Vec::new()), Err(ReceiveError::Ended)));
        drop_as(OTHER, rx);
    });
}

/// Claims the first, and nothing more: it is never released.
fn look_at_one([rx, _]: &mut [FrameConsumer; 2]) {
    let _ = rx.peek();
}

fn hand_back([rx, _]: &mut [FrameConsumer; 2]) {
    if rx.peek().is_some() {
        rx.hand_back();
    }
}

/// Not the last that was claimed, so that it is to be taken again.
fn hand_back_in_the_midst([rx, second]: &mut [FrameConsumer; 2]) {
    let (_, _) = (rx.peek(), second.peek());
    rx.hand_back();
}

fn take_again(rxs: &mut [FrameConsumer; 2]) {
    hand_back_in_the_midst(rxs);
    let _ = rxs[0].peek();
}

#[test]
fn consumer_that_dies_with_a_frame() {
    for label in ["ring.receive.tries", "ring.receive.claimed", "nowhere"] {
        consumer_dies_at(label, look_at_one, 2);
    }
}

#[test]
fn consumer_that_dies_while_it_hands_a_frame_back() {
    for label in ["ring.hand_back.doubts", "ring.hand_back.moved", "ring.hand_back.back"] {
        consumer_dies_at(label, hand_back, 2);
        consumer_dies_at(label, hand_back_in_the_midst, 2);
    }
}

#[test]
fn consumer_that_dies_while_it_takes_a_frame_again() {
    for label in
        ["ring.take_back.tries", "ring.take_back.claimed", "ring.take_back.cleared", "ring.take_back.holds"]
    {
        consumer_dies_at(label, take_again, 2);
    }
}

/// Received, and dead before it has said so, or in the midst of saying so: it came, or it comes again, and it
/// is counted once.
#[test]
fn consumer_that_dies_while_it_releases_a_frame() {
    for (mode, label) in [
        (Mode::Mpmc, "frame.release.counted"),
        (Mode::Mpmc, "ring.said_one"),
        (Mode::Mpmc, "port.release.released"),
        (Mode::Mpsc, "lane.frame.received"),
        (Mode::Mpsc, "lane.release.released"),
    ] {
        check(2, move || {
            let channel = shared(mode, 4, 1);
            let (mut tx, rx) = (producer(&channel, 1), consumer(&channel, VICTIM));
            assert!(try_send(&mut tx, 10, TWO));
            let victim = kill(VICTIM, label, rx, |rx| {
                let mut buffer = Vec::new();
                let kind = rx.try_receive(&mut buffer).unwrap();
                assert_eq!(checked(kind, &buffer), (10, TWO));
            });
            let sender = live(move || {
                let sent = of(1, || try_send(&mut tx, 11, TWO));
                (sent, tx)
            });
            let _remains = victim.join().unwrap();
            assert!(channel.recover(VICTIM));
            let (sent, tx) = sender.join().unwrap();
            assert!(sent);
            let mut rx = channel.frame_consumer().unwrap();
            let seen = take_all(&mut rx);
            assert!(seen == [(11, TWO)] || seen == [(10, TWO), (11, TWO)], "{seen:?}");
            is_counted(&channel, 2, 4);
            drop_as(1, tx);
        });
    }
}

/// One that clears up dies at any of its steps, and another takes over, while a third receives what was put
/// back.
#[test]
fn one_that_clears_up_after_frames_dies() {
    for label in [
        "recover.marked",
        "recover.counted",
        "recover.hidden",
        "recover.given_up",
        "recover.put_back",
        "recover.receiving",
        "recover.done",
    ] {
        check(1, move || {
            let channel = shared(Mode::Mpmc, 4, 1);
            let (mut tx, rx) = (producer(&channel, VICTIM), consumer(&channel, VICTIM));
            let mut mine = consumer(&channel, 1);
            assert!(try_send(&mut tx, 10, TWO));
            kill(VICTIM, "frame.publish.rest", (tx, rx), |(tx, rx)| {
                let _ = rx.peek();
                let _ = try_send(tx, 11, TWO);
            })
            .join()
            .unwrap();
            let clears_up = kill(OTHER, label, channel.clone(), |channel| assert!(channel.recover(VICTIM)));
            // It has it, and looks at it while the other dies.
            let looks = mine.peek().is_some();
            let _remains = clears_up.join().unwrap();
            assert!(channel.recover(VICTIM) && channel.recover(OTHER));
            if looks {
                assert_eq!(channel.len(), 1);
                let mut second = channel.frame_consumer().unwrap();
                assert_eq!(try_receive(&mut second), None, "it is looked at");
                drop(second);
            }
            assert_eq!(take_all(&mut mine), [(10, TWO)]);
            is_counted(&channel, 1, 2);
            assert_eq!(mine.receive(&mut Vec::new()), Err(ReceiveError::Ended));
        });
    }
}

/// Killed between the end of a round and the system's call for it.
#[test]
fn sleeper_for_room_is_woken_whose_waker_died() {
    check(2, || {
        let channel = shared(Mode::Mpmc, 2, 1);
        let (mut tx, rx) = (producer(&channel, OTHER), consumer(&channel, VICTIM));
        of(OTHER, || assert!(try_send(&mut tx, 10, TWO)));
        let sleeper = live(move || tx.send(&[11; TWO], 11).map(|()| tx));
        let _remains =
            kill(VICTIM, "broadcast.notified", rx, |rx| assert_eq!(try_receive(rx), Some((10, TWO))))
                .join()
                .unwrap();
        assert!(channel.recover(VICTIM));
        let tx = sleeper.join().unwrap().unwrap();
        let mut rx = channel.frame_consumer().unwrap();
        assert_eq!(try_receive(&mut rx), Some((11, TWO)));
        drop_as(OTHER, tx);
    });
}

/// Dead while it has the turn to wait for room, or once it has left that and not used the room: the next has
/// it.
#[test]
fn turn_of_one_that_dies_goes_to_the_next() {
    for label in ["turn.taken", "broadcast.prepared", "broadcast.parks"] {
        check(2, move || {
            let channel = shared(Mode::Mpmc, 2, 2);
            let (tx, mut next) = (producer(&channel, VICTIM), producer(&channel, OTHER));
            let mut rx = consumer(&channel, 1);
            of(OTHER, || assert!(try_send(&mut next, 10, TWO)));
            let _remains = kill(VICTIM, label, tx, |tx| _ = tx.send(&[11; TWO], 11)).join().unwrap();
            let sleeper = live(move || next.send(&[12; TWO], 12).map(|()| next));
            assert!(channel.recover(VICTIM));
            assert_eq!(try_receive(&mut rx), Some((10, TWO)));
            let next = sleeper.join().unwrap().unwrap();
            assert_eq!(try_receive(&mut rx), Some((12, TWO)));
            drop_as(OTHER, next);
        });
    }
}

#[test]
fn turn_that_one_has_left_that_dies_goes_to_the_next() {
    check(2, || {
        let channel = shared(Mode::Mpmc, 2, 2);
        let (tx, mut next) = (producer(&channel, VICTIM), producer(&channel, OTHER));
        let mut rx = consumer(&channel, 1);
        of(OTHER, || assert!(try_send(&mut next, 10, TWO)));
        let victim = kill(VICTIM, "turn.left", tx, |tx| {
            tx.wait_for_room(ONE, bchan::Deadline::NEVER).unwrap();
            _ = tx.send(&[11; ONE], 11);
        });
        let sleeper = live(move || next.send(&[12; ONE], 12).map(|()| next));
        assert_eq!(try_receive(&mut rx), Some((10, TWO)));
        let _remains = victim.join().unwrap();
        assert!(channel.recover(VICTIM));
        let next = sleeper.join().unwrap().unwrap();
        let seen = take_all(&mut rx);
        assert!(seen.contains(&(12, ONE)), "{seen:?}");
        drop_as(OTHER, next);
    });
}
