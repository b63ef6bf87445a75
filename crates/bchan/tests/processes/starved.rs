//! A process without a descriptor left: it takes nobody for dead who lives, and hears of a death all the
//! same.

use std::sync::atomic::Ordering;

use crate::Kind;
use crate::child::{End, Order};
use crate::observers::{DeathObservers, LIMIT, soon};
use crate::programs::Account;

#[test]
fn process_without_descriptors_hears_of_deaths() {
    for kind in [Kind::Mpsc, Kind::Mpmc] {
        let observers = DeathObservers::new(kind, 16);
        let mut tx = observers.producer();
        let mut prey = Order::new("producer", 3, kind);
        prey.seed = 1;
        let mut prey = prey.start(&observers.channel, &observers.ledger);
        let mut starved = Order::new("starved", 1, kind).start(&observers.channel, &observers.ledger);
        soon(|| (observers.ledger.ready().load(Ordering::Acquire) == 2).then_some(()));
        let mut account = Account::new(&observers.ledger);
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(2));
            // It would find no place if it had been taken for dead, and its messages no reader.
            while account.send(&mut *tx, 1) != Ok(1) {
                std::thread::yield_now();
            }
        }
        prey.kill();
        prey.wait(LIMIT).unwrap();
        soon(|| (observers.channel.active_producers() == 1).then_some(()));
        account.send(&mut *tx, 1).unwrap();
        drop(tx);
        assert_eq!(starved.wait(LIMIT), Some(End::Left), "{kind:?}");
        let mine =
            observers.ledger.notes().into_iter().filter(|note| note.message.producer == account.producer());
        assert_eq!(mine.count(), 21);
    }
}
