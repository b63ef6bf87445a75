//! Room written in place, and messages read in place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bchan::{Deadline, Frame, ReceiveError, ReceiveSlots, ReceivingFrames, SendSlots, SendingFrames};

use crate::{Case, content, fill, front, over_every_configuration, receive};

over_every_configuration! {
    only_what_is_committed_is_sent
    room_that_is_not_used_is_given_back
    claims_given_up_leave_nothing
    a_message_looked_at_stays_until_released
    reservation_of_a_dropped_producer_is_given_back
    the_next_reader_goes_on_where_the_last_one_was
    more_than_was_claimed_is_not_sent
    claim_that_is_dropped_sends_nothing_and_takes_nothing
}

const fn plain(len: usize) -> Frame {
    Frame { len, kind: 0 }
}

fn only_what_is_committed_is_sent(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    for round in 0..2 * case.capacity as u64 {
        for part in case.lengths() {
            assert!(tx.reserve(case.capacity * 64));
            let message = content(0, round, case.capacity * 64);
            fill(&mut tx, &message);
            assert!(channel.is_empty() && rx.claim().is_none(), "claimed is not sent");
            tx.commit(plain(part)).unwrap();
            assert_eq!(channel.len(), 1);
            assert_eq!(receive(&mut rx), Some((0, message[..part].to_vec())));
        }
        assert_eq!(tx.try_send(b"", 0), Ok(true));
        assert_eq!(receive(&mut rx), Some((0, Vec::new())));
    }
}

/// The rest of a reservation is room for the next, whether or not another claim follows it.
fn room_that_is_not_used_is_given_back(case: &Case) {
    if case.capacity < 8 {
        return;
    }
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    assert!(tx.reserve(8 * 64));
    fill(&mut tx, b"short");
    tx.commit(plain(5)).unwrap();
    let rest = content(0, 1, (case.capacity - 1) * 64);
    assert_eq!(tx.try_send(&rest, 0), Ok(true), "the rest went back");
    assert_eq!(receive(&mut rx), Some((0, b"short".to_vec())));
    assert_eq!(receive(&mut rx), Some((0, rest)));
    assert_eq!(channel.stats().abandoned, 0);
    if !case.is_mpmc() {
        return;
    }
    let mut other = channel.frame_producer().unwrap();
    for round in 0..40 {
        let abandoned = channel.stats().abandoned;
        assert!(tx.reserve(5 * 64));
        fill(&mut tx, b"first");
        assert_eq!(other.try_send(b"second", 0), Ok(true));
        tx.commit(plain(5)).unwrap();
        assert_eq!(channel.stats().abandoned, abandoned + 4, "in round {round}");
        assert_eq!(receive(&mut rx), Some((0, b"first".to_vec())));
        assert_eq!(receive(&mut rx), Some((0, b"second".to_vec())));
        assert_eq!(receive(&mut rx), None);
        assert!(tx.claim(case.capacity * 64), "all are free again");
        tx.abort();
    }
}

fn claims_given_up_leave_nothing(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    for round in 0..3 * case.capacity as u64 {
        assert!(tx.reserve(case.capacity * 64));
        tx.abort();
        tx.abort();
        let message = content(0, round, (round as usize % case.capacity) * 64 + 1);
        assert_eq!(tx.try_send(&message, 0), Ok(true));
        assert_eq!(receive(&mut rx), Some((0, message)));
    }
    assert_eq!((channel.stats().abandoned, channel.len()), (0, 0));
    if !case.is_mpmc() || case.capacity < 8 {
        return;
    }
    let mut other = channel.frame_producer().unwrap();
    for _ in 0..40 {
        assert!(tx.reserve(3 * 64));
        assert_eq!(other.try_send(b"after it", 0), Ok(true));
        assert_eq!(receive(&mut rx), None, "the reservation comes first");
        tx.abort();
        assert_eq!(receive(&mut rx), Some((0, b"after it".to_vec())));
    }
    assert_eq!(channel.stats().abandoned, 120);
    assert!(channel.is_empty());
}

fn a_message_looked_at_stays_until_released(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    for (sequence, len) in case.lengths().into_iter().enumerate() {
        let message = content(0, sequence as u64, len);
        assert_eq!(tx.try_send(&message, 9), Ok(true));
        for _ in 0..2 {
            assert_eq!(rx.peek(), Some(Frame { len, kind: 9 }));
            assert_eq!(rx.peek(), Some(Frame { len, kind: 9 }));
            assert_eq!(front(&rx, len), message);
            assert_eq!((channel.len(), rx.is_ended()), (1, false));
            rx.hand_back();
        }
        assert_eq!(receive(&mut rx), Some((9, message)));
        assert_eq!(channel.len(), 0);
    }
}

fn reservation_of_a_dropped_producer_is_given_back(case: &Case) {
    let channel = case.channel();
    let mut rx = channel.frame_consumer().unwrap();
    for round in 0..5 {
        let mut tx = channel.frame_producer().unwrap();
        assert!(tx.reserve(case.capacity * 64));
        drop(tx);
        let mut tx = channel.frame_producer().unwrap();
        let message = content(0, round, case.capacity * 64);
        assert_eq!(tx.try_send(&message, 0), Ok(true));
        assert_eq!(receive(&mut rx), Some((0, message)));
    }
}

fn the_next_reader_goes_on_where_the_last_one_was(case: &Case) {
    let channel = case.channel();
    let mut tx = channel.frame_producer().unwrap();
    for round in 0..2 * case.capacity as u64 {
        let message = content(0, round, 70.min(case.capacity * 64));
        assert_eq!(tx.try_send(&message, 5), Ok(true));
        for progress in [0, 1, 254] {
            let mut rx = channel.frame_consumer().unwrap();
            assert_eq!(rx.peek(), Some(Frame { len: message.len(), kind: 5 }));
            rx.say_progress(progress);
            assert_eq!(rx.progress(), progress);
            if progress == 1 {
                rx.hand_back();
                assert!(rx.peek().is_some());
                assert_eq!(rx.progress(), 1);
            }
        }
        let mut rx = channel.frame_consumer().unwrap();
        assert!(rx.peek().is_some());
        assert_eq!(rx.progress(), 254);
        rx.hand_back();
        assert_eq!(receive(&mut rx), Some((5, message)));
    }
}

fn is_refused(work: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// Also where the ring has room for it, which held other messages before.
fn more_than_was_claimed_is_not_sent(case: &Case) {
    if case.capacity < 2 {
        return;
    }
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    tx.try_send(&content(0, 0, case.capacity * 64), 0).unwrap();
    receive(&mut rx).unwrap();
    assert!(is_refused(|| _ = tx.commit(plain(0))), "nothing was claimed");
    assert!(tx.reserve(1));
    assert!(is_refused(|| _ = tx.commit(plain(65))));
    tx.abort();
    let room = tx.try_claim(10).unwrap();
    assert!(is_refused(|| _ = room.commit(11, 0)));
    assert!(rx.try_claim().is_none());
    tx.try_claim(10).unwrap().commit(0, 3).unwrap();
    assert!(is_refused(|| _ = tx.commit(plain(0))));
    assert_eq!(receive(&mut rx), Some((3, Vec::new())));
    assert!(is_refused(|| rx.release()), "nothing is claimed");
    assert_eq!((channel.stats().sent, channel.stats().received), (2, 2));
}

fn claim_that_is_dropped_sends_nothing_and_takes_nothing(case: &Case) {
    let channel = case.channel();
    let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
    for len in case.lengths() {
        drop(tx.try_claim(case.capacity * 64).unwrap());
        assert!(channel.is_empty() && rx.try_claim().is_none());
        let message = content(0, len as u64, len);
        let mut room = tx.try_claim(case.capacity * 64).unwrap();
        room.as_mut_slice()[..len].copy_from_slice(&message);
        room.commit(len, 9).unwrap();
        drop(rx.try_claim().unwrap());
        assert_eq!(channel.len(), 1);
        let claimed = rx.try_claim().unwrap();
        assert_eq!((claimed.kind(), claimed.as_slice()), (9, &message[..]));
        claimed.release();
    }
    drop(tx);
    assert_eq!(rx.wait_for_message(Deadline::NEVER), Err(ReceiveError::Ended), "the end is said in one way");
}
