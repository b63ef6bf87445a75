//! Alarms of channels that processes share: an eventfd belongs to one process, and who wakes may be in
//! another. So a thread of this process, the sentry, waits in the loops' stead, as any thread does, and
//! writes their alarms.
//!
//! One sentry waits at up to 127 events; more are made as they are needed. A sentry is there only while an
//! alarm is armed. While this process forks it stands still: a fork takes one thread along.

use std::io;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::broadcast::Ticket;
use super::event::has_wake_up;
use super::futex::{self, Parking, Reach};
use super::{Alarms, Broadcast, Event, alarm};
use crate::layout::EventWords;
use crate::memory::Memory;
use crate::sync::{Arc, FutexWord};

/// How a sentry finds out that it was meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// The event has a wake-up.
    Woken,
    /// The broadcast's round has ended.
    Over(Ticket),
}

/// An alarm, and the event that it is armed for.
struct Guarded {
    words: *const EventWords,
    until: Until,
    alarm: i32,
    /// Keeps the words where they are.
    memory: Arc<Memory>,
}

// SAFETY: the words are atomics, and `memory` keeps them.
unsafe impl Send for Guarded {}

static NO_ALARMS: Alarms = Alarms::none();

impl Guarded {
    fn words(&self) -> &EventWords {
        // SAFETY: `memory` keeps them.
        unsafe { &*self.words }
    }

    fn event(&self) -> Event<'_> {
        Event { words: self.words(), alarms: &NO_ALARMS, reach: Reach::Machine }
    }

    /// Whether it is time to write the alarm.
    fn is_due(&self, state: u32) -> bool {
        match self.until {
            Until::Woken => has_wake_up(state),
            Until::Over(ticket) => Broadcast::is_over(state, ticket),
        }
    }

    /// Waits there no longer.
    fn leave(&self) {
        if let Until::Woken = self.until {
            self.event().leave();
        }
    }
}

/// The alarms of one thread.
#[derive(Default)]
struct Sentry {
    guarded: Vec<Guarded>,
    thread: Option<JoinHandle<()>>,
}

struct Sentries {
    all: Mutex<Vec<Sentry>>,
    /// Changes with the lists; each sentry waits for that, too.
    orders: FutexWord,
    /// They are to stand still.
    is_halted: std::sync::atomic::AtomicBool,
}

/// Those of this process, made when first needed and never freed: threads may be in it.
static SENTRIES: AtomicPtr<Sentries> = AtomicPtr::new(std::ptr::null_mut());

fn sentries() -> Option<&'static Sentries> {
    // SAFETY: once it is there it is never freed.
    unsafe { SENTRIES.load(Ordering::Acquire).as_ref() }
}

fn make_sentries() -> &'static Sentries {
    sentries().unwrap_or_else(|| {
        let new = Sentries {
            all: Mutex::default(),
            orders: FutexWord::new(0),
            is_halted: std::sync::atomic::AtomicBool::new(false),
        };
        let (new, null) = (Box::into_raw(Box::new(new)), std::ptr::null_mut());
        if SENTRIES.compare_exchange(null, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: made above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
        }
        sentries().expect("there are some now")
    })
}

/// Events that one sentry waits at, beside its orders; without `futex_waitv` it looks at its orders only
/// when its one event wakes it.
fn most_events() -> usize {
    futex::most_words().saturating_sub(1).max(1)
}

impl Sentries {
    fn lists(&self) -> MutexGuard<'_, Vec<Sentry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has all sentries look at their lists again.
    fn give_orders(&self) {
        self.orders.fetch_add(1, Ordering::Release);
        futex::wake(&self.orders, Reach::Process, futex::ALL);
    }

    fn run(&self, number: usize) {
        loop {
            let orders = self.orders.load(Ordering::Acquire);
            let mut parkings = Vec::new();
            let kept: Vec<Arc<Memory>>;
            {
                let mut lists = self.lists();
                let Some(sentry) = lists.get_mut(number) else { return };
                sentry.guarded.retain(|guarded| {
                    let state = guarded.words().state.load(Ordering::Acquire);
                    let is_due = guarded.is_due(state);
                    if is_due {
                        // The wake-up was for the loop, and goes with the alarm.
                        guarded.leave();
                        alarm::write(guarded.alarm);
                    } else {
                        parkings.push((guarded.words, state));
                    }
                    !is_due
                });
                if sentry.guarded.is_empty() || self.is_halted.load(Ordering::Relaxed) {
                    sentry.thread = None;
                    return;
                }
                kept = sentry.guarded.iter().map(|guarded| guarded.memory.clone()).collect();
            }
            let words = parkings.iter().map(|&(words, expected)| Parking {
                // SAFETY: `kept` keeps them meanwhile.
                word: unsafe { &(*words).state },
                reach: Reach::Machine,
                expected,
            });
            let mut words: Vec<_> = words.collect();
            if futex::most_words() > 0 {
                words.push(Parking { word: &self.orders, reach: Reach::Process, expected: orders });
                futex::wait_for_any(&words, None);
            } else if let [word] = words[..] {
                futex::wait(word, None);
            }
            drop(kept);
        }
    }

    /// Sees to it that the sentry of that number is there.
    fn post(&'static self, lists: &mut [Sentry], number: usize) -> io::Result<()> {
        if lists[number].thread.is_none() && !self.is_halted.load(Ordering::Relaxed) {
            let thread = std::thread::Builder::new().name("bchan-sentry".to_owned());
            lists[number].thread = Some(thread.spawn(move || self.run(number))?);
        }
        Ok(())
    }

    /// Sees to it that each alarm has a sentry.
    fn post_all(&'static self, lists: &mut [Sentry]) -> io::Result<()> {
        for number in 0..lists.len() {
            if !lists[number].guarded.is_empty() {
                self.post(lists, number)?;
            }
        }
        Ok(())
    }
}

/// To be called after an alarm was armed: sees to it that there is a thread that will write it.
///
/// # Errors
/// What the system says, if it gives no thread. Then the alarm is to be disarmed.
pub fn check_alarms() -> io::Result<()> {
    sentries().map_or(Ok(()), |sentries| sentries.post_all(&mut sentries.lists()))
}

/// Has `alarm` written when those words say so. `prepare` says at the event that somebody waits.
pub(super) fn guard(memory: &Arc<Memory>, words: &EventWords, alarm: i32, prepare: impl FnOnce() -> Until) {
    let sentries = make_sentries();
    let mut lists = sentries.lists();
    let is_it = |guarded: &Guarded| std::ptr::eq(guarded.words, words) && guarded.alarm == alarm;
    if lists.iter().any(|sentry| sentry.guarded.iter().any(is_it)) {
        return;
    }
    let number = lists.iter().position(|sentry| sentry.guarded.len() < most_events()).unwrap_or(lists.len());
    if number == lists.len() {
        lists.push(Sentry::default());
    }
    let until = prepare();
    lists[number].guarded.push(Guarded { words, until, alarm, memory: memory.clone() });
    // Whoever armed it asks `check_alarms` whether that went well.
    let _ = sentries.post(&mut lists, number);
    drop(lists);
    sentries.give_orders();
}

/// Forgets an alarm of a channel, whatever it is armed for. After that it may be closed.
pub(super) fn forget(memory: &Arc<Memory>, alarm: i32) {
    let Some(sentries) = sentries() else { return };
    let mut lists = sentries.lists();
    let mut is_changed = false;
    for sentry in lists.iter_mut() {
        sentry.guarded.retain(|guarded| {
            let is_it = guarded.alarm == alarm && Arc::ptr_eq(&guarded.memory, memory);
            if is_it {
                guarded.leave();
                is_changed = true;
                if futex::most_words() == 0 {
                    futex::wake(&guarded.words().state, Reach::Machine, futex::ALL);
                }
            }
            !is_it
        });
    }
    drop(lists);
    if is_changed {
        sentries.give_orders();
    }
}

/// Ends all sentries before this process forks.
pub(crate) fn halt() {
    let Some(sentries) = sentries() else { return };
    sentries.is_halted.store(true, Ordering::Relaxed);
    let threads: Vec<_> = {
        let mut lists = sentries.lists();
        for guarded in lists.iter().flat_map(|sentry| &sentry.guarded) {
            if futex::most_words() == 0 {
                futex::wake(&guarded.words().state, Reach::Machine, futex::ALL);
            }
        }
        lists.iter_mut().filter_map(|sentry| sentry.thread.take()).collect()
    };
    sentries.give_orders();
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

/// Has the sentries go on.
pub(crate) fn resume() {
    let Some(sentries) = sentries() else { return };
    let mut lists = sentries.lists();
    sentries.is_halted.store(false, Ordering::Relaxed);
    if sentries.post_all(&mut lists).is_err() {
        // Their owners arm them again, and are told then.
        lists.iter().flat_map(|sentry| &sentry.guarded).for_each(|guarded| alarm::write(guarded.alarm));
    }
}

/// In the child of a fork: its parent's alarms are not its own. Nothing is freed, as a lock may be held
/// for ever.
pub(crate) fn inherit_nothing() {
    SENTRIES.store(std::ptr::null_mut(), Ordering::Release);
}
