//! crossbeam-channel's `bounded`: one ring for all, after D. Vyukov. It has no batch calls.

use crossbeam_channel::bounded;

use super::{BATCH, Contender, Ends, Receiver, Sender};

pub struct Crossbeam;

impl Contender for Crossbeam {
    const NAME: &'static str = "crossbeam-channel";
    const BATCH_CALLS: &'static str = "send one by one, recv and try_iter";
    type Sender = crossbeam_channel::Sender<u64>;
    type Receiver = Inbox;

    fn open(capacity: usize, senders: usize, receivers: usize) -> Option<Ends<Self>> {
        let (sender, receiver) = bounded(capacity);
        let inbox = |receiver| Inbox { receiver, batch: Vec::with_capacity(BATCH) };
        Some((vec![sender; senders], vec![receiver; receivers].into_iter().map(inbox).collect()))
    }
}

impl Sender for crossbeam_channel::Sender<u64> {
    #[inline]
    fn send(&mut self, value: u64) {
        crossbeam_channel::Sender::send(self, value).expect("connected");
    }

    #[inline]
    fn send_batch(&mut self, batch: &[u64; BATCH]) {
        batch.iter().for_each(|&value| Sender::send(self, value));
    }
}

pub struct Inbox {
    receiver: crossbeam_channel::Receiver<u64>,
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
            self.batch.extend(self.receiver.try_iter().take(BATCH - 1));
        }
        &self.batch
    }
}
