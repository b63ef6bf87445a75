//! Handles for the ledger's messages, each of which is an item, or a frame of one slot to four that says it
//! in every word.

use bchan::{
    Channel, Consumer, Deadline, Frame, FrameConsumer, FrameProducer, HandleError, Producer, ReceiveError,
    Receiving, ReceivingFrames, SendError, Sending, SendingFrames, Token,
};

/// Sending, of items and of frames.
pub trait Sends {
    /// Sends as many of `items` as there is room for; tells how many.
    fn try_send(&mut self, items: &[u64]) -> Result<usize, SendError>;
    /// Reserves room for `n`, or for one frame; tells for how many there is.
    fn reserve(&mut self, n: usize) -> usize;
    /// Sends these, for which there is room, and gives up what else was reserved.
    fn commit(&mut self, items: &[u64]) -> Result<(), SendError>;
    #[cfg(feature = "kill-points")]
    fn is_closed(&self) -> bool;
    fn wait_for_space(&mut self, deadline: Deadline) -> Result<(), SendError>;
}

/// Receiving, of items and of frames.
pub trait Receives {
    /// Looks at up to `n`, or at one frame.
    fn peek(&mut self, n: usize) -> Vec<u64>;
    /// Takes the first `n` of them off the channel, and hands the others back.
    fn release(&mut self, n: usize);
    /// Receives up to `n`.
    fn try_receive(&mut self, n: usize) -> Vec<u64>;
    fn is_ended(&mut self) -> bool;
    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError>;
}

/// A handle, which may pass to another process before its first use.
pub trait Passes {
    fn begin(&mut self) -> Result<(), HandleError>;
    fn token(&mut self) -> Result<Token, HandleError>;
}

pub trait Tx: Sends + Passes + Send {}
pub trait Rx: Receives + Passes + Send {}
impl<T: Sends + Passes + Send> Tx for T {}
impl<T: Receives + Passes + Send> Rx for T {}

/// Of a channel of items.
#[derive(Debug)]
pub struct Items<T>(pub T);

/// Of a channel of frames.
#[derive(Debug)]
pub struct Frames<T>(pub T);

pub fn producer(channel: &Channel) -> Result<Box<dyn Tx>, HandleError> {
    Ok(match channel.is_framed() {
        true => Box::new(Frames(channel.frame_producer()?)),
        false => Box::new(Items(channel.producer()?)),
    })
}

pub fn consumer(channel: &Channel) -> Result<Box<dyn Rx>, HandleError> {
    Ok(match channel.is_framed() {
        true => Box::new(Frames(channel.frame_consumer()?)),
        false => Box::new(Items(channel.consumer()?)),
    })
}

pub fn tx_of(channel: &Channel, token: Token) -> Result<Box<dyn Tx>, HandleError> {
    Ok(match channel.is_framed() {
        true => Box::new(Frames(channel.tx_of(token)?)),
        false => Box::new(Items(channel.tx_of(token)?)),
    })
}

/// Two who send without a handle, at once.
pub fn senders<T>(channel: &Channel, with: impl FnOnce(&mut dyn Sends, &mut dyn Sends) -> T) -> T {
    if channel.is_framed() {
        let port = channel.frame_port().expect("a ring for all");
        let sender = || Frames(port.sender().unwrap());
        with(&mut sender(), &mut sender())
    } else {
        let port = channel.port().expect("a ring for all");
        let sender = || Items(port.sender().unwrap());
        with(&mut sender(), &mut sender())
    }
}

/// Two who receive without a handle, at once.
pub fn receivers<T>(channel: &Channel, with: impl FnOnce(&mut dyn Receives, &mut dyn Receives) -> T) -> T {
    if channel.is_framed() {
        let port = channel.frame_port().expect("a ring for all");
        let receiver = || Frames(port.receiver().unwrap());
        with(&mut receiver(), &mut receiver())
    } else {
        let port = channel.port().expect("a ring for all");
        let receiver = || Items(port.receiver().unwrap());
        with(&mut receiver(), &mut receiver())
    }
}

macro_rules! passes {
    ($($handle:ty),*) => { $(
        impl Passes for $handle {
            fn begin(&mut self) -> Result<(), HandleError> {
                self.0.begin()
            }

            fn token(&mut self) -> Result<Token, HandleError> {
                self.0.token()
            }
        }
    )* };
}

passes!(Items<Producer>, Items<Consumer>, Frames<FrameProducer>, Frames<FrameConsumer>);

impl<T: Sending> Sends for Items<T> {
    fn try_send(&mut self, items: &[u64]) -> Result<usize, SendError> {
        match *items {
            [item] => self.0.try_send(item).map(usize::from),
            _ => self.0.try_send_all(items),
        }
    }

    fn reserve(&mut self, n: usize) -> usize {
        self.0.reserve(n)
    }

    fn commit(&mut self, items: &[u64]) -> Result<(), SendError> {
        // SAFETY: that many slots of eight bytes are reserved.
        unsafe {
            self.0.slots(items.len()).cast::<u64>().copy_from_nonoverlapping(items.as_ptr(), items.len())
        };
        self.0.commit(items.len())
    }

    #[cfg(feature = "kill-points")]
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn wait_for_space(&mut self, deadline: Deadline) -> Result<(), SendError> {
        self.0.wait_for_space(deadline)
    }
}

impl<T: Receiving> Receives for Items<T> {
    fn peek(&mut self, n: usize) -> Vec<u64> {
        match self.0.peek(n) {
            0 => Vec::new(),
            // SAFETY: that many messages of eight bytes are claimed.
            n => unsafe { std::slice::from_raw_parts(self.0.front(n).cast::<u64>(), n) }.to_vec(),
        }
    }

    fn release(&mut self, n: usize) {
        self.0.release(n);
    }

    fn try_receive(&mut self, n: usize) -> Vec<u64> {
        let mut buffer = vec![0_u64; n];
        match &mut buffer[..] {
            [_] => return self.0.try_receive().into_iter().collect(),
            some => {
                let received = self.0.try_receive_into(some);
                buffer.truncate(received);
            }
        }
        buffer
    }

    fn is_ended(&mut self) -> bool {
        self.0.is_ended()
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        self.0.wait_for_message(deadline)
    }
}

/// Slots of the longest frame.
const LONGEST: usize = 4;
const SLOT: usize = bchan::FRAME_SLOT;

/// The frame of a message: as long as it says, and the same in every word.
fn frame(item: u64) -> Vec<u8> {
    item.to_le_bytes().repeat((1 + item as usize % LONGEST) * SLOT / 8 - item as usize % 3)
}

/// Slots that a message takes.
#[cfg(feature = "kill-points")]
pub fn slots(item: u64, is_framed: bool) -> usize {
    if is_framed { 1 + item as usize % LONGEST } else { 1 }
}

fn kind(item: u64) -> u8 {
    item as u8
}

/// How much of it a reader says to be done with.
fn progress(item: u64) -> u8 {
    1 + (item % 200) as u8
}

/// The message of a frame, which is whole.
fn message(bytes: &[u8], of_kind: u8) -> u64 {
    let item = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == frame(item) && of_kind == kind(item), "{item:#x} is torn: {} bytes", bytes.len());
    item
}

impl<T: SendingFrames> Sends for Frames<T> {
    fn try_send(&mut self, items: &[u64]) -> Result<usize, SendError> {
        for (sent, &item) in items.iter().enumerate() {
            match self.0.try_send(&frame(item), kind(item)) {
                Ok(true) => {}
                Err(stop) if sent == 0 => return Err(stop),
                _ => return Ok(sent),
            }
        }
        Ok(items.len())
    }

    fn reserve(&mut self, _: usize) -> usize {
        self.0.reserve(LONGEST * SLOT).into()
    }

    fn commit(&mut self, items: &[u64]) -> Result<(), SendError> {
        match *items {
            [] => self.0.abort(),
            [item, ..] => {
                let bytes = frame(item);
                // SAFETY: the longest has room.
                unsafe { self.0.room().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
                self.0.commit(Frame { len: bytes.len(), kind: kind(item) })?;
            }
        }
        Ok(())
    }

    #[cfg(feature = "kill-points")]
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn wait_for_space(&mut self, deadline: Deadline) -> Result<(), SendError> {
        self.0.wait_for_room(LONGEST * SLOT, deadline)
    }
}

impl<T: ReceivingFrames> Receives for Frames<T> {
    fn peek(&mut self, _: usize) -> Vec<u64> {
        let Some(frame) = self.0.peek() else { return Vec::new() };
        // SAFETY: the message is claimed.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.front(), frame.len) };
        let item = message(bytes, frame.kind);
        assert!([0, progress(item)].contains(&self.0.progress()), "progress of another message");
        self.0.say_progress(progress(item));
        vec![item]
    }

    fn release(&mut self, n: usize) {
        match n {
            0 => self.0.hand_back(),
            _ => self.0.release(),
        }
    }

    fn try_receive(&mut self, n: usize) -> Vec<u64> {
        let mut buffer = Vec::new();
        let one = || self.0.try_receive(&mut buffer).map(|kind| message(&buffer, kind));
        std::iter::from_fn(one).take(n).collect()
    }

    fn is_ended(&mut self) -> bool {
        self.0.is_ended()
    }

    fn wait_for_message(&mut self, deadline: Deadline) -> Result<(), ReceiveError> {
        self.0.wait_for_message(deadline)
    }
}
