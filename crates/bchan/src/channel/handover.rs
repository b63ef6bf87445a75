//! Handles on their way to other processes, as this process knows of them: the one that made them.
//!
//! A handle that was never used is *fresh*, and its registry slot's word says which one it is
//! (`process::Owner`). So whoever wants it, to use it or to take it back, does it by one compare-and-swap of
//! that word, and a copy that is stale never gets what was given to a newer handle.
//!
//! | a fresh handle | its place is taken back |
//! |---|---|
//! | of a [`Handover`] to children that were started | when the last of them is gone, whoever has a copy |
//! | of one whose child could not be started | as if it had never been handed over |
//! | with a token given to nobody in particular | when it is closed, or its maker ends |
//! | dropped after a fork | when no child is left that was forked since it was made |
//! | dropped otherwise, or closed | at once |

use std::sync::atomic::AtomicPtr;
use std::sync::{Arc as StdArc, Mutex, MutexGuard, PoisonError};

use super::registry_slots::{Place, Registered};
use crate::process::{self, DeathObserver, Lifeline, Owner, Told};
use crate::sync::Ordering;

/// A child process that is being started, and the handles that go to it. Dropped, it could not be started.
#[derive(Debug)]
pub struct Handover {
    id: u64,
    maker: Owner,
}

/// A handle that was promised to a child.
#[derive(Debug)]
struct Promise {
    registered: Registered,
    /// Whether the child gets it only if its maker drops it.
    is_lent: bool,
    /// Whether its maker has dropped it: then forks of this process when it was taken.
    dropped: Option<u32>,
}

#[derive(Debug)]
struct Passage {
    id: u64,
    /// The child, once it is started.
    child: Option<Owner>,
    promises: Vec<Promise>,
}

/// A place that was dropped unused: children that were forked since it was taken may yet use their copy.
#[derive(Debug)]
struct Left {
    registered: Registered,
    forks: u32,
}

#[derive(Debug, Default)]
struct Lists {
    passages: Vec<Passage>,
    left: Vec<Left>,
    /// Passages that ever were.
    begun: u64,
}

/// What this process has handed over.
#[derive(Debug)]
struct Desk {
    lists: Mutex<Lists>,
    process: Owner,
}

impl Desk {
    /// That of this process. What a child finds is its parent's: it makes its own.
    fn get() -> &'static StdArc<Self> {
        static DESK: AtomicPtr<StdArc<Desk>> = AtomicPtr::new(std::ptr::null_mut());
        loop {
            let now = DESK.load(Ordering::Acquire);
            // SAFETY: once it is there it is never freed.
            if let Some(desk) = unsafe { now.as_ref::<'static>() }
                && desk.process == Owner::this()
            {
                return desk;
            }
            let new = StdArc::new(Self { lists: Mutex::default(), process: Owner::this() });
            let new = Box::into_raw(Box::new(new));
            // AcqRel: publishes it, and pairs with the Acquire above.
            if DESK.compare_exchange(now, new, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // SAFETY: made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has this process told when a child is gone; false if it is already.
    fn watch(self: &StdArc<Self>, child: Owner, lifeline: Lifeline) -> bool {
        process::watch(child, lifeline, &(StdArc::downgrade(self) as Told))
    }

    /// Takes back what was promised to a passage that is over; `is_gone` tells whether its child was started.
    fn end(self: &StdArc<Self>, passage: Passage, is_gone: bool) {
        for Promise { registered, is_lent, dropped } in passage.promises {
            if self.lists().is_promised(&registered) {
                continue;
            }
            match dropped {
                _ if is_gone && !is_lent => _ = registered.take_back(),
                Some(forks) => self.leave(registered, forks),
                None => {}
            }
        }
    }

    /// Leaves a place that its maker has dropped, as soon as no child may have a copy.
    fn leave(self: &StdArc<Self>, registered: Registered, forks: u32) {
        if forks == process::forks() {
            registered.take_back();
            return;
        }
        self.lists().left.push(Left { registered, forks });
        // Each of them, so that the end of the last one is noticed, and that it executes another program.
        let children = process::living_children();
        let younger = children.iter().filter(|(_, forked)| *forked >= forks);
        let watched = younger.filter(|(child, _)| self.watch(*child, Lifeline::NONE));
        if watched.count() < children.len() || children.is_empty() {
            self.leave_all();
        }
    }

    /// Leaves the places that no child can use any more.
    fn leave_all(&self) {
        let mut lists = self.lists();
        if lists.left.is_empty() {
            return;
        }
        let children = process::living_children();
        let last = children.iter().map(|&(_, forked)| forked).max();
        let free = |left: &mut Left| last.is_none_or(|last| last < left.forks);
        let free: Vec<Left> = lists.left.extract_if(.., free).collect();
        drop(lists);
        for Left { registered, .. } in free {
            registered.take_back();
        }
    }
}

impl Lists {
    /// Whether a child may still come for it.
    fn is_promised(&self, registered: &Registered) -> bool {
        self.passages
            .iter()
            .flat_map(|passage| &passage.promises)
            .any(|promise| promise.registered == *registered)
    }

    fn passage(&mut self, id: u64) -> Option<&mut Passage> {
        self.passages.iter_mut().find(|passage| passage.id == id)
    }

    /// Takes out those whose passage is over.
    fn take(&mut self, is_over: impl Fn(&Passage) -> bool) -> Vec<Passage> {
        self.passages.extract_if(.., |passage| is_over(passage)).collect()
    }

    /// Takes out what has come to its new owner, or was closed. To be dropped without the lock.
    fn take_settled(&mut self) -> Vec<Promise> {
        let promises = self.passages.iter_mut().map(|passage| &mut passage.promises);
        promises
            .flat_map(|promises| promises.extract_if(.., |promise| !promise.registered.is_fresh()))
            .collect()
    }
}

impl DeathObserver for Desk {
    /// Takes back what was promised to a child that is gone, or left for it.
    fn recover(&self, child: Owner) -> bool {
        let over = self.lists().take(|passage| passage.child == Some(child));
        let desk = Self::get();
        over.into_iter().for_each(|passage| desk.end(passage, true));
        self.leave_all();
        true
    }

    /// Nobody waits for it.
    fn wake_all(&self) {}

    /// As long as a handle is on its way to that child, or left for whichever comes for it.
    fn is_concerned(&self, child: Owner) -> bool {
        let mut lists = self.lists();
        let settled = lists.take_settled();
        let over = lists.take(|passage| passage.child == Some(child) && passage.promises.is_empty());
        let left: Vec<Left> = lists.left.extract_if(.., |left| !left.registered.is_fresh()).collect();
        let is_promised = lists.passages.iter().any(|passage| passage.child == Some(child));
        let is_concerned = is_promised || !lists.left.is_empty();
        drop(lists);
        drop((settled, over, left));
        is_concerned
    }
}

impl Handover {
    /// Begins to start a child.
    #[expect(clippy::new_without_default, reason = "it is announced to the whole process")]
    pub fn new() -> Self {
        let desk = Desk::get();
        let mut lists = desk.lists();
        lists.begun += 1;
        let id = lists.begun;
        lists.passages.push(Passage { id, child: None, promises: Vec::new() });
        let settled = lists.take_settled();
        drop(lists);
        drop(settled);
        Self { id, maker: desk.process }
    }

    /// Promises a handle to the child. What is lent comes back to its maker if that has not dropped it.
    pub(super) fn promise(&self, registered: Registered, is_lent: bool) {
        let mut lists = Desk::get().lists();
        let Some(passage) = lists.passage(self.id) else { return };
        if !passage.promises.iter().any(|promise| promise.registered == registered) {
            passage.promises.push(Promise { registered, is_lent, dropped: None });
        }
    }

    /// The child was started: by a fork alone, of the process `forked_by`, or by executing a program besides.
    pub fn started(self, pid: u32, forked_by: Option<u32>) {
        let this = std::mem::ManuallyDrop::new(self);
        let (desk, child) = (Desk::get(), process::of(pid));
        // By now it may have executed another program; and the system may still be laying out one that it was
        // to.
        let child = match forked_by.map(process::of) {
            Some(parent) => child.of_the_program_of(parent),
            None => child.of_any_program(),
        };
        let mut lists = desk.lists();
        if desk.process != this.maker {
            return;
        }
        drop(lists.take(|passage| passage.id == this.id && passage.promises.is_empty()));
        let Some(passage) = lists.passage(this.id) else { return };
        passage.child = Some(child);
        drop(lists);
        // Nobody is told that it executes another program: it is looked at, while a handle is on its way.
        if !desk.watch(child, Lifeline::NONE) {
            desk.recover(child);
        }
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        let desk = Desk::get();
        if desk.process == self.maker {
            let over = desk.lists().take(|passage| passage.id == self.id);
            over.into_iter().for_each(|passage| desk.end(passage, false));
        }
    }
}

/// Drops a place that was never used by the process that made it.
pub(super) fn drop_unused(place: &Place, forks: u32) {
    let (desk, registered) = (Desk::get(), place.registered());
    let mut lists = desk.lists();
    let promises = lists.passages.iter_mut().flat_map(|passage| &mut passage.promises);
    let mut is_promised = false;
    for promise in promises.filter(|promise| promise.registered == registered) {
        promise.dropped = Some(forks);
        is_promised = true;
    }
    drop(lists);
    if !is_promised {
        desk.leave(registered, forks);
    }
}
