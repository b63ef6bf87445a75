//! bchan: a lane for each producer.

use bchan::{Channel, Config, Consumer, Producer};

use super::{BATCH, Contender, Receiver, Sender};

pub struct Bchan;

impl Contender for Bchan {
    const NAME: &'static str = "bchan";
    const BATCH_CALLS: &'static str = "send_all, receive_into";
    type Sender = Producer;
    type Receiver = Inbox;

    fn open(capacity: usize, senders: usize) -> Option<(Vec<Producer>, Inbox)> {
        let config = Config { item_size: size_of::<u64>(), capacity, max_producers: senders, barrier: None };
        let channel = Channel::new(&config).expect("a channel");
        let producers = (0..senders).map(|_| channel.producer().expect("a free place")).collect();
        Some((producers, Inbox { consumer: channel.consumer().expect("a free place"), batch: [0; BATCH] }))
    }
}

impl Sender for Producer {
    #[inline]
    fn send(&mut self, value: u64) {
        Producer::send(self, value).expect("open");
    }

    #[inline]
    fn send_batch(&mut self, batch: &[u64; BATCH]) {
        self.send_all(batch).expect("open");
    }
}

pub struct Inbox {
    consumer: Consumer,
    batch: [u64; BATCH],
}

impl Receiver for Inbox {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.consumer.receive().ok()
    }

    #[inline]
    fn receive_batch(&mut self) -> &[u64] {
        let received = self.consumer.receive_into(&mut self.batch).unwrap_or(0);
        &self.batch[..received]
    }
}
