//! Messages: what a channel does differently for [`Items`], each in a slot, and [`Frames`], of any length.
//! All else is the same for both, in a lane and in a ring.

#![allow(
    private_interfaces,
    reason = "outside of this crate nobody can name the rules, nor what they are about"
)]

use std::fmt::Debug;

use crate::layout::EventWords;
use crate::process::kill_point;
use crate::ring::claim_log::ClaimLog;
use crate::ring::frames::{Frame, Lengths, slots_for};
use crate::ring::lane::{Reader, Writer};
use crate::ring::vyukov::{Claim, NoSlot, Ring};
use crate::wait::Broadcast;

/// What the messages of a channel are: [`Items`] or [`Frames`].
pub trait Message: Rules {}

/// Items of one size, each in a slot.
#[derive(Debug, Clone, Copy)]
pub struct Items;

/// Messages of any length, each in as many slots as it needs.
#[derive(Debug, Clone, Copy)]
pub struct Frames;

impl Message for Items {}
impl Message for Frames {}

/// How messages go through slots.
pub trait Rules: Debug + Sized + 'static {
    /// Whether a channel of them is one of frames.
    const IS_FRAMED: bool;
    /// What a sender commits: so many items, or a frame.
    type Sent: Copy;
    /// What a receiver has claimed: so many items, or a frame, if there was one.
    type Claimed: Copy;
    /// What a receiver keeps of it, beside its slots.
    type Open: Copy + Debug + Default + Send;

    /// How many slots so many items need, or a frame of so many bytes.
    fn slots_for(size: usize) -> usize;
    /// How many slots are to be sent.
    fn slots(sent: Self::Sent) -> usize;
    /// What a receiver has of `slots` that it claimed.
    fn claimed(slots: usize, open: Self::Open) -> Self::Claimed;
    /// Whether a message is claimed that is to be claimed again before another.
    fn is_open(open: Self::Open) -> bool;

    /// How many slots of a lane its writer can claim, of the `free` ones, that wants so many.
    fn claimable(writer: &Writer, wanted: usize, free: usize) -> usize;
    /// To be called before slots of a lane are published, and told afterwards whether they were.
    fn begin_to_send(writer: &Writer, sent: Self::Sent);
    fn end_to_send(writer: &Writer, is_sent: bool);
    /// What there is at the head of a lane that has a message: claims the rest of it.
    fn open(reader: &mut Reader) -> Self::Open;
    /// To be called before `slots` of a lane are released, and afterwards.
    fn begin_to_release(reader: &Reader, slots: usize);
    fn end_to_release(reader: &Reader, slots: usize);

    /// Whether anyone may wait for space in a ring. After a `Barrier::light`, "no" can be relied on.
    fn is_awaited(space: &EventWords) -> bool;
    /// Claims slots of a ring, as many as there are in one piece, or just so many.
    fn claim_to_send(ring: &Ring, wanted: usize, claim_log: ClaimLog) -> Result<Claim, NoSlot>;
    fn publish(ring: &Ring, claim: Claim, sent: Self::Sent, claim_log: ClaimLog);
    /// Claims messages of a ring. Calls `passed` when it has passed slots that their producers gave up.
    fn claim_to_receive(
        ring: &Ring,
        wanted: usize,
        claim_log: ClaimLog,
        passed: impl Fn(),
    ) -> Option<(Claim, Self::Open)>;
    fn release(ring: &Ring, claim: Claim, claim_log: ClaimLog);
    fn hand_back(ring: &Ring, claim: Claim, claim_log: ClaimLog);
}

impl Rules for Items {
    const IS_FRAMED: bool = false;
    type Sent = usize;
    type Claimed = usize;
    type Open = ();

    #[inline(always)]
    fn slots_for(size: usize) -> usize {
        size
    }

    #[inline(always)]
    fn slots(sent: usize) -> usize {
        sent
    }

    #[inline(always)]
    fn claimed(slots: usize, (): ()) -> usize {
        slots
    }

    #[inline(always)]
    fn is_open((): ()) -> bool {
        false
    }

    #[inline(always)]
    fn claimable(writer: &Writer, _wanted: usize, free: usize) -> usize {
        writer.contiguous(free)
    }

    #[inline(always)]
    fn begin_to_send(_writer: &Writer, _sent: usize) {}

    #[inline(always)]
    fn end_to_send(_writer: &Writer, _is_sent: bool) {}

    #[inline(always)]
    fn open(_reader: &mut Reader) {}

    #[inline(always)]
    fn begin_to_release(_reader: &Reader, _slots: usize) {}

    #[inline(always)]
    fn end_to_release(_reader: &Reader, _slots: usize) {}

    #[inline(always)]
    fn is_awaited(space: &EventWords) -> bool {
        space.has_waiters()
    }

    #[inline(always)]
    fn claim_to_send(ring: &Ring, wanted: usize, claim_log: ClaimLog) -> Result<Claim, NoSlot> {
        ring.claim_to_send(wanted, claim_log)
    }

    #[inline(always)]
    fn publish(ring: &Ring, claim: Claim, _sent: usize, _claim_log: ClaimLog) {
        ring.publish(claim);
    }

    #[inline(always)]
    fn claim_to_receive(
        ring: &Ring,
        wanted: usize,
        claim_log: ClaimLog,
        passed: impl Fn(),
    ) -> Option<(Claim, ())> {
        ring.claim_to_receive(wanted, claim_log, passed).map(|claim| (claim, ()))
    }

    #[inline(always)]
    fn release(ring: &Ring, claim: Claim, _claim_log: ClaimLog) {
        ring.release(claim);
    }

    #[inline(always)]
    fn hand_back(ring: &Ring, claim: Claim, claim_log: ClaimLog) {
        ring.hand_back(claim, claim_log);
    }
}

impl Rules for Frames {
    const IS_FRAMED: bool = true;
    type Sent = Frame;
    type Claimed = Option<Frame>;
    type Open = Option<Frame>;

    #[inline(always)]
    fn slots_for(size: usize) -> usize {
        slots_for(size)
    }

    #[inline(always)]
    fn slots(sent: Frame) -> usize {
        sent.slots()
    }

    #[inline(always)]
    fn claimed(_slots: usize, open: Option<Frame>) -> Option<Frame> {
        open
    }

    #[inline(always)]
    fn is_open(open: Option<Frame>) -> bool {
        open.is_some()
    }

    #[inline(always)]
    fn claimable(_writer: &Writer, wanted: usize, free: usize) -> usize {
        if free == wanted { wanted } else { 0 }
    }

    #[inline(always)]
    fn begin_to_send(writer: &Writer, sent: Frame) {
        let (lengths, tail) = (writer.lane.lengths(), writer.tail());
        lengths.say(tail, sent);
        kill_point!("lane.frame.worded");
        // Before it can be received: never more received than sent.
        lengths.counters().sent.begin(tail.wrapping_add(sent.slots() as u64));
        kill_point!("lane.frame.counted");
    }

    #[inline(always)]
    fn end_to_send(writer: &Writer, is_sent: bool) {
        writer.lane.lengths().counters().sent.tally.end(is_sent);
    }

    #[inline(always)]
    fn open(reader: &mut Reader) -> Option<Frame> {
        let frame = reader.frame();
        reader.claim(frame.slots());
        Some(frame)
    }

    #[inline(always)]
    fn begin_to_release(reader: &Reader, slots: usize) {
        if slots > 0 {
            reader.lane.lengths().counters().received.begin(reader.head().wrapping_add(slots as u64));
            kill_point!("lane.frame.received");
        }
    }

    #[inline(always)]
    fn end_to_release(reader: &Reader, slots: usize) {
        if slots > 0 {
            reader.lane.lengths().counters().received.tally.end(true);
        }
    }

    #[inline(always)]
    fn is_awaited(space: &EventWords) -> bool {
        Broadcast::is_awaited(space)
    }

    #[inline(always)]
    fn claim_to_send(ring: &Ring, wanted: usize, claim_log: ClaimLog) -> Result<Claim, NoSlot> {
        match wanted as u64 <= ring.capacity() {
            true => ring.claim_frame_to_send(wanted, claim_log),
            false => Err(NoSlot::Full),
        }
    }

    #[inline(always)]
    fn publish(ring: &Ring, claim: Claim, sent: Frame, claim_log: ClaimLog) {
        ring.publish_frame(claim, sent, claim_log);
    }

    #[inline(always)]
    fn claim_to_receive(
        ring: &Ring,
        _wanted: usize,
        claim_log: ClaimLog,
        passed: impl Fn(),
    ) -> Option<(Claim, Option<Frame>)> {
        ring.claim_frame(claim_log, passed).map(|(claim, frame)| (claim, Some(frame)))
    }

    #[inline(always)]
    fn release(ring: &Ring, claim: Claim, claim_log: ClaimLog) {
        if claim.len > 0 {
            ring.release_frame(claim, claim_log);
        }
    }

    #[inline(always)]
    fn hand_back(ring: &Ring, claim: Claim, claim_log: ClaimLog) {
        ring.hand_frame_back(claim, claim_log);
    }
}

/// Where the length of a claimed frame stands.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    pub(super) lengths: &'a Lengths,
    pub(super) sequence: u64,
}
