//! Registry slots: the places of producers and consumers, and what becomes of those whose process died.
//!
//! A registry slot is taken by one compare-and-swap of its owner. Then the newcomer is announced: whoever
//! shares the channel from another process counts the registry slots taken before he sleeps, and has the new
//! owners watched; while he sleeps at a ring that all share, a lookout does so, a thread of his process, and
//! he keeps his place in the line. Only then does the newcomer touch anything else, so nobody can die
//! unwatched who has left anything behind.
//!
//! # Death
//! Whoever learns of a death first clears up ("recovers"), one process at a time: `recovery_lock` names it,
//! and passes on if that one dies too. Every step can be repeated, and the owner's word goes last, so what
//! was begun is done by the next. Before the first step that word is marked, so that no handle which was on
//! its way is taken over from the dead meanwhile. Who closes a channel holds its recovery lock as long, for
//! he may have no registry slot, and others finish it if he dies.
//!
//! | of the dead | becomes |
//! |---|---|
//! | messages committed | stay, and are announced if he had no time for it |
//! | slots reserved, or claimed and not yet committed | free, or passed by consumers and counted as abandoned |
//! | messages claimed and not released | received again, by another consumer |
//! | its registry slot | free, as if it had been closed |
//! | a wake-up that it had taken and not used | all are woken |
//! | a close that it had begun | done |

use super::ChannelState;
#[cfg(not(loom))]
use super::handover::{self, Handover};
use crate::error::HandleError;
use crate::layout::RegistrySlot;
use crate::process::{self, DeathObserver, Lifeline, Owner, Unwatchable, kill_point};
use crate::ring::vyukov::Ring;
use crate::sync::{Arc, AtomicU64, Ordering, fence};
use crate::wait::{Reach, RetryBudget, relay};

/// Of the handles that a registry slot has had, the last was given back unused.
const CALLED_IN: u64 = 1 << 63;
/// In `RegistrySlot::consumes`: of a consumer that is registered, and of one that leaves.
const REGISTERED: u64 = 1;
const LEAVING: u64 = 2;
/// Bits of a registry slot's index in a token, and of the number of its handle.
const SLOT_BITS: u32 = 16;
const NTH_MASK: u64 = (usize::MAX >> SLOT_BITS) as u64;

/// Whose registry slot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Producer,
    Consumer,
}

/// What another process takes a handle over with that was never used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its place, and above that which of the handles it is that had the place.
    pub registry_slot: usize,
    /// Who gave it.
    pub word: u64,
}

/// A registry slot as a fresh handle has it. The word tells it from the 1,023 handles before and after it,
/// and decides who has the handle; the number tells it from all others, and is looked at before.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    shared: Arc<ChannelState>,
    role: Role,
    index: usize,
    word: Owner,
    nth: u64,
}

impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        let is_word = (self.index, self.word, self.nth) == (other.index, other.word, other.nth);
        is_word && Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Registered {
    /// Whether nobody has begun to use the handle, and nobody has closed it.
    pub(super) fn is_fresh(&self) -> bool {
        let registry_slot = self.shared.memory.registry_slot(self.index);
        registry_slot.owner.load(Ordering::Relaxed) == self.word.0 && self.shared.is_nth(self.index, self.nth)
    }

    /// Gives the registry slot back, unless somebody came first; to be called by the process that made the
    /// handle.
    pub(super) fn take_back(self) -> bool {
        if !self.is_fresh() {
            return false;
        }
        let Self { shared, role, index, word, .. } = self;
        // As if its maker were dead: nobody takes the handle over any more.
        let (registry_slot, closed) = (shared.memory.registry_slot(index), word.recovered());
        let closed =
            registry_slot.owner.compare_exchange(word.0, closed.0, Ordering::AcqRel, Ordering::Relaxed);
        if closed.is_ok() {
            kill_point!("handover.taken");
            shared.call_in(index);
            shared.leave_registry_slot(role, index);
        }
        closed.is_ok()
    }
}

/// A registry slot that was taken. Dropping it leaves it.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<ChannelState>,
    role: Role,
    index: usize,
    /// What its owner's word was, as far as this handle knows; 0 if it was closed.
    owner: Owner,
    /// Which of the handles that had the registry slot it is.
    nth: u64,
    /// Forks when it was taken.
    #[cfg_attr(loom, allow(dead_code))]
    forks: u32,
    /// Whether a token was given to nobody in particular.
    is_promised: bool,
    /// Whether the process that made it gave it to this one, the child of a fork.
    is_given: bool,
}

impl Place {
    /// Takes a registry slot for a handle.
    pub(super) fn take(shared: &Arc<ChannelState>, role: Role) -> Result<Self, HandleError> {
        let place = Self::take_any(shared, role)?;
        if role == Role::Producer {
            shared.memory.header().registered.insert(place.index);
            kill_point!("take.registered");
            // Refused, it leaves as any other: who saw it come may wait for it.
            shared.registry().enter()?;
        }
        kill_point!("take.entered");
        Ok(place)
    }

    /// Counts a consumer in, once nothing can fail any more: the channel is closed when the last one leaves.
    pub(super) fn register_consumer(&self) {
        // Release: pairs with the Acquire in `is_consumed`.
        self.registry_slot().consumes.store(REGISTERED, Ordering::Release);
        kill_point!("take.consumes");
    }

    /// Takes a consumer's registry slot for calls without a handle.
    pub(super) fn for_calls(shared: &Arc<ChannelState>) -> Result<Self, HandleError> {
        let mut place = Self::take_any(shared, Role::Consumer)?;
        kill_point!("take.entered");
        place.begin()?;
        Ok(place)
    }

    fn take_any(shared: &Arc<ChannelState>, role: Role) -> Result<Self, HandleError> {
        // A handle in the memory of one process is never passed to another.
        let is_fresh = shared.memory.is_shared();
        if is_fresh {
            process::count_children();
        }
        let index = shared.take_registry_slot(role, Owner::this())?;
        let (mut owner, mut nth) = (Owner::this(), 0);
        if is_fresh {
            let registry_slot = shared.memory.registry_slot(index);
            nth = (registry_slot.handles.load(Ordering::Relaxed) & NTH_MASK).wrapping_add(1) & NTH_MASK;
            registry_slot.handles.store(nth, Ordering::Relaxed);
            owner = owner.fresh(nth);
            registry_slot.owner.store(owner.0, Ordering::Release);
            UNUSED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(Self::at(shared, role, index, owner, nth))
    }

    fn at(shared: &Arc<ChannelState>, role: Role, index: usize, owner: Owner, nth: u64) -> Self {
        let (shared, forks) = (shared.clone(), process::forks());
        Self { shared, role, index, owner, nth, forks, is_promised: false, is_given: false }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    fn registry_slot(&self) -> &RegistrySlot {
        self.shared.memory.registry_slot(self.index)
    }

    /// The registry slot as this fresh handle has it.
    pub(super) fn registered(&self) -> Registered {
        let Self { role, index, owner: word, nth, .. } = *self;
        Registered { shared: self.shared.clone(), role, index, word, nth }
    }

    /// Whether it belongs to this process, as far as it knows.
    pub(super) fn is_ours(&self) -> bool {
        self.owner.process() == Owner::this()
    }

    /// Makes it this process' own before it is used for the first time: since it was taken the process may
    /// have forked, and parent and child each hold it. The first who begins has it.
    pub(super) fn begin(&mut self) -> Result<(), HandleError> {
        let ours = Owner::this();
        if self.owner == ours {
            return Ok(());
        }
        if !self.owner.is_fresh() {
            return Err(HandleError::Elsewhere { pid: self.owner.pid() });
        }
        self.shared.inherit(self.index, self.owner, self.nth)?;
        self.set_owner(ours);
        Ok(())
    }

    /// Whether it was never used here and can't be any more.
    pub(super) fn is_taken_back(&self) -> bool {
        let now = self.registry_slot().owner.load(Ordering::Relaxed);
        let is_gone = self.owner.is_fresh() && now != self.owner.0;
        is_gone && self.shared.taken_by(self.index, self.nth, now) == HandleError::TakenBack
    }

    /// Says that it is no longer fresh.
    fn set_owner(&mut self, owner: Owner) {
        if self.owner.is_fresh() {
            UNUSED.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        }
        self.owner = owner;
    }

    /// What another process needs to take it over, if it was never used here. Until then it stays taken.
    pub(super) fn token(&mut self) -> Result<Token, HandleError> {
        let token = self.token_once()?;
        self.is_promised = true;
        kill_point!("send.sent");
        Ok(token)
    }

    fn token_once(&self) -> Result<Token, HandleError> {
        let now = self.registry_slot().owner.load(Ordering::Relaxed);
        if !self.owner.is_fresh() || self.owner.process() != Owner::this() {
            return Err(HandleError::Used);
        }
        match now == self.owner.0 {
            true => {
                Ok(Token { registry_slot: self.index | (self.nth as usize) << SLOT_BITS, word: self.owner.0 })
            }
            false => Err(self.shared.taken_by(self.index, self.nth, now)),
        }
    }

    /// The same for a child that is being started, which loses it if it ends before it has begun.
    #[cfg(not(loom))]
    pub(super) fn hand_over(&mut self, to: &Handover, is_lent: bool) -> Result<Token, HandleError> {
        let token = self.token_once()?;
        to.promise(self.registered(), is_lent);
        Ok(token)
    }

    /// Takes over what another process promised.
    pub(super) fn redeem(shared: &Arc<ChannelState>, role: Role, token: Token) -> Result<Self, HandleError> {
        let Token { registry_slot, word } = token;
        let (index, nth) = (registry_slot & ((1 << SLOT_BITS) - 1), (registry_slot >> SLOT_BITS) as u64);
        let is_token = Owner(word).is_fresh() && shared.registry_slots_of(role).contains(&index);
        if !shared.memory.is_shared() || !is_token {
            return Err(HandleError::Elsewhere { pid: 0 });
        }
        shared.inherit(index, Owner(word), nth)?;
        Ok(Self::at(shared, role, index, Owner::this(), nth))
    }

    /// Whether it came by a fork and was never used: then the child's copy does, and is, nothing yet.
    fn is_copy(&self) -> bool {
        self.owner.is_fresh() && !self.is_ours()
    }

    /// In the child of a fork: makes it this process' own now.
    pub(super) fn begin_copy(&mut self) -> Result<(), HandleError> {
        if self.is_copy() { self.begin() } else { Ok(()) }
    }

    /// In the child of a fork: says that it was made for this process, so that to close it is to use it.
    pub(super) fn give(&mut self) {
        self.is_given = self.is_copy();
    }

    /// Gives it back at once, whoever has a copy. In the child of a fork a copy that merely came along is
    /// dropped.
    pub(super) fn close(&mut self) {
        if self.is_copy() && self.is_given && self.begin().is_ok() || !self.owner.is_fresh() {
            // Left as it is dropped.
            return;
        }
        if self.is_ours() {
            self.registered().take_back();
        }
        self.set_owner(Owner::NOBODY);
    }
}

/// Handles of this process that may yet go to another.
static UNUSED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Whether this process has handles that may yet go to another.
pub fn has_unused_handles() -> bool {
    UNUSED.load(std::sync::atomic::Ordering::Relaxed) > 0
}

impl Drop for Place {
    fn drop(&mut self) {
        // Who dies in the model unwinds, and leaves this as it is.
        if cfg!(loom) && std::thread::panicking() {
            return;
        }
        let is_unused = self.owner.is_fresh();
        let (owner, is_ours) = (self.owner, self.is_ours());
        if is_unused && is_ours && !self.is_promised {
            #[cfg(not(loom))]
            handover::drop_unused(self, self.forks);
            #[cfg(loom)]
            self.registered().take_back();
        }
        self.set_owner(Owner::NOBODY);
        if !is_unused && is_ours && self.registry_slot().owner.load(Ordering::Relaxed) == owner.0 {
            self.shared.leave_registry_slot(self.role, self.index);
        }
    }
}

impl ChannelState {
    fn registry_slots_of(&self, role: Role) -> std::ops::Range<usize> {
        let geometry = self.memory.geometry();
        match role {
            Role::Producer => 0..geometry.max_producers as usize,
            Role::Consumer => geometry.max_producers as usize..geometry.registry_slots as usize,
        }
    }

    /// Takes a free registry slot, in lanes one whose lane is drained if there is one: where the last
    /// producer left messages, the next goes on behind them.
    fn take_registry_slot(&self, role: Role, owner: Owner) -> Result<usize, HandleError> {
        self.check_namespace()?;
        let take = |&index: &usize| {
            // Acquire: sees what the last owner did; pairs with the Release in `leave_registry_slot`.
            let registry_slot = &self.memory.registry_slot(index).owner;
            registry_slot.load(Ordering::Relaxed) == 0
                && registry_slot.compare_exchange(0, owner.0, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let is_drained = |&index: &usize| self.is_ring() || role == Role::Consumer || self.len_of(index) == 0;
        let registry_slots = self.registry_slots_of(role);
        let found = registry_slots
            .clone()
            .filter(is_drained)
            .find(take)
            .or_else(|| registry_slots.clone().find(take))
            .or_else(|| self.take_from_the_dead(|| registry_slots.clone().find(take)));
        match found {
            Some(index) => {
                self.memory.say_registry_slot_used(index);
                kill_point!("take.taken");
                if self.memory.is_shared() {
                    self.memory.registry_slot(index).lifeline.store(Lifeline::mine().0, Ordering::Relaxed);
                }
                self.announce();
                kill_point!("take.announced");
                Ok(index)
            }
            None => Err(self.no_registry_slot(role)),
        }
    }

    /// Takes a registry slot that was a dead one's. Somebody else may be at clearing up after it, and take a
    /// while.
    fn take_from_the_dead(&self, take: impl Fn() -> Option<usize>) -> Option<usize> {
        const ROUNDS: usize = 20;
        let round = |_| (self.recover_the_dead() > 0).then(&take);
        (0..ROUNDS).map_while(round).flatten().next().or_else(&take)
    }

    fn no_registry_slot(&self, role: Role) -> HandleError {
        let places = self.registry_slots_of(role).len();
        match role {
            Role::Producer => {
                self.registry().refusal().unwrap_or(HandleError::ProducersTaken { max_producers: places })
            }
            Role::Consumer => HandleError::ConsumersTaken { max_consumers: places },
        }
    }

    /// Makes a registry slot this process' own that is `owner`'s, with its nth handle.
    fn inherit(&self, index: usize, owner: Owner, nth: u64) -> Result<(), HandleError> {
        self.check_namespace()?;
        if !self.is_nth(index, nth) {
            return Err(HandleError::TakenBack);
        }
        let (registry_slot, this) = (self.memory.registry_slot(index), Owner::this());
        if owner.process() != this {
            // Announced first, so that nobody has it who is not watched.
            let mut budget = RetryBudget::new();
            while let Err(now) =
                registry_slot.heir.compare_exchange(0, this.0, Ordering::AcqRel, Ordering::Acquire)
            {
                if !budget.is_left() {
                    return Err(HandleError::Elsewhere { pid: Owner(now).pid() });
                }
                if !Owner(now).is_alive() {
                    self.recover(Owner(now));
                }
            }
            kill_point!("inherit.heir");
            registry_slot.heir_lifeline.store(Lifeline::mine().0, Ordering::Relaxed);
            self.announce();
            kill_point!("inherit.announced");
        }
        let taken =
            registry_slot.owner.compare_exchange(owner.0, this.0, Ordering::AcqRel, Ordering::Acquire);
        kill_point!("inherit.owner");
        if taken.is_ok() {
            registry_slot.lifeline.store(Lifeline::mine().0, Ordering::Relaxed);
        }
        let _ = registry_slot.heir.compare_exchange(this.0, 0, Ordering::Release, Ordering::Relaxed);
        kill_point!("inherit.done");
        taken.map(drop).map_err(|now| self.taken_by(index, nth, now))
    }

    /// Whether a registry slot has that handle, or had it last.
    fn is_nth(&self, index: usize, nth: u64) -> bool {
        self.memory.registry_slot(index).handles.load(Ordering::Relaxed) & NTH_MASK == nth
    }

    /// Why the registry slot's nth handle, which was fresh, can't be had any more, when its word is `now`.
    fn taken_by(&self, index: usize, nth: u64, now: u64) -> HandleError {
        let now = Owner(now);
        let is_called_in = self.memory.registry_slot(index).handles.load(Ordering::Relaxed) & CALLED_IN != 0;
        match now.is_fresh() || now.is_buried() || is_called_in || !self.is_nth(index, nth) {
            true => HandleError::TakenBack,
            false => HandleError::Elsewhere { pid: now.pid() },
        }
    }

    /// Says of a registry slot's handle, which was never used, that nobody will have it any more.
    fn call_in(&self, index: usize) {
        self.memory.registry_slot(index).handles.fetch_or(CALLED_IN, Ordering::Relaxed);
    }

    fn leave_registry_slot(&self, role: Role, index: usize) {
        let header = self.memory.header();
        if role == Role::Producer {
            header.registered.remove(index);
            kill_point!("leave.unregistered");
        }
        let registry_slot = self.memory.registry_slot(index);
        if role == Role::Consumer && registry_slot.consumes.load(Ordering::Relaxed) != 0 {
            self.leave_consumers(registry_slot);
        }
        registry_slot.lifeline.store(0, Ordering::Relaxed);
        // Release: what it sent, and where it stopped; pairs with the Acquire in `take_registry_slot`.
        registry_slot.owner.store(0, Ordering::Release);
        // Forbids: two leave at once, and each sees only the other.
        fence(Ordering::SeqCst);
        kill_point!("leave.left");
        if role == Role::Producer && header.registered.has_none() {
            self.arrivals().notify_all();
        }
    }

    /// Whether several may sleep at one event, in an order that newcomers must not disturb. At a lane's
    /// events one sleeps at most.
    fn has_lines(&self) -> bool {
        self.is_ring() && !cfg!(loom)
    }

    /// Says that a consumer leaves. The last one closes the channel, unless that is to stay open for the
    /// next; if it dies meanwhile, who recovers its registry slot does all this again.
    fn leave_consumers(&self, registry_slot: &RegistrySlot) {
        registry_slot.consumes.store(LEAVING, Ordering::Release);
        // Forbids: two leave at once, and each sees only the other.
        fence(Ordering::SeqCst);
        kill_point!("leave.leaving");
        if self.memory.geometry().stays_open == 0 && !self.is_consumed() {
            self.registry().desert();
            self.shut();
        }
        registry_slot.consumes.store(0, Ordering::Release);
    }

    /// Whether there is a registered consumer.
    fn is_consumed(&self) -> bool {
        let of_consumers = self.registry_slots_of(Role::Consumer).start;
        let mut registry_slots =
            self.memory.registry_slots_used().filter(|&registry_slot| registry_slot >= of_consumers);
        registry_slots.any(|registry_slot| {
            self.memory.registry_slot(registry_slot).consumes.load(Ordering::Acquire) == REGISTERED
        })
    }

    /// Has the other processes see who has come.
    fn announce(&self) {
        if self.memory.is_shared() {
            let header = self.memory.header();
            // Release: the owner's word; pairs with the Acquire in `watch_newcomers`.
            header.registrations.fetch_add(1, Ordering::Release);
            kill_point!("announce.counted");
            relay::tell_lookouts(&header.registrations, Reach::Machine);
            // Forbids: someone goes to sleep and has missed it, and we miss that he waits and has no lookout.
            fence(Ordering::SeqCst);
            if !self.has_lines() || header.needs_rousing.load(Ordering::Relaxed) != 0 {
                self.wake_all_sleepers();
            }
        }
    }

    /// Wakes all that wait, for whatever it is, also those whose waker died before it had woken them.
    fn wake_all_sleepers(&self) {
        self.arrivals().wake_all();
        match self.ring() {
            Some(ring) => {
                self.space(&ring.space).wake_all();
                self.line(ring).wake_all();
            }
            None => {
                let spaces = self.lanes().map(|lane| &self.memory.lane_header(lane).space);
                spaces.for_each(|space| self.event(space).wake_all());
            }
        }
    }

    /// The owners of all registry slots and who clears up, with what they say of their lifelines, but this
    /// process. One may occur with several, of which not all are right.
    fn others(&self) -> Vec<(Owner, Lifeline)> {
        let registry_slots = 0..self.memory.geometry().registry_slots as usize;
        let words = |registry_slot| {
            let RegistrySlot { owner, heir, lifeline, heir_lifeline, .. } =
                self.memory.registry_slot(registry_slot);
            [(owner, lifeline), (heir, heir_lifeline)]
        };
        let header = self.memory.header();
        let recovery_lock = [(&*header.recovery_lock, &*header.recovery_lock_lifeline)];
        let read = |(owner, lifeline): (&AtomicU64, &AtomicU64)| {
            // Acquire: sees the lifeline; pairs with the Release in `announce`, of who came.
            let owner = Owner(owner.load(Ordering::Acquire)).process();
            (owner, Lifeline(lifeline.load(Ordering::Relaxed)))
        };
        let is_other = |&(owner, _): &(Owner, Lifeline)| owner.0 != 0 && owner != Owner::this();
        // Of thousands of registry slots few are taken: the list has no room for the others.
        let mut others: Vec<_> =
            registry_slots.flat_map(words).chain(recovery_lock).map(read).filter(is_other).collect();
        others.sort_unstable_by_key(|(owner, lifeline)| (owner.0, lifeline.0));
        others.dedup();
        others
    }

    /// Refuses this process if those of the channel could not watch it, nor it them.
    pub(super) fn check_namespace(&self) -> Result<(), HandleError> {
        if !self.memory.is_shared() {
            return Ok(());
        }
        let channel = self.memory.header().namespace.load(Ordering::Relaxed);
        match process::namespace() {
            Ok(this) if this == channel => Ok(()),
            Ok(this) => Err(HandleError::Unwatchable(Unwatchable::Namespace { channel, this })),
            Err(reason) => Err(HandleError::Unwatchable(reason)),
        }
    }

    /// Recovers after all who are dead; tells how many.
    fn recover_the_dead(&self) -> usize {
        if self.check_namespace().is_err() {
            return 0;
        }
        let mut dead: Vec<_> = self.others().into_iter().map(|(owner, _)| owner).collect();
        dead.dedup();
        dead.retain(|owner| !owner.is_alive());
        self.recover_all(&dead);
        dead.len()
    }
}

/// As [`keep_watch`], before sleeping, once it was said that we wait: those who come meanwhile are watched,
/// too.
pub(super) fn keep_watch_asleep(shared: &Arc<ChannelState>) -> bool {
    if shared.memory.is_shared() && shared.has_lines() {
        post_lookout(shared);
    }
    keep_watch(shared)
}

/// Sees to it that this process has a lookout for those who come to the channel.
fn post_lookout(shared: &Arc<ChannelState>) {
    #[cfg(not(loom))]
    if !shared.memory.asleep.has_lookout() {
        let watched = Arc::downgrade(shared);
        let meet = move || {
            if let Some(shared) = watched.upgrade() {
                watch_newcomers(&shared);
            }
        };
        relay::look_out(&shared.memory, Arc::new(meet));
    }
    #[cfg(loom)]
    let _ = shared;
}

/// Has the others watched who have come since the last call; true if there were any, for then there may be
/// something new.
#[inline]
pub(super) fn keep_watch(shared: &Arc<ChannelState>) -> bool {
    shared.memory.is_shared() && watch_newcomers(shared)
}

#[cold]
fn watch_newcomers(shared: &Arc<ChannelState>) -> bool {
    // Acquire: sees who has come; pairs with the Release in `announce`.
    let registrations = shared.memory.header().registrations.load(Ordering::Acquire);
    // The child of a fork has watched nobody yet.
    let registrations = u64::from(registrations) | u64::from(process::forks()) << 32;
    let seen = &shared.registrations_seen;
    if seen.load(std::sync::atomic::Ordering::Relaxed) == registrations {
        if process::unattended().is_some() {
            // It may never park, and there is no thread.
            process::look();
        }
        return false;
    }
    seen.store(registrations, std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(loom))]
    {
        let told = Arc::downgrade(shared) as process::Told;
        let mut others = shared.others();
        others.retain(|&(other, lifeline)| !process::watch(other, lifeline, &told));
        let mut dead: Vec<_> = others.into_iter().map(|(owner, _)| owner).collect();
        dead.dedup();
        if !dead.is_empty() && !shared.recover_all(&dead) {
            dead.iter().for_each(|&dead| process::insist(dead, &told));
        }
    }
    true
}

impl DeathObserver for ChannelState {
    fn recover(&self, dead: Owner) -> bool {
        self.recover_all(&[dead])
    }

    fn wake_all(&self) {
        self.wake_all_sleepers();
    }
}

impl ChannelState {
    /// Clears up after those who died, in the order of their words; false if it is to be tried again.
    fn recover_all(&self, dead: &[Owner]) -> bool {
        let Some(_recovery_lock) = RecoveryLock::wait(self) else { return false };
        let is_dead = |word: u64| dead.binary_search_by_key(&Owner(word).process().0, |dead| dead.0).is_ok();
        let mut is_done = true;
        for role in [Role::Consumer, Role::Producer] {
            for index in self.registry_slots_of(role) {
                let word = &self.memory.registry_slot(index).owner;
                let owner = word.load(Ordering::Acquire);
                let recovered = Owner(owner).recovered().0;
                // Marked, so that nobody takes it over who had been sent it, or who was forked with it.
                let mark = || word.compare_exchange(owner, recovered, Ordering::AcqRel, Ordering::Relaxed);
                if is_dead(owner) && mark().is_ok() {
                    kill_point!("recover.marked");
                    if Owner(owner).is_fresh() {
                        self.call_in(index);
                    }
                    is_done &= self.recover_registry_slot(role, index);
                }
            }
        }
        for index in 0..self.memory.geometry().registry_slots as usize {
            let heir = &self.memory.registry_slot(index).heir;
            let now = heir.load(Ordering::Relaxed);
            if is_dead(now) {
                let _ = heir.compare_exchange(now, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        self.free_turn(is_dead);
        self.finish_closing();
        kill_point!("recover.closed");
        // Forbids: someone waits and has missed what the dead had done, and we miss that he waits.
        fence(Ordering::SeqCst);
        self.wake_all_sleepers();
        is_done
    }

    fn recover_registry_slot(&self, role: Role, index: usize) -> bool {
        let registry_slot = self.memory.registry_slot(index);
        if self.is_ring() {
            let others = || {
                let all = (0..self.memory.geometry().registry_slots as usize)
                    .map(|index| self.memory.registry_slot(index));
                let is_other = |other: &&RegistrySlot| !std::ptr::eq(*other, registry_slot);
                all.filter(is_other).filter(|other| other.owner.load(Ordering::Acquire) != 0).collect()
            };
            let is_alive =
                |registry_slot: &RegistrySlot| Owner(registry_slot.owner.load(Ordering::Acquire)).is_alive();
            if !Ring::new(&self.memory, self.turns).recover(registry_slot, others, is_alive) {
                return false;
            }
        } else if role == Role::Producer {
            self.recover_lane(index);
        } else {
            self.recover_reader();
        }
        let header = self.memory.header();
        let nth = header.deaths.fetch_add(1, Ordering::Relaxed) as usize;
        let owner = registry_slot.owner.load(Ordering::Relaxed);
        header.dead[nth % header.dead.len()].store(owner, Ordering::Relaxed);
        kill_point!("recover.done");
        self.leave_registry_slot(role, index);
        true
    }

    /// Closes the channel. What was accepted can still be received.
    pub(super) fn close(&self) {
        let recovery_lock = self.memory.is_shared().then(|| RecoveryLock::wait(self)).flatten();
        if recovery_lock.is_some() {
            // Who sleeps watches us meanwhile.
            self.announce();
            kill_point!("close.announced");
        }
        self.shut();
    }

    fn shut(&self) {
        // These first: whoever finds the registry closed can rely on it that they refuse.
        if self.is_ring() {
            self.seal_ring()
        } else {
            self.flag_lanes()
        }
        if !self.registry().close() {
            return;
        }
        kill_point!("close.said");
        // Forbids: someone waits and has missed the seal, or the flags.
        fence(Ordering::SeqCst);
        self.arrivals().notify_all();
        kill_point!("close.told_consumers");
        self.notify_all_space();
    }

    /// Lets all look that wait for space.
    #[cold]
    pub(super) fn notify_all_space(&self) {
        match self.ring() {
            Some(ring) => {
                self.space(&ring.space).notify_all();
                self.line(ring).notify_all();
            }
            None => {
                let spaces = self.lanes().map(|lane| &self.memory.lane_header(lane).space);
                spaces.for_each(|space| self.event(space).notify_all());
            }
        }
    }

    /// Does what somebody who closed it may have left undone.
    fn finish_closing(&self) {
        let is_begun = match self.ring() {
            Some(_) => Ring::new(&self.memory, self.turns).is_sealed(),
            None => self.is_closing_lanes(),
        };
        if is_begun && !self.registry().is_closed() && !self.registry().is_ended() {
            self.shut();
        }
    }
}

impl Drop for ChannelState {
    fn drop(&mut self) {
        if self.memory.is_shared() {
            relay::dismiss_lookout(&self.memory);
            process::forget();
        }
    }
}

/// A handle of a channel that processes share, or a registry slot that a process keeps for calls without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Participant {
    /// Its process.
    pub pid: u32,
    /// Whether it is a registered producer.
    pub is_producer: bool,
    /// Whether the process lives.
    pub is_alive: bool,
}

impl ChannelState {
    /// Who has a registry slot.
    pub(super) fn participants(&self) -> impl Iterator<Item = Participant> + '_ {
        let registry_slots =
            |role| self.registry_slots_of(role).map(move |registry_slot| (role, registry_slot));
        let all = registry_slots(Role::Producer).chain(registry_slots(Role::Consumer));
        let owner = move |(role, registry_slot): (Role, usize)| {
            let owner =
                Owner(self.memory.registry_slot(registry_slot).owner.load(Ordering::Acquire)).process();
            (owner.pid() != 0).then(|| Participant {
                pid: owner.pid(),
                is_producer: role == Role::Producer,
                is_alive: owner.is_alive(),
            })
        };
        all.filter_map(owner)
    }

    /// The processes of the last handles that were cleared up after, the latest first.
    pub(super) fn dead(&self) -> Vec<u32> {
        let header = self.memory.header();
        let deaths = header.deaths.load(Ordering::Relaxed) as usize;
        let nth = |n: usize| Owner(header.dead[n % header.dead.len()].load(Ordering::Relaxed)).pid();
        (deaths.saturating_sub(header.dead.len())..deaths).rev().map(nth).collect()
    }
}

/// The right to clear up, one process and one thread at a time.
struct RecoveryLock<'a>(&'a ChannelState);

impl<'a> RecoveryLock<'a> {
    /// Waits for its turn; takes over from one who died. `None` if somebody keeps it for long.
    fn wait(shared: &'a ChannelState) -> Option<Self> {
        shared.check_namespace().ok()?;
        let word = &shared.memory.header().recovery_lock;
        let this = Owner::this().0;
        let mut budget = RetryBudget::new();
        let mut now = 0;
        while budget.is_left() {
            // Acquire: sees what the last one cleared; pairs with the Release in `drop`.
            match word.compare_exchange(now, this, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    let lifeline = &shared.memory.header().recovery_lock_lifeline;
                    lifeline.store(Lifeline::mine().0, Ordering::Relaxed);
                    return Some(Self(shared));
                }
                Err(other) => now = if Owner(other).is_alive() { 0 } else { other },
            }
        }
        None
    }
}

impl Drop for RecoveryLock<'_> {
    fn drop(&mut self) {
        kill_point!("recovery_lock.done");
        // Who dies in the model unwinds, and leaves this as it is.
        if cfg!(loom) && std::thread::panicking() {
            return;
        }
        self.0.memory.header().recovery_lock.store(0, Ordering::Release);
    }
}
