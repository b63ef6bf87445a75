//! Frames through a shared ring: what a port does with them, and those who send and receive through it.
//!
//! A producer waits for as many slots as its message needs, and two may need different numbers: so who makes
//! space lets all look who wait for it ([`Broadcast`](crate::wait::Broadcast)). For messages one is as good as another, and one is
//! woken, as for items.

use std::borrow::Borrow;

use super::Port;
use super::handles::PassesOn;
use super::port::Done;
use super::seating::Seating;
use crate::channel::Shared;
use crate::channel::cases::Case;
use crate::channel::frames::{ReceivingFrames, SendingFrames};
use crate::channel::seats::Place;
use crate::error::{HandleError, ReceiveError, SendError};
use crate::layout::FRAME_SLOT;
use crate::process::kill_point;
use crate::ring::frames::{Frame, slots_for};
use crate::ring::intent::Witness;
use crate::ring::vyukov::Claim;
use crate::sync::Arc;
use crate::wait::{Deadline, Spin, Waiter, arm_until};

/// A way to send frames to and receive them from a shared ring that all threads can use at once.
#[derive(Debug)]
pub struct FramePort(Port);

impl FramePort {
    pub(in crate::channel) fn new(shared: &Arc<Shared>) -> Self {
        assert!(shared.is_framed(), "a port for frames on a channel of items");
        Self(Port::new(shared))
    }

    /// Sends messages through this port.
    ///
    /// # Errors
    /// If processes share the channel and all seats are taken.
    #[inline(always)]
    pub fn sender(&self) -> Result<FrameSender<&Self>, HandleError> {
        Ok(FrameSender::new(self, Seating::lent(&self.0)?))
    }

    /// Receives messages through this port.
    ///
    /// # Errors
    /// As for [`sender`](Self::sender).
    #[inline(always)]
    pub fn receiver(&self) -> Result<FrameReceiver<&Self>, HandleError> {
        Ok(FrameReceiver::new(self, Seating::lent(&self.0)?))
    }

    /// Has `alarm` written when there is a message, unless there is now: then true.
    pub fn arm_arrivals(&self, alarm: i32) -> bool {
        self.0.arm_arrivals(alarm)
    }

    /// Claims `slots`, or nothing if they are not free.
    #[inline(always)]
    fn claim_frame_to_send(&self, slots: usize, witness: Witness) -> Option<Claim> {
        if slots as u64 > self.0.ring.capacity() {
            return None;
        }
        let claim = self.0.slots_or_none(self.0.ring.claim_frame_to_send(slots, witness));
        claim.ok().filter(|claim| claim.len > 0)
    }

    /// Sends a frame in the first slots of a claim and gives the others up.
    #[inline(always)]
    fn commit_frame(&self, claim: Claim, frame: Frame, witness: Witness) {
        let (sent, rest) = claim.split(frame.slots());
        kill_point!("port.commit.begun");
        self.0.ring.publish_frame(sent, frame, witness);
        kill_point!("port.commit.published");
        if rest.len > 0 {
            self.0.ring.abandon(rest, witness);
        }
        witness.rests();
        kill_point!("port.commit.rests");
        self.pass_frame_on(Done::Sent);
    }

    fn abandon_frame(&self, claim: Claim, witness: Witness) {
        self.0.ring.abandon(claim, witness);
        witness.rests();
        self.pass_frame_on(Done::Sent);
    }

    #[inline(always)]
    fn claim_frame(&self, witness: Witness) -> Option<(Claim, Frame)> {
        // Slots that were given up are free once passed.
        self.0.message_or_none(self.0.ring.claim_frame(witness, || self.pass_frame_on(Done::Received)))
    }

    #[inline(always)]
    fn release_frame(&self, claim: Claim, witness: Witness) {
        kill_point!("port.release.begun");
        self.0.ring.release_frame(claim, witness);
        kill_point!("port.release.released");
        witness.rests();
        kill_point!("port.release.rests");
        self.pass_frame_on(Done::Received);
    }

    fn hand_frame_back(&self, claim: Claim, witness: Witness) {
        self.0.ring.hand_frame_back(claim, witness);
        witness.rests();
        self.pass_frame_on(Done::Received);
    }

    /// Wakes who waits for what was `done`. See `pass_on`.
    #[inline(always)]
    fn pass_frame_on(&self, done: Done) {
        // Forbids: the waiter misses the change, and we miss that it waits.
        self.0.shared.barrier.light();
        if self.0.space().has_waiters() || self.0.shared.memory.header().arrivals.has_waiters() {
            self.wake_for_frames(done);
        }
    }

    #[cold]
    fn wake_for_frames(&self, done: Done) {
        // Sending makes space, too, when it gives up what it had claimed and not used.
        if self.0.space().has_waiters() {
            match done {
                Done::Received => self.0.space().notify(),
                Done::Sent => self.pass_room_on(),
            }
        }
        let has_waiters = self.0.shared.memory.header().arrivals.has_waiters();
        // The last message of a closed channel brings the end for the others.
        if has_waiters && (done == Done::Sent || self.0.is_ready_to_receive()) {
            self.0.wake_for(done);
        }
    }

    /// Wakes the next producer if there is room, for one that leaves some.
    #[cold]
    pub(in crate::channel) fn pass_room_on(&self) {
        self.0.shared.barrier.light();
        if self.0.space().has_waiters() && self.is_ready_for_frame(1) {
            self.0.space().pass_on();
        }
    }

    fn is_ready_for_frame(&self, slots: usize) -> bool {
        self.0.ring.has_room(slots) || self.0.ring.is_sealed()
    }

    /// One that waits until there is room for `len` bytes.
    fn for_room(&self, len: usize) -> impl Waiter<Error = SendError> + '_ {
        self.0.for_space(slots_for(len))
    }

    /// Has `alarm` written when there may be room for `len` bytes, unless there is now: then true.
    pub fn arm_room(&self, len: usize, alarm: i32) -> bool {
        arm_until(&mut self.for_room(len), alarm)
    }
}

/// One who sends messages of any length through a port.
#[derive(Debug)]
pub struct FrameSender<P: Borrow<FramePort>> {
    port: P,
    spin: Spin,
    /// Slots claimed and not yet committed.
    open: Option<Claim>,
    /// Whether a close since the claim refuses it.
    is_reserved: bool,
    seating: Seating,
}

impl<P: Borrow<FramePort>> FrameSender<P> {
    #[inline(always)]
    fn new(port: P, seating: Seating) -> Self {
        Self { port, spin: Spin::new(), open: None, is_reserved: false, seating }
    }

    #[inline(always)]
    fn port(&self) -> &FramePort {
        self.port.borrow()
    }
}

impl<P: Borrow<FramePort>> SendingFrames for FrameSender<P> {
    #[inline(always)]
    fn claim(&mut self, len: usize) -> bool {
        assert!(self.open.is_none(), "room was claimed before");
        self.open = self.port().claim_frame_to_send(slots_for(len), self.seating.sending);
        self.open.is_some()
    }

    fn reserve(&mut self, len: usize) -> bool {
        self.is_reserved = self.claim(len);
        self.is_reserved
    }

    #[inline(always)]
    fn room(&self) -> *mut u8 {
        self.port().0.ring.to_write(self.open.expect("room was claimed"))
    }

    #[inline(always)]
    fn commit(&mut self, frame: Frame) -> Result<(), SendError> {
        let open = self.open.expect("room was claimed");
        assert!(frame.slots() <= open.len, "more bytes than were claimed");
        // What was claimed just now came before the close.
        if self.is_reserved && self.is_closed() {
            self.abort();
            return Err(self.send_error());
        }
        (self.open, self.is_reserved) = (None, false);
        self.port().commit_frame(open, frame, self.seating.sending);
        Ok(())
    }

    #[cold]
    fn abort(&mut self) {
        self.is_reserved = false;
        if let Some(open) = self.open.take() {
            self.port().abandon_frame(open, self.seating.sending);
        }
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        self.port().0.is_closed()
    }

    fn send_error(&self) -> SendError {
        self.port().0.send_error()
    }

    fn wait_for_room(&mut self, len: usize, deadline: Deadline) -> Result<(), SendError> {
        let port = self.port.borrow();
        port.0.wait(port.for_room(len), &mut self.spin, deadline)
    }

    fn arm(&mut self, len: usize, alarm: i32) -> bool {
        self.port().arm_room(len, alarm)
    }

    fn case(&mut self, len: usize) -> Case<'_> {
        let port = self.port();
        Case::new(&port.0.shared, port.for_room(len))
    }

    fn max_len(&self) -> usize {
        self.port().0.ring.capacity() as usize * FRAME_SLOT
    }
}

impl<P: Borrow<FramePort>> Drop for FrameSender<P> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.open.is_some() {
            self.abort();
        }
        self.seating.end(&self.port.borrow().0);
    }
}

/// One who receives messages of any length through a port.
#[derive(Debug)]
pub struct FrameReceiver<P: Borrow<FramePort>> {
    port: P,
    spin: Spin,
    /// The message claimed and not yet released.
    open: Option<(Claim, Frame)>,
    seating: Seating,
}

impl<P: Borrow<FramePort>> FrameReceiver<P> {
    #[inline(always)]
    fn new(port: P, seating: Seating) -> Self {
        Self { port, spin: Spin::new(), open: None, seating }
    }

    #[inline(always)]
    fn port(&self) -> &FramePort {
        self.port.borrow()
    }
}

impl<P: Borrow<FramePort>> ReceivingFrames for FrameReceiver<P> {
    #[inline(always)]
    fn claim(&mut self) -> Option<Frame> {
        if self.open.is_none() {
            self.open = self.port().claim_frame(self.seating.receiving);
        }
        self.open.map(|(_, frame)| frame)
    }

    fn peek(&mut self) -> Option<Frame> {
        let frame = self.claim()?;
        // It keeps what it may have been woken for; there may be more, for another.
        self.port().0.pass_messages_on();
        Some(frame)
    }

    #[inline(always)]
    fn front(&self) -> *const u8 {
        self.port().0.ring.to_read(self.open.expect("a frame was claimed").0)
    }

    #[inline(always)]
    fn progress(&self) -> u8 {
        let (claim, _) = self.open.expect("a frame was claimed");
        self.port().0.ring.progress(claim)
    }

    #[inline(always)]
    fn say_progress(&mut self, progress: u8) {
        let (claim, _) = self.open.expect("a frame was claimed");
        self.port().0.ring.say_progress(claim, progress);
    }

    #[inline(always)]
    fn release(&mut self) {
        let (claim, _) = self.open.take().expect("a frame was claimed");
        self.port().release_frame(claim, self.seating.receiving);
    }

    #[cold]
    fn hand_back(&mut self) {
        if let Some((claim, _)) = self.open.take() {
            self.port().hand_frame_back(claim, self.seating.receiving);
        }
    }

    fn is_ended(&mut self) -> bool {
        self.open.is_none() && self.port().0.is_ended()
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        if self.open.is_some() {
            return Ok(());
        }
        self.port.borrow().0.wait_for_message(&mut self.spin, deadline)
    }

    fn arm(&mut self, alarm: i32) -> bool {
        self.port().0.arm_arrivals(alarm)
    }

    fn case(&mut self) -> Case<'_> {
        let port = &self.port().0;
        Case::new(&port.shared, port.for_arrivals(self.open.is_some()))
    }
}

impl<P: Borrow<FramePort>> Drop for FrameReceiver<P> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.open.is_some() {
            self.hand_back();
        }
        self.seating.end(&self.port.borrow().0);
    }
}

/// A registered producer of frames.
#[derive(Debug)]
pub(in crate::channel) struct FrameProducer {
    pub(in crate::channel) sender: FrameSender<FramePort>,
    /// Given back after what was claimed.
    pub(in crate::channel) place: Place,
}

impl FrameProducer {
    pub(in crate::channel) fn at(place: Place, shared: &Arc<Shared>) -> Self {
        let port = FramePort::new(shared);
        let seating = Seating::own(&port.0, place.index());
        Self { sender: FrameSender::new(port, seating), place }
    }
}

/// A registered consumer of frames.
#[derive(Debug)]
pub(in crate::channel) struct FrameConsumer {
    pub(in crate::channel) receiver: FrameReceiver<FramePort>,
    _last: PassesOn,
    /// Given back after what was claimed.
    pub(in crate::channel) place: Place,
}

impl FrameConsumer {
    pub(in crate::channel) fn at(place: Place, shared: &Arc<Shared>) -> Self {
        let port = FramePort::new(shared);
        let seating = Seating::own(&port.0, place.index());
        Self { receiver: FrameReceiver::new(port, seating), _last: PassesOn(shared.clone()), place }
    }
}
