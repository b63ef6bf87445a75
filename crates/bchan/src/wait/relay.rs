//! Wakers of channels that processes share: an eventfd belongs to one process, and who wakes may be in
//! another. So a thread of this process, the relay, waits in the loops' stead, as any thread does, and
//! writes their wakers.
//!
//! One relay waits at up to 127 events; more are made as they are needed. A relay is there only while an
//! waker is armed. While this process forks it stands still: a fork takes one thread along.
//!
//! All wakers at one event are with one relay, in the order in which they came: as beside a channel of one
//! process ([`Wakers`]), a waker keeps its place until it is forgotten, and the first is woken first.
//!
//! A relay is also the *lookout* for channels at which threads of this process sleep, or wakers are armed: it
//! waits for newcomers there, and has them watched, without waking those who wait in line.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicPtr, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::broadcast::Epoch;
use super::event::has_wake_up;
use super::futex::{self, Parking, Reach};
use super::waker::Turn;
use super::{Broadcast, Event, Wakers, waker};
use crate::layout::EventWords;
use crate::memory::Memory;
use crate::sync::{Arc, FutexWord};

/// How a relay finds out that it was meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// The event has a wake-up.
    Woken,
    /// The broadcast's round has ended.
    Over(Epoch),
}

/// A waker, and the event that it is armed for.
struct Guarded {
    words: *const EventWords,
    until: Until,
    waker: i32,
    turn: Turn,
    /// Keeps the words where they are.
    memory: Arc<Memory>,
}

// SAFETY: the words are atomics, and `memory` keeps them.
unsafe impl Send for Guarded {}

static NO_WAKERS: Wakers = Wakers::none();

thread_local! {
    /// Whether this thread is a relay.
    static IS_RELAY: Cell<bool> = const { Cell::new(false) };
}

impl Guarded {
    fn words(&self) -> &EventWords {
        // SAFETY: `memory` keeps them.
        unsafe { &*self.words }
    }

    fn event(&self) -> Event<'_> {
        Event { words: self.words(), wakers: &NO_WAKERS, reach: Reach::Machine }
    }

    fn broadcast(&self) -> Broadcast<'_> {
        Broadcast { words: self.words(), wakers: &NO_WAKERS, reach: Reach::Machine, since: None }
    }

    /// Whether it is time to write the waker.
    fn is_due(&self, state: u32) -> bool {
        match self.until {
            Until::Woken => has_wake_up(state),
            Until::Over(epoch) => Broadcast::is_over(state, epoch),
        }
    }

    /// Waits there no longer.
    fn leave(&self) {
        if let Until::Woken = self.until
            && self.turn.is_asleep()
        {
            self.event().leave();
        }
    }

    fn is_at(&self, words: *const EventWords) -> bool {
        std::ptr::eq(self.words, words)
    }

    fn wake(&mut self) {
        // The wake-up was for the loop, and goes with the waker.
        self.leave();
        self.turn.wake();
        waker::write(self.waker);
    }
}

/// What is done about newcomers.
pub(crate) type Meet = std::sync::Arc<dyn Fn() + Send + Sync>;

/// A channel to which somebody may come.
struct Lookout {
    memory: Arc<Memory>,
    meet: Meet,
    /// Its count of those who came, when they were met.
    met: u32,
}

impl Lookout {
    fn registrations(&self) -> &FutexWord {
        &self.memory.header().registrations
    }

    /// No thread is to be had: from now on newcomers wake all who sleep.
    fn give_up(&self) {
        self.memory.header().needs_rousing.store(1, Ordering::Relaxed);
        // Forbids: a newcomer misses that it has to wake them, and we miss the newcomer.
        fence(Ordering::SeqCst);
    }
}

/// Words that a relay waits to see changed; the memory keeps them.
type Watched = (Arc<Memory>, *const FutexWord, u32);

/// The wakers and lookouts of one thread.
#[derive(Default)]
struct Relay {
    guarded: Vec<Guarded>,
    lookouts: Vec<Lookout>,
    thread: Option<JoinHandle<()>>,
    /// The memory that its thread uses.
    used: Vec<*const Memory>,
}

// SAFETY: the pointers are compared only.
unsafe impl Send for Relay {}

impl Relay {
    fn is_at(&self, words: *const EventWords) -> bool {
        self.guarded.iter().any(|guarded| guarded.is_at(words))
    }

    /// At how many events it waits.
    fn events(&self) -> usize {
        let mut events: Vec<*const EventWords> = Vec::new();
        for guarded in &self.guarded {
            if !events.contains(&guarded.words) {
                events.push(guarded.words);
            }
        }
        events.len() + self.lookouts.len()
    }

    fn is_idle(&self) -> bool {
        self.guarded.is_empty() && self.lookouts.is_empty()
    }

    /// What to do about those who came since the last call; and the words that tell of the next.
    fn look_out(&mut self) -> (Vec<Meet>, Vec<Watched>) {
        self.lookouts.retain(|lookout| !lookout.memory.asleep.dismiss());
        let mut due = Vec::new();
        let mut watched = Vec::new();
        for lookout in &mut self.lookouts {
            let now = lookout.registrations().load(Ordering::Acquire);
            if std::mem::replace(&mut lookout.met, now) != now {
                due.push(lookout.meet.clone());
            }
            watched.push((lookout.memory.clone(), std::ptr::from_ref(lookout.registrations()), now));
        }
        (due, watched)
    }

    /// Writes the wakers whose turn it is; gives the events of the others, with the states that they wait to
    /// see changed.
    fn look(&mut self) -> Vec<Watched> {
        let mut parkings: Vec<Watched> = Vec::new();
        for n in 0..self.guarded.len() {
            let guarded = &self.guarded[n];
            let word: *const FutexWord = &*guarded.words().state;
            // Each event once: a wake-up that comes meanwhile is for the first who waits there.
            if !guarded.turn.is_asleep() || parkings.iter().any(|it| std::ptr::eq(it.1, word)) {
                continue;
            }
            let (memory, state) = (guarded.memory.clone(), guarded.words().state.load(Ordering::Acquire));
            if guarded.is_due(state) && self.goes_next(n) {
                self.guarded[n].wake();
            } else {
                parkings.push((memory, word, state));
            }
        }
        parkings
    }

    /// Whether a waker that is due may be written now. Of those that wait for the end of a round one is, and
    /// the others wait for the end of the next.
    fn goes_next(&mut self, n: usize) -> bool {
        let words = self.guarded[n].words;
        let Until::Over(_) = self.guarded[n].until else { return true };
        let is_held_up = self.guarded[..n].iter().any(|it| it.is_at(words) && it.turn.has_precedence());
        let next = self.guarded[n].broadcast().prepare();
        // Forbids: somebody makes space and misses that these wait, and the one that is woken now misses the
        // space.
        fence(Ordering::SeqCst);
        for it in self.guarded.iter_mut().filter(|it| it.is_at(words) && it.turn.is_asleep()) {
            it.until = Until::Over(next);
        }
        !is_held_up
    }
}

struct Relays {
    all: Mutex<Vec<Relay>>,
    /// One of them uses other memory than before.
    moved: Condvar,
    /// Changes with the lists; each relay waits for that, too.
    orders: FutexWord,
    /// They are to stand still.
    is_halted: std::sync::atomic::AtomicBool,
}

/// Those of this process, made when first needed and never freed: threads may be in it.
static RELAYS: AtomicPtr<Relays> = AtomicPtr::new(std::ptr::null_mut());

fn relays() -> Option<&'static Relays> {
    // SAFETY: once it is there it is never freed.
    unsafe { RELAYS.load(Ordering::Acquire).as_ref() }
}

fn make_relays() -> &'static Relays {
    relays().unwrap_or_else(|| {
        let new = Relays {
            all: Mutex::default(),
            moved: Condvar::new(),
            orders: FutexWord::new(0),
            is_halted: std::sync::atomic::AtomicBool::new(false),
        };
        let (new, null) = (Box::into_raw(Box::new(new)), std::ptr::null_mut());
        if RELAYS.compare_exchange(null, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: made above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
        }
        relays().expect("there are some now")
    })
}

/// Events that one relay waits at, beside its orders; without `futex_waitv` it looks at its orders only
/// when its one event wakes it.
fn most_events() -> usize {
    futex::most_words().saturating_sub(1).max(1)
}

impl Relays {
    fn lists(&self) -> MutexGuard<'_, Vec<Relay>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has all relays look at their lists again.
    fn give_orders(&self) {
        self.orders.fetch_add(1, Ordering::Release);
        futex::wake(&self.orders, Reach::Process, futex::ALL);
    }

    fn run(&self, number: usize) {
        IS_RELAY.set(true);
        loop {
            let orders = self.orders.load(Ordering::Acquire);
            let Some((due, parkings)) = self.look(number) else { return };
            // Not under the lock: a channel may go meanwhile, or one that is dead be cleared up after.
            due.iter().for_each(|meet| meet());
            drop(due);
            let words = parkings.iter().map(|(_memory, word, expected)| Parking {
                // SAFETY: the memory is kept meanwhile.
                word: unsafe { &**word },
                reach: Reach::Machine,
                expected: *expected,
            });
            let mut words: Vec<_> = words.collect();
            let orders = Parking { word: &self.orders, reach: Reach::Process, expected: orders };
            match &words[..] {
                [] => drop(futex::wait(orders, None)),
                _ if futex::most_words() > 0 => {
                    words.push(orders);
                    futex::wait_for_any(&words, None);
                }
                [word, ..] => drop(futex::wait(*word, None)),
            }
        }
    }

    /// What a relay has to do about newcomers, and at what it then waits; `None` if it is to end.
    fn look(&self, number: usize) -> Option<(Vec<Meet>, Vec<Watched>)> {
        let mut lists = self.lists();
        let relay = lists.get_mut(number)?;
        let mut parkings = relay.look();
        let (due, newcomers) = relay.look_out();
        parkings.extend(newcomers);
        let has_ended = relay.is_idle() || self.is_halted.load(Ordering::Relaxed);
        relay.used.clear();
        if has_ended {
            relay.thread = None;
        } else {
            relay.used.extend(parkings.iter().map(|(memory, ..)| Arc::as_ptr(memory)));
        }
        self.moved.notify_all();
        (!has_ended).then_some((due, parkings))
    }

    /// Sees to it that the relay of that number is there.
    fn post(&'static self, lists: &mut [Relay], number: usize) -> io::Result<()> {
        if lists[number].thread.is_none() && !self.is_halted.load(Ordering::Relaxed) {
            let thread = std::thread::Builder::new().name("bchan-relay".to_owned());
            lists[number].thread = Some(thread.spawn(move || self.run(number))?);
        }
        Ok(())
    }

    /// Sees to it that each waker has a relay.
    fn post_all(&'static self, lists: &mut [Relay]) -> io::Result<()> {
        for number in 0..lists.len() {
            if !lists[number].is_idle() {
                self.post(lists, number)?;
            }
        }
        Ok(())
    }
}

/// Sees to it that there is a thread that will write the wakers.
pub(super) fn check() -> io::Result<()> {
    relays().map_or(Ok(()), |relays| relays.post_all(&mut relays.lists()))
}

/// Has `waker` written when those words say so; again, at its old place, if it was. `prepare` says at the
/// event that somebody waits. Tells whether its owner may go on if it finds something: false if one before it
/// in the line was woken in vain.
pub(super) fn guard(
    memory: &Arc<Memory>,
    words: &EventWords,
    waker: i32,
    prepare: impl FnOnce() -> Until,
) -> bool {
    let relays = make_relays();
    let mut lists = relays.lists();
    let has_room = |relay: &Relay| relay.events() < most_events();
    let number = lists.iter().position(|relay| relay.is_at(words));
    let number = number.or_else(|| lists.iter().position(has_room)).unwrap_or(lists.len());
    if number == lists.len() {
        lists.push(Relay::default());
    }
    let guarded = &mut lists[number].guarded;
    let place = guarded.iter().position(|it| it.is_at(words) && it.waker == waker).unwrap_or(guarded.len());
    let may_look = !guarded[..place].iter().any(|it| it.is_at(words) && it.turn.has_precedence());
    if place == guarded.len() && !waker::has_room(guarded) {
        return false;
    }
    match guarded.get_mut(place) {
        Some(it) if it.turn.is_asleep() => return may_look,
        Some(it) => {
            it.turn.was_in_vain();
            it.until = prepare();
        }
        None => {
            memory.asleep.enter();
            let (until, turn, memory) = (prepare(), Turn::last(), memory.clone());
            guarded.push(Guarded { words, until, waker, turn, memory });
        }
    }
    // Whoever armed it asks `check_wakers` whether that went well.
    let _ = relays.post(&mut lists, number);
    drop(lists);
    relays.give_orders();
    may_look
}

/// Wakes the lookouts of all processes.
pub(crate) fn tell_lookouts(registrations: &FutexWord, reach: Reach) {
    futex::wake(registrations, reach, futex::ALL);
}

/// Has this process look out for newcomers to a channel while anybody waits there; where that can't be,
/// newcomers wake all who wait, from now on.
pub(crate) fn look_out(memory: &Arc<Memory>, meet: Meet) {
    let met = memory.header().registrations.load(Ordering::Acquire);
    let lookout = Lookout { memory: memory.clone(), meet, met };
    match post_lookout(lookout) {
        Ok(()) => memory.asleep.set_lookout(),
        Err(lookout) => lookout.give_up(),
    }
}

fn post_lookout(lookout: Lookout) -> Result<(), Lookout> {
    if futex::most_words() == 0 {
        return Err(lookout);
    }
    let relays = make_relays();
    let mut lists = relays.lists();
    if lists.iter().flat_map(|it| &it.lookouts).any(|it| Arc::ptr_eq(&it.memory, &lookout.memory)) {
        return Ok(());
    }
    let has_room = |relay: &Relay| relay.events() < most_events();
    let number = lists.iter().position(has_room).unwrap_or(lists.len());
    if number == lists.len() {
        lists.push(Relay::default());
    }
    if lists[number].lookouts.try_reserve(1).is_err() {
        return Err(lookout);
    }
    lists[number].lookouts.push(lookout);
    let is_posted = relays.post(&mut lists, number).is_ok();
    let refused = lists[number].lookouts.pop_if(|_| !is_posted);
    drop(lists);
    relays.give_orders();
    refused.map_or(Ok(()), Err)
}

/// Looks out for nobody there any more. When this returns, its memory is no longer used for that, unless a
/// relay called it.
pub(crate) fn dismiss_lookout(memory: &Arc<Memory>) {
    let Some(relays) = relays() else { return };
    let mut lists = relays.lists();
    let is_it = |it: &mut Lookout| Arc::ptr_eq(&it.memory, memory);
    let dismissed: Vec<_> = lists.iter_mut().flat_map(|it| it.lookouts.extract_if(.., is_it)).collect();
    if dismissed.is_empty() {
        return;
    }
    relays.give_orders();
    let is_used = |relay: &Relay| relay.used.contains(&Arc::as_ptr(memory));
    while !IS_RELAY.get() && lists.iter().any(is_used) {
        lists = relays.moved.wait(lists).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Forgets a waker of a channel, whatever it is armed for. After that it may be closed.
pub(super) fn forget(memory: &Arc<Memory>, waker: i32) {
    let Some(relays) = relays() else { return };
    let mut lists = relays.lists();
    let is_it = |it: &mut Guarded| it.waker == waker && Arc::ptr_eq(&it.memory, memory);
    let forgotten: Vec<_> = lists.iter_mut().flat_map(|relay| relay.guarded.extract_if(.., is_it)).collect();
    for guarded in &forgotten {
        guarded.leave();
        memory.asleep.leave();
        if futex::most_words() == 0 {
            futex::wake(&guarded.words().state, Reach::Machine, futex::ALL);
        }
    }
    drop(lists);
    if !forgotten.is_empty() {
        relays.give_orders();
    }
}

/// Whether the owner of a waker of this process was woken a moment ago at the event, and will look.
pub(super) fn is_one_on_its_way(words: *const EventWords) -> bool {
    any_turn(words, Turn::is_on_its_way)
}

/// Whether one of them has lined up before `moment`, and sleeps or is on its way.
pub(super) fn has_one_from_before(words: *const EventWords, moment: Instant) -> bool {
    any_turn(words, |turn| turn.is_from_before(moment))
}

fn any_turn(words: *const EventWords, is_such: impl Fn(Turn) -> bool) -> bool {
    let Some(relays) = relays() else { return false };
    let lists = relays.lists();
    lists.iter().flat_map(|it| &it.guarded).any(|it| it.is_at(words) && is_such(it.turn))
}

/// Ends all relays before this process forks.
pub(crate) fn halt() {
    let Some(relays) = relays() else { return };
    relays.is_halted.store(true, Ordering::Relaxed);
    let threads: Vec<_> = {
        let mut lists = relays.lists();
        for guarded in lists.iter().flat_map(|relay| &relay.guarded) {
            if futex::most_words() == 0 {
                futex::wake(&guarded.words().state, Reach::Machine, futex::ALL);
            }
        }
        lists.iter_mut().filter_map(|relay| relay.thread.take()).collect()
    };
    relays.give_orders();
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

/// Has the relays go on.
pub(crate) fn resume() {
    let Some(relays) = relays() else { return };
    let mut lists = relays.lists();
    relays.is_halted.store(false, Ordering::Relaxed);
    if relays.post_all(&mut lists).is_ok() {
        return;
    }
    // Their owners arm them again, and are told then.
    lists.iter().flat_map(|relay| &relay.guarded).for_each(|guarded| waker::write(guarded.waker));
    let lookouts = || lists.iter().flat_map(|relay| &relay.lookouts);
    lookouts().for_each(Lookout::give_up);
    let meets: Vec<_> = lookouts().map(|lookout| lookout.meet.clone()).collect();
    drop(lists);
    meets.iter().for_each(|meet| meet());
}

/// In the child of a fork: its parent's wakers are not its own. Nothing is freed, as a lock may be held
/// for ever.
pub(crate) fn inherit_nothing() {
    RELAYS.store(std::ptr::null_mut(), Ordering::Release);
}
