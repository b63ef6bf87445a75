//! Wakers: eventfds that wake an event loop, or a thread that waits for more events than it can park at.
//!
//! A waker is armed while its owner has nothing to do, and written once: messages that come while
//! the owner is busy cost nothing. It belongs to this process, so it lives beside the channel's memory
//! and not in it. Where other processes share that, they could not find it: see `relay`.
//!
//! # Turns
//! First come, first served. A waker keeps its place from the first [`add`](Wakers::add) to
//! [`remove`](Wakers::remove), also once it was written: its owner takes its message first, and only then
//! leaves the line. An owner that was woken in vain, because a newcomer was faster, adds its waker again at
//! its old place, and is then *passed over*: newcomers line up behind it, whatever they would find.
//!
//! Threads wait in a line of their own, the kernel's. Each waker knows how many of them came before it.

use std::cell::Cell;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::relay;
use crate::layout::EventWords;
use crate::memory::Memory;
use crate::sync::{Arc, Ordering};

/// How long the owner of a written waker counts as on its way: its event loop may be busy, or have ended.
///
/// A heuristic, with two costs. An owner that never looks holds those behind it up for so long, once. One
/// whose loop is busy for longer loses its precedence, and a newcomer may be served before it.
pub(super) const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// Where the owner of a waker stands in a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// When it lined up.
    since: Instant,
    /// When it was woken; `None` while it sleeps.
    woken: Option<Instant>,
    /// It was woken in vain before.
    is_passed_over: bool,
}

impl Turn {
    /// At the end of the line.
    pub(super) fn last() -> Self {
        Self { since: Instant::now(), woken: None, is_passed_over: false }
    }

    /// Whether it has lined up before `moment`, and sleeps or is on its way.
    pub(super) fn is_from_before(self, moment: Instant) -> bool {
        self.since < moment && (self.is_asleep() || self.is_on_its_way())
    }

    pub(super) fn is_asleep(self) -> bool {
        self.woken.is_none()
    }

    /// Whether it was woken a moment ago, and has not looked.
    pub(super) fn is_on_its_way(self) -> bool {
        self.woken.is_some_and(|woken| woken.elapsed() < ON_ITS_WAY)
    }

    /// Whether those behind it must let it go first.
    pub(super) fn has_precedence(self) -> bool {
        self.is_passed_over && (self.is_asleep() || self.is_on_its_way())
    }

    pub(super) fn wake(&mut self) {
        self.woken = Some(Instant::now());
    }

    /// It goes back to sleep, if it was woken.
    pub(super) fn was_in_vain(&mut self) {
        self.is_passed_over |= self.woken.take().is_some();
    }
}

/// The line of the wakers at one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// In the memory of the channel whose wakers they are.
    pub(super) words: &'a EventWords,
    /// What says in its state that a waker is asleep.
    pub(super) flag: u32,
}

impl Line<'_> {
    // Relaxed: the caller's heavy barrier orders it before the look that follows.
    fn set_flag(self) {
        self.words.state.fetch_or(self.flag, Ordering::Relaxed);
    }

    fn clear_flag(self) {
        self.words.state.fetch_and(!self.flag, Ordering::Relaxed);
    }
}

/// A waker at an event.
#[derive(Debug)]
struct Armed {
    words: *const EventWords,
    flag: u32,
    waker: i32,
    turn: Turn,
    /// Threads that wait at the event and came before it, at most.
    threads_before: u32,
}

// SAFETY: the words are atomics in the memory of the channel, which outlives its wakers.
unsafe impl Send for Armed {}

impl Armed {
    fn line(&self) -> Line<'_> {
        // SAFETY: the channel's memory outlives its wakers.
        Line { words: unsafe { &*self.words }, flag: self.flag }
    }

    fn is_in(&self, line: Line<'_>) -> bool {
        std::ptr::eq(self.words, line.words)
    }

    fn sleeps_in(&self, line: Line<'_>) -> bool {
        self.is_in(line) && self.turn.is_asleep()
    }
}

/// The wakers of a channel that are armed, oldest first.
#[derive(Debug)]
pub(crate) struct Wakers {
    armed: Mutex<Vec<Armed>>,
    /// The channel's memory, if processes share it.
    pub(super) shared: Option<Arc<Memory>>,
}

impl Wakers {
    pub(crate) const fn none() -> Self {
        Self { armed: Mutex::new(Vec::new()), shared: None }
    }

    pub(crate) fn of(memory: &Arc<Memory>) -> Self {
        Self { shared: memory.is_shared().then(|| memory.clone()), ..Self::none() }
    }

    /// Puts a waker at the end of a line, or has it sleep again at its place. Tells whether it may look:
    /// false if one before it has precedence.
    pub(super) fn add(&self, line: Line<'_>, waker: i32, threads_before: u32) -> bool {
        let mut armed = self.armed();
        let place = armed.iter().position(|it| it.is_in(line) && it.waker == waker);
        if place.is_none() && !has_room(&mut armed) {
            return false;
        }
        match place {
            Some(place) => armed[place].turn.was_in_vain(),
            None => {
                let Line { words, flag } = line;
                armed.push(Armed { words, flag, waker, turn: Turn::last(), threads_before });
            }
        }
        line.set_flag();
        let before = &armed[..place.unwrap_or(armed.len() - 1)];
        !before.iter().any(|it| it.is_in(line) && it.turn.has_precedence())
    }

    /// Forgets a waker, whatever it is armed for. After that it may be closed.
    pub(crate) fn remove(&self, waker: i32) {
        if let Some(memory) = &self.shared {
            return relay::forget(memory, waker);
        }
        let mut armed = self.armed();
        let left: Vec<_> = armed.extract_if(.., |it| it.waker == waker).collect();
        left.iter().for_each(|it| clear_if_none_sleeps(&armed, it.line()));
    }

    /// Whether it is a waker's turn, before that of the `threads` which wait at the event. If not, one of
    /// them is about to be woken.
    pub(super) fn is_turn(&self, line: Line<'_>, threads: u32) -> bool {
        let mut armed = self.armed();
        let mut sleeping = armed.iter_mut().filter(|it| it.sleeps_in(line));
        let Some(first) = sleeping.next() else { return false };
        first.threads_before = first.threads_before.min(threads);
        if first.threads_before == 0 {
            return true;
        }
        first.threads_before -= 1;
        sleeping.for_each(|it| it.threads_before = it.threads_before.saturating_sub(1));
        false
    }

    /// Writes the oldest `most` wakers of a line that sleep; tells how many there were.
    ///
    /// They are written under the lock, so that none is closed meanwhile: its owner removes it first.
    pub(super) fn ring(&self, line: Line<'_>, most: usize) -> usize {
        ring(&mut self.armed(), line, most)
    }

    /// As [`ring`](Self::ring) for the next one, unless one that has precedence is on its way: it may need
    /// more than those behind it, and would come away empty for ever.
    pub(super) fn ring_in_order(&self, line: Line<'_>) -> usize {
        let mut armed = self.armed();
        let mut those_in_line = armed.iter().filter(|it| it.is_in(line)).map(|it| it.turn);
        match those_in_line.find(|turn| turn.is_asleep() || turn.has_precedence()) {
            Some(turn) if turn.is_asleep() => ring(&mut armed, line, 1),
            _ => 0,
        }
    }

    /// Whether the owner of a waker was woken a moment ago, and will look.
    pub(super) fn is_one_on_its_way(&self, line: Line<'_>) -> bool {
        match &self.shared {
            Some(_) => relay::is_one_on_its_way(line.words),
            None => self.armed().iter().any(|it| it.is_in(line) && it.turn.is_on_its_way()),
        }
    }

    /// Whether a task of this process waits or is on its way that has lined up before `moment`.
    pub(super) fn has_one_from_before(&self, line: Line<'_>, moment: Instant) -> bool {
        match &self.shared {
            Some(_) => relay::has_one_from_before(line.words, moment),
            None => self.armed().iter().any(|it| it.is_in(line) && it.turn.is_from_before(moment)),
        }
    }

    fn armed(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// Whether there was no memory for the waker that this thread armed last.
    static IS_SHORT: Cell<bool> = const { Cell::new(false) };
}

/// Makes room in a list of wakers for one more; if there is none, that is told by [`check_wakers`].
pub(super) fn has_room<T>(wakers: &mut Vec<T>) -> bool {
    let has_room = wakers.try_reserve(1).is_ok();
    if !has_room {
        IS_SHORT.set(true);
    }
    has_room
}

/// To be called after a waker was armed, by the thread that did: sees to it that it will be written.
///
/// # Errors
/// No memory for it, or what the system says if it gives no thread. Then the waker is to be disarmed.
pub fn check_wakers() -> io::Result<()> {
    match IS_SHORT.take() {
        true => Err(io::ErrorKind::OutOfMemory.into()),
        false => relay::check(),
    }
}

fn ring(armed: &mut [Armed], line: Line<'_>, most: usize) -> usize {
    let mut written = 0;
    for it in armed.iter_mut().filter(|it| it.sleeps_in(line)).take(most) {
        it.turn.wake();
        write(it.waker);
        written += 1;
    }
    clear_if_none_sleeps(armed, line);
    written
}

/// Takes the flag away with the last waker that sleeps.
fn clear_if_none_sleeps(armed: &[Armed], line: Line<'_>) {
    if !armed.iter().any(|it| it.sleeps_in(line)) {
        line.clear_flag();
    }
}

/// Makes an eventfd (or a pipe's end) readable. One that is full is readable already.
#[cfg(unix)]
pub(super) fn write(waker: i32) {
    // SAFETY: its owner keeps it open while it is armed.
    let waker = unsafe { std::os::fd::BorrowedFd::borrow_raw(waker) };
    let _ = rustix::io::write(waker, &1_u64.to_ne_bytes());
}

#[cfg(not(unix))]
fn write(_waker: i32) {
    unreachable!("there are no wakers here");
}
