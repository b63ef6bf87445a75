//! Frames, messages of any length: sending and receiving them.

use super::cases::Case;
use super::claims::{ClaimedFrame, Room};
use super::ends::{ReceiveSlots, Rx, SendSlots, SendingEnd, Tx, each_tx};
use super::message::{Frames, Word};
use super::mpmc::{Port, Receiver, Sender};
use crate::error::{ReceiveError, SendError};
use crate::layout::FRAME_SLOT;
use crate::process::kill_point;
use crate::ring::frames::{Frame, slots_for};
use crate::wait::Deadline;

/// A producer of messages of any length.
pub type FrameProducer = Tx<Frames>;
/// A consumer of messages of any length.
pub type FrameConsumer = Rx<Frames>;
/// A way to send frames to and receive them from a shared ring that all threads can use at once.
pub type FramePort = Port<Frames>;
/// One who sends messages of any length through a port.
pub type FrameSender<P> = Sender<P, Frames>;
/// One who receives messages of any length through a port.
pub type FrameReceiver<P> = Receiver<P, Frames>;

/// Sending messages of any length, through a [`FrameProducer`] or a [`FrameSender`].
pub trait SendingFrames: SendSlots<Message = Frames> {
    /// Claims room for a message of `len` bytes, at most [`max_len`](Self::max_len); `None` if there is not
    /// so much.
    fn try_claim(&mut self, len: usize) -> Option<Room<'_, Self>>
    where
        Self: Sized,
    {
        Room::claim(self, len)
    }

    /// Whether room for a message of `len` bytes is this sender's now; all of it or none. Like
    /// [`reserve`](Self::reserve), but to be committed at once.
    #[inline(always)]
    fn claim(&mut self, len: usize) -> bool {
        self.claim_slots(slots_for(len)) > 0
    }

    /// Whether room for a message of `len` bytes, at most [`max_len`](Self::max_len), is this sender's now.
    /// It stays reserved until [`commit`](Self::commit) or [`abort`](SendSlots::abort).
    #[inline(always)]
    fn reserve(&mut self, len: usize) -> bool {
        self.reserve_slots(slots_for(len)) > 0
    }

    /// The room that [`claim`](Self::claim) or [`reserve`](Self::reserve) gave, in one piece. The memory
    /// lives as long as this channel.
    #[inline(always)]
    fn room(&self) -> *mut u8 {
        self.slots(1)
    }

    /// Sends the first `frame.len` bytes of the room and gives the rest back.
    ///
    /// # Errors
    /// [`SendError::Closed`]: the channel was closed, and nothing is sent.
    ///
    /// # Panics
    /// If that is more than was claimed.
    #[inline(always)]
    fn commit(&mut self, frame: Frame) -> Result<(), SendError> {
        self.commit_slots(frame)
    }

    /// Waits until there is room for `len` bytes. In a shared ring another sender may take it first.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TimedOut`] or [`SendError::Interrupted`].
    fn wait_for_room(&mut self, len: usize, deadline: Deadline) -> Result<(), SendError> {
        self.wait_for_slots(slots_for(len), deadline)
    }

    /// Has an eventfd written once there may be room for `len` bytes or the channel is closed; see
    /// [`arm_for_slots`](SendSlots::arm_for_slots).
    fn arm(&mut self, len: usize, waker: i32) -> bool {
        self.arm_for_slots(slots_for(len), waker)
    }

    /// The wait for room for `len` bytes or the closing, as one of several in
    /// [`wait_for_any`](super::wait_for_any).
    fn case(&mut self, len: usize) -> Case<'_> {
        self.case_for_slots(slots_for(len))
    }

    /// Bytes of the longest message.
    fn max_len(&self) -> usize {
        self.capacity() * FRAME_SLOT
    }

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

impl SendingFrames for FrameProducer {
    // Which kind it is is asked once.
    #[inline(always)]
    unsafe fn try_send_from(&mut self, message: *const u8, frame: Frame) -> Result<bool, SendError> {
        // SAFETY: as the caller says.
        each_tx!(&mut self.0, tx => unsafe { tx.try_send_from(message, frame) })
    }
}

/// Receiving messages of any length, through a [`FrameConsumer`] or a [`FrameReceiver`].
pub trait ReceivingFrames: ReceiveSlots<Message = Frames> {
    /// Claims the next message, if there is one.
    fn try_claim(&mut self) -> Option<ClaimedFrame<'_, Self>>
    where
        Self: Sized,
    {
        ClaimedFrame::claim(self)
    }

    /// The next message, this receiver's to read now, if there is one. Like [`peek`](Self::peek), but to be
    /// released at once.
    #[inline(always)]
    fn claim(&mut self) -> Option<Frame> {
        self.claim_next(1)
    }

    /// The next message, this receiver's to read now, if there is one. It stays in the channel until
    /// [`release`](Self::release) or [`hand_back`](Self::hand_back).
    #[inline(always)]
    fn peek(&mut self) -> Option<Frame> {
        self.peek_next(1)
    }

    /// The bytes of the message that [`claim`](Self::claim) or [`peek`](Self::peek) gave. The memory lives
    /// as long as this channel.
    #[inline(always)]
    fn front(&self) -> *const u8 {
        self.front_slots(self.open_slots())
    }

    /// How much of that message readers before have said to be done with, in whatever unit; 0 at first.
    #[inline(always)]
    fn progress(&self) -> u8 {
        let Word { lengths, sequence } = self.word();
        lengths.progress(sequence)
    }

    /// Says how much of it is done with: if it is handed back, or this receiver dies, the next goes on there.
    #[inline(always)]
    fn say_progress(&mut self, progress: u8) {
        let Word { lengths, sequence } = self.word();
        lengths.say_progress(sequence, progress);
        kill_point!("frame.progress");
    }

    /// Takes that message off the channel.
    ///
    /// # Panics
    /// If there is none.
    #[inline(always)]
    fn release(&mut self) {
        let slots = self.open_slots();
        assert!(slots > 0, "no message was claimed");
        self.release_slots(slots);
    }

    /// Leaves that message in the channel: it comes again, in a shared ring to any receiver.
    #[cold]
    fn hand_back(&mut self) {
        if self.open_slots() > 0 {
            self.release_slots(0);
        }
    }

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

impl ReceivingFrames for FrameConsumer {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::channel::{Channel, Config, Mode};
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
