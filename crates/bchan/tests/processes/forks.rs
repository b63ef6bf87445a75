//! Handles that pass between processes: by a fork, and by a token.
//!
//! A fork takes along one thread, so what forks is a process of its own that has no other.

use std::sync::atomic::Ordering;

use bchan::process::{after_fork_in_child, after_fork_in_parent, before_fork};
use bchan::{Deadline, HandleError, Items, Producer, ReceiveError, Receiving, Sending, Token};

use crate::Kind;
use crate::child::{End, Order, Stage};
use crate::observers::{DeathObservers, LIMIT, soon, within};

const KINDS: [Kind; 4] = Kind::ITEMS;

/// Starts a process that forks, and sees it end well.
fn play(role: &'static str, kind: Kind) {
    let observers = DeathObservers::new(kind, 64);
    let mut process = Order::new(role, 1, kind).start(&observers.channel, &observers.ledger);
    assert_eq!(process.wait(LIMIT), Some(End::Left), "{role} {kind:?}");
}

#[test]
fn fresh_handle_is_the_childs_once_it_begins() {
    KINDS.iter().for_each(|&kind| play("fork_and_adopt", kind));
}

#[test]
fn fresh_handle_is_the_parents_once_it_begins() {
    KINDS.iter().for_each(|&kind| play("fork_and_keep", kind));
}

#[test]
fn used_handle_is_refused_to_the_child() {
    KINDS.iter().for_each(|&kind| play("fork_when_used", kind));
}

#[test]
fn adopted_handle_is_cleared_up_after_when_the_child_is_killed() {
    KINDS.iter().for_each(|&kind| play("fork_and_kill", kind));
}

#[test]
fn child_waits_for_its_parent_and_the_parent_for_its_child() {
    KINDS.iter().for_each(|&kind| play("fork_and_talk", kind));
}

/// Forks; the child does its work and leaves.
fn fork_with(work: impl FnOnce()) -> libc::pid_t {
    before_fork();
    // SAFETY: this process has no other thread that works: the test harness' own only waits.
    match unsafe { libc::fork() } {
        0 => {
            after_fork_in_child();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the process, without what the parent has yet to do.
            unsafe { libc::_exit(outcome.is_err().into()) }
        }
        pid => {
            assert!(pid > 0);
            after_fork_in_parent();
            pid
        }
    }
}

/// Waits for a child that leaves by itself.
fn reap(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: a child of ours, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "the child failed");
}

/// What the forking processes do.
pub fn fork(role: &str, stage: &Stage) {
    let channel = &stage.channel;
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let is_elsewhere = |tx: &mut Producer| matches!(tx.begin(), Err(HandleError::Elsewhere { .. }));
    match role {
        "fork_and_adopt" => {
            let mut adopted = Some(tx);
            let child = fork_with(|| {
                let tx = adopted.as_mut().unwrap();
                tx.begin().unwrap();
                (0..5).for_each(|item| tx.send::<u64>(item).unwrap());
                // Who ends by `_exit` drops nothing.
                drop(adopted.take());
            });
            soon(|| (channel.stats().sent >= 1).then_some(()));
            assert!(is_elsewhere(adopted.as_mut().unwrap()));
            // The parent's copy goes, and the child's stays.
            drop(adopted);
            assert_eq!(receive_all(&mut rx), [0, 1, 2, 3, 4]);
            reap(child);
        }
        "fork_and_keep" => {
            let child = fork_with(|| {
                soon(|| (channel.stats().sent >= 1).then_some(()));
                assert!(is_elsewhere(&mut tx));
            });
            tx.begin().unwrap();
            tx.send(7_u64).unwrap();
            reap(child);
            tx.send(8_u64).unwrap();
            drop(tx);
            assert_eq!(receive_all(&mut rx), [7, 8]);
        }
        "fork_when_used" => {
            tx.begin().unwrap();
            reap(fork_with(|| assert!(is_elsewhere(&mut tx))));
            tx.send(7_u64).unwrap();
            assert_eq!(rx.try_receive(), Some(7_u64));
        }
        "fork_and_kill" => {
            let child = fork_with(|| {
                tx.begin().unwrap();
                tx.send(7_u64).unwrap();
                let _ = tx.reserve(1);
                // SAFETY: ends this process.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            });
            assert_eq!(rx.receive(), Ok(7_u64));
            drop(tx);
            // No deadline: told by the death alone.
            assert_eq!(rx.receive::<u64>(), Err(ReceiveError::Ended));
            assert_eq!(channel.stats().deaths, 1);
            let mut status = 0;
            // SAFETY: a child of ours, and a place for its status.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        }
        _ => {
            // The child watches its parent, and sleeps; the parent watches its child after that.
            let mut adopted = Some(tx);
            let child = fork_with(|| {
                let tx = adopted.as_mut().unwrap();
                tx.begin().unwrap();
                (0..1000).for_each(|item| tx.send::<u64>(item).unwrap());
                drop(adopted.take());
            });
            drop(adopted);
            assert_eq!(receive_all(&mut rx), (0..1000).collect::<Vec<_>>());
            reap(child);
        }
    }
}

fn receive_all(rx: &mut bchan::Consumer) -> Vec<u64> {
    std::iter::from_fn(|| rx.receive().ok()).collect()
}

// By a token.

#[test]
fn token_is_taken_over_once() {
    for kind in KINDS {
        let mut observers = DeathObservers::new(kind, 64);
        let token = observers.producer().token().unwrap();
        let mut order = Order::new("taker", 1, kind);
        order.token = Some(token);
        let mut first = order.start(&observers.channel, &observers.ledger);
        soon(|| (observers.ledger.ready().load(Ordering::Acquire) == 1).then_some(()));
        // Taken over, it is refused to whoever comes second.
        assert!(matches!(observers.channel.tx_of::<Items>(token), Err(HandleError::Elsewhere { .. })));
        observers.add_consumer();
        observers.ledger.stop().store(1, Ordering::Release);
        assert_eq!(first.wait(LIMIT), Some(End::Left));
        let (channel, ledger) = (observers.channel.clone(), observers.end());
        assert_eq!((ledger.notes().len(), channel.stats().deaths), (3, 0), "{kind:?}");
    }
}

#[test]
fn token_that_nobody_took_over_goes_with_its_sender() {
    for kind in KINDS {
        let observers = DeathObservers::new(kind, 64);
        let mut sender = Order::new("token_sender", 1, kind).start(&observers.channel, &observers.ledger);
        let registry_slot = soon(|| observers.ledger.ready().load(Ordering::Acquire).checked_sub(1)) as usize;
        let mut rx = observers.consumer();
        let (ended, wait) = std::sync::mpsc::channel();
        let receiver = std::thread::spawn(move || {
            let _ = rx.wait_for_message(Deadline::NEVER);
            ended.send(rx.is_ended())
        });
        soon(|| (observers.channel.stats().waits > 0).then_some(()));
        sender.kill();
        sender.wait(LIMIT).unwrap();
        assert_eq!(wait.recv_timeout(LIMIT), Ok(true), "{kind:?}");
        receiver.join().unwrap().unwrap();
        let word = observers.ledger.tried(0).load(Ordering::Acquire);
        let late = observers.channel.tx_of::<Items>(Token { registry_slot, word });
        assert_eq!(late.unwrap_err(), HandleError::TakenBack, "{kind:?}");
    }
}

#[test]
fn forged_tickets_are_refused() {
    for kind in KINDS {
        let observers = DeathObservers::new(kind, 64);
        let free = within({
            let channel = observers.channel.clone();
            move || {
                let tokens =
                    [(0, 0), (0, 1 << 62), (1 << 40, 1 << 62), (usize::MAX, u64::MAX), (0, u64::MAX)];
                tokens.into_iter().all(|(registry_slot, word)| {
                    channel.tx_of::<Items>(Token { registry_slot, word }).is_err()
                })
            }
        });
        assert!(free);
        assert_eq!(observers.channel.active_producers(), 0);
    }
}

/// Takes a handle over, and uses it.
pub fn take_over(stage: &Stage) {
    let mut tx = crate::handles::tx_of(&stage.channel, stage.token.unwrap()).unwrap();
    let mut account = crate::programs::Account::new(&stage.ledger);
    assert_eq!(account.send(&mut *tx, 3), Ok(3));
    stage.is_ready();
    while stage.is_on() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Sends a handle away, for nobody, and stays.
pub fn send_token(stage: &Stage) {
    let Token { registry_slot, word } = stage.channel.producer().unwrap().token().unwrap();
    stage.ledger.tried(0).store(word, Ordering::Release);
    stage.ledger.ready().store(registry_slot as u64 + 1, Ordering::Release);
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
