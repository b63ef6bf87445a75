//! The channels that are compared, behind one interface.

pub mod array_queue;
pub mod bchan;
pub mod crossbeam;
pub mod kanal;
pub mod rtrb;

/// Messages in a batch.
pub const BATCH: usize = 64;

/// The senders and the receivers of one channel.
pub type Ends<C> = (Vec<<C as Contender>::Sender>, Vec<<C as Contender>::Receiver>);

/// A bounded channel of `u64`.
pub trait Contender: Sized {
    /// The name of its crate.
    const NAME: &'static str;
    /// The calls that send and receive a batch.
    const BATCH_CALLS: &'static str;
    /// What is to be known beside its figures.
    const NOTE: &'static str = "";
    type Sender: Sender + Send;
    type Receiver: Receiver + Send;

    /// A channel with that many senders and receivers; `None` if it can't have them.
    fn open(capacity: usize, senders: usize, receivers: usize) -> Option<Ends<Self>>;
}

/// Both calls wait while the channel is full. Dropping it says that no more will come.
pub trait Sender {
    fn send(&mut self, value: u64);
    fn send_batch(&mut self, batch: &[u64; BATCH]);
}

/// Both calls wait while the channel is empty.
pub trait Receiver {
    /// `None` when nothing more will come.
    fn receive(&mut self) -> Option<u64>;
    /// At least one message; empty when nothing more will come.
    fn receive_batch(&mut self) -> &[u64];
}
