//! Messages of any length: handles, and what they do, over lanes and over a shared ring.

use super::cases::Case;
use super::claims::{Message, Room};
use super::seats::{Place, Role, Ticket};
use super::{Channel, FramePort, Shared, lanes, shared};
use crate::error::{HandleError, ReceiveError, SendError};
use crate::ring::frames::Frame;
use crate::wait::Deadline;

/// Sending messages of any length, through a [`FrameProducer`] or a [`FrameSender`](super::FrameSender).
pub trait SendingFrames {
    /// Claims room for a message of `len` bytes, at most [`max_len`](Self::max_len); `None` if there is not so much.
    fn try_claim(&mut self, len: usize) -> Option<Room<'_, Self>>
    where
        Self: Sized,
    {
        Room::claim(self, len)
    }

    /// Whether room for a message of `len` bytes is this sender's now; all of it or none. Like
    /// [`reserve`](Self::reserve), but to be committed at once.
    fn claim(&mut self, len: usize) -> bool;

    /// Whether room for a message of `len` bytes, at most [`max_len`](Self::max_len), is this sender's now.
    /// It stays reserved until [`commit`](Self::commit) or [`abort`](Self::abort).
    fn reserve(&mut self, len: usize) -> bool;

    /// The room that [`claim`](Self::claim) or [`reserve`](Self::reserve) gave, in one piece. The memory
    /// lives as long as this channel.
    fn room(&self) -> *mut u8;

    /// Sends the first `frame.len` bytes of the room and gives the rest back.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the channel was closed, and nothing is sent.
    ///
    /// # Panics
    /// If that is more than was claimed.
    fn commit(&mut self, frame: Frame) -> Result<(), SendError>;

    /// Gives the room back and sends nothing.
    fn abort(&mut self);

    /// Whether the channel was closed.
    fn is_closed(&self) -> bool;

    /// Why a closed channel takes no message: [`SendError::Closed`] or [`SendError::Deserted`].
    fn send_error(&self) -> SendError;

    /// Waits until there is room for `len` bytes. In a shared ring another sender may take it first.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TimedOut`] or [`SendError::Interrupted`].
    fn wait_for_room(&mut self, len: usize, deadline: Deadline) -> Result<(), SendError>;

    /// Has an eventfd written once there may be room for `len` bytes or the channel is closed, unless that
    /// is so now: then true. [`Channel::disarm`] takes it back, before the eventfd is closed.
    fn arm(&mut self, len: usize, alarm: i32) -> bool;

    /// Whether another task must look that waits with this handle, as one that waited with it leaves: it may be for
    /// something that the channel tells nobody.
    fn must_look(&mut self) -> bool {
        false
    }

    /// The wait for room for `len` bytes or the closing, as one of several in
    /// [`wait_for_any`](super::wait_for_any).
    fn case(&mut self, len: usize) -> Case<'_>;

    /// Bytes of the longest message.
    fn max_len(&self) -> usize;

    /// Sends `message` if there is room; tells whether.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Panics
    /// If it is longer than [`max_len`](Self::max_len).
    #[inline(always)]
    fn try_send(&mut self, message: &[u8], kind: u8) -> Result<bool, SendError> {
        // SAFETY: a slice is readable.
        unsafe { self.try_send_from(message.as_ptr(), Frame { len: message.len(), kind }) }
    }

    /// The same for bytes that something else may write meanwhile.
    ///
    /// # Safety
    /// `message` must be readable for `frame.len` bytes.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    #[inline(always)]
    unsafe fn try_send_from(&mut self, message: *const u8, frame: Frame) -> Result<bool, SendError> {
        if !self.claim(frame.len) {
            assert!(frame.len <= self.max_len(), "longer than the longest message");
            return if self.is_closed() { Err(self.send_error()) } else { Ok(false) };
        }
        // SAFETY: the room is ours alone, and large enough.
        unsafe { self.room().copy_from_nonoverlapping(message, frame.len) };
        self.commit(frame).map(|()| true)
    }

    /// Sends `message`, waiting while there is no room.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Panics
    /// If it is longer than [`max_len`](Self::max_len).
    #[inline(always)]
    fn send(&mut self, message: &[u8], kind: u8) -> Result<(), SendError> {
        while !self.try_send(message, kind)? {
            match self.wait_for_room(message.len(), Deadline::NEVER) {
                Ok(()) | Err(SendError::Interrupted) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }
}

/// Receiving messages of any length, through a [`FrameConsumer`] or a [`FrameReceiver`](super::FrameReceiver).
pub trait ReceivingFrames {
    /// Claims the next message, if there is one.
    fn try_claim(&mut self) -> Option<Message<'_, Self>>
    where
        Self: Sized,
    {
        Message::claim(self)
    }

    /// The next message, this receiver's to read now, if there is one. Like [`peek`](Self::peek), but to be
    /// released at once.
    fn claim(&mut self) -> Option<Frame>;

    /// The next message, this receiver's to read now, if there is one. It stays in the channel until
    /// [`release`](Self::release) or [`hand_back`](Self::hand_back).
    fn peek(&mut self) -> Option<Frame>;

    /// The bytes of the message that [`claim`](Self::claim) or [`peek`](Self::peek) gave. The memory lives
    /// as long as this channel.
    fn front(&self) -> *const u8;

    /// How much of that message readers before have said to be done with, in whatever unit; 0 at first.
    fn progress(&self) -> u8;

    /// Says how much of it is done with: if it is handed back, or this receiver dies, the next goes on there.
    fn say_progress(&mut self, progress: u8);

    /// Takes that message off the channel.
    fn release(&mut self);

    /// Leaves that message in the channel: it comes again, in a shared ring to any receiver.
    fn hand_back(&mut self);

    /// Whether nothing more will ever come. Call it when nothing was there.
    fn is_ended(&mut self) -> bool;

    /// Waits until there is a message. In a shared ring another receiver may be faster.
    ///
    /// # Errors
    /// [`ReceiveError::Ended`]: nothing more will ever come; [`ReceiveError::TimedOut`] or [`ReceiveError::Interrupted`].
    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError>;

    /// Has an eventfd written once there may be a message or the end, unless that is so now: then true.
    /// [`Channel::disarm`] takes it back, before the eventfd is closed.
    fn arm(&mut self, alarm: i32) -> bool;

    /// Whether another task must look that waits with this handle, as one that waited with it leaves: it may be for
    /// something that the channel tells nobody.
    fn must_look(&mut self) -> bool {
        false
    }

    /// The wait for a message or the end, as one of several in [`wait_for_any`](super::wait_for_any).
    fn case(&mut self) -> Case<'_>;

    /// Receives a message, if there is one, into `buffer`, whose contents it replaces; tells its kind.
    #[inline(always)]
    fn try_receive(&mut self, buffer: &mut Vec<u8>) -> Option<u8> {
        let frame = self.claim()?;
        buffer.clear();
        buffer.reserve(frame.len);
        // SAFETY: the message is ours, and the buffer has room for it.
        unsafe {
            buffer.as_mut_ptr().copy_from_nonoverlapping(self.front(), frame.len);
            buffer.set_len(frame.len);
        }
        self.release();
        Some(frame.kind)
    }

    /// Receives a message into `buffer`, waiting for it; tells its kind.
    ///
    /// # Errors
    /// [`ReceiveError::Ended`].
    #[inline(always)]
    fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<u8, ReceiveError> {
        loop {
            if let Some(kind) = self.try_receive(buffer) {
                return Ok(kind);
            }
            if self.is_ended() {
                return Err(ReceiveError::Ended);
            }
            match self.wait_for_message(Deadline::NEVER) {
                Ok(()) | Err(ReceiveError::Interrupted) => {}
                Err(stop) => return Err(stop),
            }
        }
    }
}

impl Channel {
    /// Registers a producer of a channel of frames.
    ///
    /// # Panics
    /// If the channel is one of items.
    pub fn frame_producer(&self) -> Result<FrameProducer, HandleError> {
        self.check_framed(true);
        Ok(self.frame_producer_at(Place::take(&self.shared, Role::Producer)?))
    }

    /// Takes a producer of frames over that another process [promised](FrameProducer::ticket).
    ///
    /// # Errors
    /// [`HandleError::Elsewhere`]: it was taken over before; [`HandleError::TakenBack`]: it was given back.
    ///
    /// # Panics
    /// If the channel is one of items.
    pub fn frame_producer_of(&self, ticket: Ticket) -> Result<FrameProducer, HandleError> {
        self.check_framed(true);
        Ok(self.frame_producer_at(Place::redeem(&self.shared, Role::Producer, ticket)?))
    }

    fn frame_producer_at(&self, place: Place) -> FrameProducer {
        FrameProducer(if self.shared.is_ring() {
            Sends::Shared(shared::FrameProducer::at(place, &self.shared))
        } else {
            Sends::Lane(lanes::FrameProducer::at(place, &self.shared))
        })
    }

    /// Registers a consumer of a channel of frames. A channel of lanes has one at a time.
    ///
    /// # Panics
    /// If the channel is one of items.
    pub fn frame_consumer(&self) -> Result<FrameConsumer, HandleError> {
        self.check_framed(true);
        let mut consumer = self.frame_consumer_at(Place::take(&self.shared, Role::Consumer)?)?;
        consumer.place().register_consumer();
        Ok(consumer)
    }

    /// Takes a consumer of frames over that another process [promised](FrameConsumer::ticket).
    ///
    /// # Errors
    /// [`HandleError::Elsewhere`]: it was taken over before; [`HandleError::TakenBack`]: it was given back.
    ///
    /// # Panics
    /// If the channel is one of items.
    pub fn frame_consumer_of(&self, ticket: Ticket) -> Result<FrameConsumer, HandleError> {
        self.check_framed(true);
        self.frame_consumer_at(Place::redeem(&self.shared, Role::Consumer, ticket)?)
    }

    fn frame_consumer_at(&self, place: Place) -> Result<FrameConsumer, HandleError> {
        Ok(FrameConsumer(if self.shared.is_ring() {
            Receives::Shared(shared::FrameConsumer::at(place, &self.shared))
        } else {
            Receives::Lanes(Box::new(lanes::FrameConsumer::at(place, &self.shared)?))
        }))
    }

    /// The way to use a shared ring of frames without handles; `None` where [`port`](Self::port) is.
    pub fn frame_port(&self) -> Option<FramePort> {
        (self.is_anybodys() && self.is_framed()).then(|| FramePort::new(&self.shared))
    }

    /// Whether messages are of any length.
    pub fn is_framed(&self) -> bool {
        self.shared.is_framed()
    }

    pub(super) fn check_framed(&self, is_framed: bool) {
        let what = |is_framed| if is_framed { "frames" } else { "items" };
        assert!(
            self.is_framed() == is_framed,
            "a handle for {} on a channel of {}",
            what(is_framed),
            what(!is_framed)
        );
    }
}

impl Shared {
    pub(super) fn is_framed(&self) -> bool {
        self.memory.geometry().framed == 1
    }
}

/// A producer of messages of any length. Dropping it gives its place back; what it sent stays.
#[derive(Debug)]
pub struct FrameProducer(Sends);

#[derive(Debug)]
enum Sends {
    Lane(lanes::FrameProducer),
    Shared(shared::FrameProducer),
}

super::handover_of!(FrameProducer);

impl FrameProducer {
    fn place(&mut self) -> &mut Place {
        match &mut self.0 {
            Sends::Lane(handle) => handle.place(),
            Sends::Shared(handle) => &mut handle.place,
        }
    }
}

/// Calls the same on either kind.
macro_rules! each_sends {
    ($this:expr, $tx:ident => $call:expr) => {
        match $this {
            Sends::Lane($tx) => $call,
            Sends::Shared(shared::FrameProducer { sender: $tx, .. }) => $call,
        }
    };
}

impl SendingFrames for FrameProducer {
    #[inline(always)]
    fn claim(&mut self, len: usize) -> bool {
        each_sends!(&mut self.0, tx => tx.claim(len))
    }

    #[inline(always)]
    fn reserve(&mut self, len: usize) -> bool {
        each_sends!(&mut self.0, tx => tx.reserve(len))
    }

    #[inline(always)]
    fn room(&self) -> *mut u8 {
        each_sends!(&self.0, tx => tx.room())
    }

    #[inline(always)]
    fn commit(&mut self, frame: Frame) -> Result<(), SendError> {
        each_sends!(&mut self.0, tx => tx.commit(frame))
    }

    fn abort(&mut self) {
        each_sends!(&mut self.0, tx => tx.abort());
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        each_sends!(&self.0, tx => tx.is_closed())
    }

    fn send_error(&self) -> SendError {
        each_sends!(&self.0, tx => tx.send_error())
    }

    fn wait_for_room(&mut self, len: usize, deadline: Deadline) -> Result<(), SendError> {
        each_sends!(&mut self.0, tx => tx.wait_for_room(len, deadline))
    }

    fn arm(&mut self, len: usize, alarm: i32) -> bool {
        each_sends!(&mut self.0, tx => tx.arm(len, alarm))
    }

    fn must_look(&mut self) -> bool {
        each_sends!(&mut self.0, tx => tx.must_look())
    }

    fn case(&mut self, len: usize) -> Case<'_> {
        each_sends!(&mut self.0, tx => tx.case(len))
    }

    fn max_len(&self) -> usize {
        each_sends!(&self.0, tx => tx.max_len())
    }

    // Which kind it is is asked once.
    #[inline(always)]
    unsafe fn try_send_from(&mut self, message: *const u8, frame: Frame) -> Result<bool, SendError> {
        // SAFETY: as the caller says.
        each_sends!(&mut self.0, tx => unsafe { tx.try_send_from(message, frame) })
    }
}

/// A consumer of messages of any length. Dropping it gives the place to the next one, who goes on where it
/// was.
#[derive(Debug)]
pub struct FrameConsumer(Receives);

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a handle has an allocation of its own anyway")]
enum Receives {
    Lanes(Box<lanes::FrameConsumer>),
    Shared(shared::FrameConsumer),
}

super::handover_of!(FrameConsumer);

impl FrameConsumer {
    fn place(&mut self) -> &mut Place {
        match &mut self.0 {
            Receives::Lanes(handle) => handle.place(),
            Receives::Shared(handle) => &mut handle.place,
        }
    }
}

/// Calls the same on either kind.
macro_rules! each_receives {
    ($this:expr, $rx:ident => $call:expr) => {
        match $this {
            Receives::Lanes($rx) => $call,
            Receives::Shared(shared::FrameConsumer { receiver: $rx, .. }) => $call,
        }
    };
}

impl ReceivingFrames for FrameConsumer {
    #[inline(always)]
    fn claim(&mut self) -> Option<Frame> {
        each_receives!(&mut self.0, rx => rx.claim())
    }

    #[inline(always)]
    fn peek(&mut self) -> Option<Frame> {
        each_receives!(&mut self.0, rx => rx.peek())
    }

    #[inline(always)]
    fn front(&self) -> *const u8 {
        each_receives!(&self.0, rx => rx.front())
    }

    #[inline(always)]
    fn progress(&self) -> u8 {
        each_receives!(&self.0, rx => rx.progress())
    }

    #[inline(always)]
    fn say_progress(&mut self, progress: u8) {
        each_receives!(&mut self.0, rx => rx.say_progress(progress));
    }

    #[inline(always)]
    fn release(&mut self) {
        each_receives!(&mut self.0, rx => rx.release());
    }

    fn hand_back(&mut self) {
        each_receives!(&mut self.0, rx => rx.hand_back());
    }

    fn is_ended(&mut self) -> bool {
        each_receives!(&mut self.0, rx => rx.is_ended())
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        each_receives!(&mut self.0, rx => rx.wait_for_message(deadline))
    }

    fn arm(&mut self, alarm: i32) -> bool {
        each_receives!(&mut self.0, rx => rx.arm(alarm))
    }

    fn must_look(&mut self) -> bool {
        each_receives!(&mut self.0, rx => rx.must_look())
    }

    fn case(&mut self) -> Case<'_> {
        each_receives!(&mut self.0, rx => rx.case())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::channel::{Config, Mode};
    use crate::ring::frames::Lengths;

    fn channel(mode: Mode) -> Channel {
        Channel::of_frames(&Config { mode, capacity: 8, ..Config::default() }).unwrap()
    }

    /// A peer may write any length at any time; whoever receives stays within the ring, and goes on.
    #[test]
    fn lengths_written_by_others_make_wrong_messages_and_nothing_else() {
        for mode in [Mode::Mpsc, Mode::Spmc, Mode::Mpmc] {
            let channel = channel(mode);
            let (mut tx, mut rx) = (channel.frame_producer().unwrap(), channel.frame_consumer().unwrap());
            let lengths = Lengths::new(&channel.shared.memory, 0).unwrap();
            let mut buffer = Vec::new();
            for (sequence, len) in [513, 1 << 20, (1 << 48) - 1, usize::MAX].into_iter().enumerate() {
                assert_eq!(tx.try_send(b"good", 1), Ok(true));
                let at = match channel.shared.ring() {
                    Some(ring) => ring.head.load(crate::sync::Ordering::Relaxed),
                    None => sequence as u64,
                };
                lengths.say(at, Frame { len, kind: 2 });
                assert!(rx.try_receive(&mut buffer).is_some());
                assert!(buffer.len() <= channel.max_len(), "{} bytes", buffer.len());
                if mode == Mode::Mpsc {
                    // The lane knows that one slot was sent.
                    assert_eq!(buffer.len(), 64);
                } else {
                    break;
                }
            }
        }
    }
}
