//! Frames through lanes: what producer and consumer do besides, and otherwise the same.

use super::{Consumer, Producer};
use crate::channel::Shared;
use crate::channel::cases::Case;
use crate::channel::consumer::Receiving;
use crate::channel::frames::{ReceivingFrames, SendingFrames};
use crate::channel::producer::Sending;
use crate::channel::seats::Place;
use crate::error::{HandleError, ReceiveError, SendError};
use crate::layout::FRAME_SLOT;
use crate::process::kill_point;
use crate::ring::frames::{Frame, slots_for};
use crate::sync::Arc;
use crate::wait::Deadline;

/// A producer of frames, in a lane of its own.
#[derive(Debug)]
pub(in crate::channel) struct FrameProducer {
    tx: Producer,
}

impl FrameProducer {
    pub(in crate::channel) fn at(place: Place, shared: &Arc<Shared>) -> Self {
        Self { tx: Producer::at(place, shared) }
    }

    pub(in crate::channel) fn place(&mut self) -> &mut Place {
        &mut self.tx.place
    }
}

impl SendingFrames for FrameProducer {
    #[inline(always)]
    fn claim(&mut self, len: usize) -> bool {
        let slots = slots_for(len);
        let is_free = slots <= self.tx.writer.capacity() && self.tx.free(slots, slots) == slots;
        if is_free {
            self.tx.writer.claim(slots);
        }
        is_free
    }

    #[inline(always)]
    fn reserve(&mut self, len: usize) -> bool {
        self.claim(len)
    }

    #[inline(always)]
    fn room(&self) -> *mut u8 {
        self.tx.writer.slots(self.tx.writer.claimed())
    }

    #[inline(always)]
    fn commit(&mut self, frame: Frame) -> Result<(), SendError> {
        let slots = frame.slots();
        assert!(slots <= self.tx.writer.claimed(), "more bytes than were claimed");
        let lengths = *self.tx.writer.lane.lengths();
        let (tail, sent) = (self.tx.writer.tail(), &lengths.counters().sent);
        lengths.say(tail, frame);
        kill_point!("lane.frame.worded");
        // Before it can be received: never more received than sent.
        sent.begin(tail.wrapping_add(slots as u64));
        kill_point!("lane.frame.counted");
        let outcome = self.tx.commit(slots);
        sent.tally.end(outcome.is_ok());
        outcome
    }

    fn abort(&mut self) {
        self.tx.writer.give_up();
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    fn send_error(&self) -> SendError {
        self.tx.send_error()
    }

    fn wait_for_room(&mut self, len: usize, deadline: Deadline) -> Result<(), SendError> {
        self.tx.wait_for(slots_for(len), deadline)
    }

    fn arm(&mut self, len: usize, alarm: i32) -> bool {
        self.tx.arm_for(slots_for(len), alarm)
    }

    fn must_look(&mut self) -> bool {
        self.tx.must_look()
    }

    fn case(&mut self, len: usize) -> Case<'_> {
        self.tx.case_for(slots_for(len))
    }

    fn max_len(&self) -> usize {
        self.tx.writer.capacity() * FRAME_SLOT
    }
}

/// The consumer of frames, from all lanes.
#[derive(Debug)]
pub(in crate::channel) struct FrameConsumer {
    rx: Consumer,
    /// The frame claimed and not yet released, at the head of the lane whose turn it is.
    open: Option<Frame>,
}

impl FrameConsumer {
    pub(in crate::channel) fn at(place: Place, shared: &Arc<Shared>) -> Result<Self, HandleError> {
        Ok(Self { rx: Consumer::at(place, shared)?, open: None })
    }

    pub(in crate::channel) fn place(&mut self) -> &mut Place {
        &mut self.rx.place
    }
}

impl ReceivingFrames for FrameConsumer {
    #[inline(always)]
    fn claim(&mut self) -> Option<Frame> {
        if self.open.is_none() && self.rx.claim(1) > 0 {
            let reader = &mut self.rx.readers[self.rx.current];
            let frame = reader.frame();
            reader.claim(frame.slots());
            self.open = Some(frame);
        }
        self.open
    }

    #[inline(always)]
    fn peek(&mut self) -> Option<Frame> {
        self.claim()
    }

    #[inline(always)]
    fn front(&self) -> *const u8 {
        let slots = self.open.expect("a frame was claimed").slots();
        self.rx.readers[self.rx.current].front(slots)
    }

    #[inline(always)]
    fn progress(&self) -> u8 {
        self.rx.readers[self.rx.current].progress()
    }

    #[inline(always)]
    fn say_progress(&mut self, progress: u8) {
        self.rx.readers[self.rx.current].say_progress(progress);
        kill_point!("frame.progress");
    }

    #[inline(always)]
    fn release(&mut self) {
        let frame = self.open.take().expect("a frame was claimed");
        let reader = &self.rx.readers[self.rx.current];
        let lengths = *reader.lane.lengths();
        let received = &lengths.counters().received;
        received.begin(reader.head().wrapping_add(frame.slots() as u64));
        kill_point!("lane.frame.received");
        self.rx.release(frame.slots());
        received.tally.end(true);
    }

    fn hand_back(&mut self) {
        self.open = None;
    }

    fn is_ended(&mut self) -> bool {
        self.open.is_none() && self.rx.is_ended()
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        if self.open.is_some() { Ok(()) } else { self.rx.wait_for_message(deadline) }
    }

    fn arm(&mut self, alarm: i32) -> bool {
        self.open.is_some() || self.rx.arm(alarm)
    }

    fn must_look(&mut self) -> bool {
        self.open.is_some() || self.rx.must_look()
    }

    fn case(&mut self) -> Case<'_> {
        self.rx.case()
    }
}
