//! A signal interrupts a wait, and nothing is lost by it.

use bchan::{ReceiveSlots, Receiving, Sending};
use std::sync::mpsc;
use std::time::Duration;

use bchan::{Channel, Config, Deadline, ReceiveError, SendError, WaitError, most_cases, wait_for_any};

use crate::common::{LIMIT, spawn, until_parked};

/// Makes SIGUSR1 do nothing but interrupt.
fn install_handler() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: zeroes are a valid sigaction, and the handler touches nothing. Without SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

fn this_thread() -> usize {
    // SAFETY: it always succeeds.
    unsafe { libc::pthread_self() as usize }
}

/// Sends signals to `thread` until `done` says what it saw: one may come just before it sleeps.
fn interrupt<T>(thread: usize, done: &mpsc::Receiver<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        // SAFETY: the thread has not been joined.
        assert_eq!(unsafe { libc::pthread_kill(thread as libc::pthread_t, libc::SIGUSR1) }, 0);
        if let Ok(seen) = done.recv_timeout(Duration::from_millis(1)) {
            return seen;
        }
        assert!(start.elapsed() < LIMIT, "nothing interrupts it");
    }
}

fn channel() -> Channel {
    install_handler();
    Channel::new(&Config { item_size: 8, capacity: 1, ..Config::default() }).unwrap()
}

#[test]
fn signal_interrupts_a_receiver_and_loses_nothing() {
    let channel = channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    let (report, reports) = mpsc::channel();
    let (done, wait) = mpsc::channel();
    let receiver = spawn(move || {
        report.send(this_thread()).unwrap();
        done.send(rx.wait_for_message(Deadline::NEVER)).unwrap();
        rx.receive::<u64>()
    });
    let thread = reports.recv_timeout(LIMIT).unwrap();
    until_parked(&channel, 1);
    assert_eq!(interrupt(thread, &wait), Err(ReceiveError::Interrupted));
    tx.send(5_u64).unwrap();
    assert_eq!(receiver.join().unwrap(), Ok(5));
}

#[test]
fn signal_interrupts_a_sender_and_loses_nothing() {
    let channel = channel();
    let (mut tx, mut rx) = (channel.producer().unwrap(), channel.consumer().unwrap());
    tx.send(1_u64).unwrap();
    let (report, reports) = mpsc::channel();
    let (done, wait) = mpsc::channel();
    let sender = spawn(move || {
        report.send(this_thread()).unwrap();
        done.send(tx.wait_for_space(Deadline::NEVER)).unwrap();
        tx.send(2_u64)
    });
    let thread = reports.recv_timeout(LIMIT).unwrap();
    until_parked(&channel, 1);
    assert_eq!(interrupt(thread, &wait), Err(SendError::Interrupted));
    assert_eq!(rx.receive(), Ok(1_u64));
    assert_eq!(sender.join().unwrap(), Ok(()));
    assert_eq!(rx.receive(), Ok(2_u64));
}

#[test]
fn signal_interrupts_one_who_waits_for_several_and_loses_nothing() {
    if most_cases() == 0 {
        return;
    }
    let channels = [channel(), channel()];
    let [mut tx, _silent] = channels.each_ref().map(|channel| channel.producer().unwrap());
    let mut rxs = channels.each_ref().map(|channel| channel.consumer().unwrap());
    let (report, reports) = mpsc::channel();
    let (done, wait) = mpsc::channel();
    let receiver = spawn(move || {
        report.send(this_thread()).unwrap();
        let outcome = wait_for_any(&mut rxs.each_mut().map(ReceiveSlots::case), Deadline::NEVER);
        done.send(outcome.map(drop)).unwrap();
        let [mut rx, _other] = rxs;
        rx.receive::<u64>()
    });
    let thread = reports.recv_timeout(LIMIT).unwrap();
    until_parked(&channels[1], 1);
    assert_eq!(interrupt(thread, &wait), Err(WaitError::Interrupted));
    tx.send(5_u64).unwrap();
    assert_eq!(receiver.join().unwrap(), Ok(5));
    assert_eq!(channels[1].stats().wakes, 0);
}
