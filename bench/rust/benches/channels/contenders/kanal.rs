//! kanal's `bounded`: a queue behind a lock. It receives in batches and sends one by one.

use kanal::bounded;

use super::{BATCH, Contender, Ends, Receiver, Sender};

pub struct Kanal;

impl Contender for Kanal {
    const NAME: &'static str = "kanal";
    const BATCH_CALLS: &'static str = "send one by one, recv and drain_into";
    type Sender = kanal::Sender<u64>;
    type Receiver = Inbox;

    fn open(capacity: usize, senders: usize, receivers: usize) -> Option<Ends<Self>> {
        let (sender, receiver) = bounded(capacity);
        let inbox = |receiver| Inbox { receiver, batch: Vec::with_capacity(capacity) };
        Some((vec![sender; senders], vec![receiver; receivers].into_iter().map(inbox).collect()))
    }
}

impl Sender for kanal::Sender<u64> {
    #[inline]
    fn send(&mut self, value: u64) {
        kanal::Sender::send(self, value).expect("connected");
    }

    #[inline]
    fn send_batch(&mut self, batch: &[u64; BATCH]) {
        batch.iter().for_each(|&value| Sender::send(self, value));
    }
}

pub struct Inbox {
    receiver: kanal::Receiver<u64>,
    batch: Vec<u64>,
}

impl Receiver for Inbox {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.receiver.recv().ok()
    }

    #[inline]
    fn receive_batch(&mut self) -> &[u64] {
        self.batch.clear();
        if let Ok(first) = self.receiver.recv() {
            self.batch.push(first);
            // An error says that the senders are gone, and the next `recv` says it again.
            let _ = self.receiver.drain_into(&mut self.batch);
        }
        &self.batch
    }
}
