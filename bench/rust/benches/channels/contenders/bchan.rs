//! bchan: a lane for each producer where there is one consumer, else a ring that all share.

use bchan::{Channel, Config, Consumer, Mode, Producer, Receiving as _, Sending};

use super::{BATCH, Contender, Ends, Receiver, Sender};

pub struct Bchan;

impl Contender for Bchan {
    const NAME: &'static str = "bchan";
    const BATCH_CALLS: &'static str = "send_all, receive_into";
    type Sender = Producer;
    type Receiver = Inbox;

    fn open(capacity: usize, senders: usize, receivers: usize) -> Option<Ends<Self>> {
        let mode = if receivers == 1 { Mode::Mpsc } else { Mode::Mpmc };
        let item_size = size_of::<u64>();
        let config = Config { mode, item_size, capacity, max_producers: senders, ..Config::default() };
        let channel = Channel::new(&config).expect("a channel");
        let producer = |_| channel.producer().expect("a free place");
        let inbox = |_| Inbox { consumer: channel.consumer().expect("a free place"), batch: [0; BATCH] };
        Some(((0..senders).map(producer).collect(), (0..receivers).map(inbox).collect()))
    }
}

impl Sender for Producer {
    #[inline]
    fn send(&mut self, value: u64) {
        Sending::send(self, value).expect("open");
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
