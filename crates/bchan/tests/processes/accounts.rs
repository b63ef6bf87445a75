//! The checker: all that was noted against all that was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use bchan::Channel;

use crate::Kind;
#[cfg(feature = "kill-points")]
use crate::handles::slots;
use crate::ledger::{Ledger, Message};

/// Checks the promise, once nobody sends or receives any more; `killed` are the consumers who died.
pub fn check(ledger: &Ledger, kind: Kind, killed: &BTreeSet<usize>) {
    let notes = ledger.notes();
    let mut seen: BTreeMap<Message, Vec<usize>> = BTreeMap::new();
    notes.iter().for_each(|note| seen.entry(note.message).or_default().push(note.consumer));

    for (message, consumers) in &seen {
        let observers = consumers.iter().filter(|consumer| !killed.contains(consumer)).count();
        assert!(observers <= 1, "{message:?} came twice, to {consumers:?}; killed were {killed:?}");
    }
    for producer in 0..ledger.producers() {
        let (tried, sent) =
            (ledger.tried(producer).load(Ordering::Acquire), ledger.sent(producer).load(Ordering::Acquire));
        let all = Message { producer, sequence: 0 }..Message { producer, sequence: u64::MAX };
        let came: Vec<u64> = seen.range(all).map(|(message, _)| message.sequence).collect();
        let first: Vec<u64> = (0..came.len() as u64).collect();
        assert_eq!(came, first, "of producer {producer}, who has sent {sent} and tried {tried}");
        let n = came.len() as u64;
        assert!(
            (sent..=tried).contains(&n),
            "{n} of producer {producer} came, of {sent} sent, {tried} tried"
        );
    }
    // With one consumer at a time what comes again comes before the rest; else it comes whenever it is found.
    let mut last: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for note in notes {
        let is_new = known.insert(note.message);
        let reader = if kind.has_many_consumers() { note.consumer } else { 0 };
        if is_new && (killed.is_empty() || !kind.has_many_consumers()) {
            let before = last.insert((reader, note.message.producer), note.message.sequence);
            assert!(before < Some(note.message.sequence), "{note:?} came after {before:?}");
        }
    }
}

/// Checks the counters of a channel that has been drained: each message was counted once, and each slot of a
/// ring was sent or given up.
pub fn check_counters(ledger: &Ledger, channel: &Channel) {
    let messages: BTreeSet<Message> = ledger.notes().iter().map(|note| note.message).collect();
    let stats = channel.stats();
    let known = messages.len() as u64;
    assert_eq!((stats.sent, stats.received, channel.len()), (known, known, 0), "{stats:?}");
    #[cfg(feature = "kill-points")]
    if let Some(claimed) = channel.slots_claimed() {
        let sent: usize = messages.iter().map(|message| slots(message.word(), channel.is_framed())).sum();
        assert_eq!(stats.abandoned, claimed - sent as u64, "of {claimed} slots claimed, {sent} sent");
    }
}
