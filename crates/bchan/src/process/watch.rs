//! The watch: one thread, for all channels that this process shares with others, asleep on the pidfds and the
//! lifelines of those others.
//!
//! It is there only while there is somebody to watch, and not while this process forks: a fork takes one
//! thread along, and CPython warns of the others. For whom there is no descriptor to be had it looks now and
//! then. And where no thread is to be had, those who wait look themselves, now and then, and try again to
//! have one.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

use super::lifeline::{Lifeline, Tie};
use super::status::{has_channels, life, pid};
use super::{Owner, Told};

/// The watch of this process, made when first needed and never freed: threads may be in it.
static WATCH: AtomicPtr<Watch> = AtomicPtr::new(std::ptr::null_mut());
/// There is somebody to watch, and no thread to be had for it.
static IS_UNATTENDED: AtomicBool = AtomicBool::new(false);

/// Between two looks at those without a descriptor.
const LOOK: Duration = Duration::from_millis(20);

/// One process that is watched, and who is to be told.
struct Watched {
    owner: Owner,
    /// `None` if there was none to be had.
    pidfd: Option<Arc<OwnedFd>>,
    tie: Arc<Tie>,
    /// It is dead, and could not be cleared up after at once.
    is_dead: bool,
    told: Vec<Told>,
}

/// What the thread looks at meanwhile.
struct Seen {
    owner: Owner,
    pidfd: Option<Arc<OwnedFd>>,
    tie: Arc<Tie>,
    is_dead: bool,
}

impl Seen {
    fn has_to_be_looked_at(&self) -> bool {
        self.is_dead || self.pidfd.is_none() || matches!(*self.tie, Tie::Loose | Tie::Gone)
    }

    fn fds(&self) -> [Option<&OwnedFd>; 2] {
        let lifeline = if let Tie::Held(fd) = &*self.tie { Some(fd) } else { None };
        [self.pidfd.as_deref(), lifeline]
    }
}

#[derive(Default)]
struct List {
    watched: Vec<Watched>,
    /// The thread, and how to wake it; without a descriptor for that it looks by itself.
    thread: Option<(JoinHandle<()>, Option<Arc<OwnedFd>>)>,
    /// The thread shall end.
    is_stopping: bool,
}

impl List {
    fn find(&mut self, owner: Owner) -> Option<&mut Watched> {
        self.watched.iter_mut().find(|watched| watched.owner == owner)
    }
}

#[derive(Default)]
struct Watch(Mutex<List>);

impl Watch {
    fn get() -> &'static Self {
        let now = WATCH.load(Ordering::Acquire);
        let now = if now.is_null() {
            let new = Box::into_raw(Box::<Self>::default());
            match WATCH.compare_exchange(now, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => new,
                Err(other) => {
                    // SAFETY: made above, and nobody else has seen it.
                    drop(unsafe { Box::from_raw(new) });
                    other
                }
            }
        } else {
            now
        };
        // SAFETY: once it is there it is never freed.
        unsafe { &*now }
    }

    fn if_there() -> Option<&'static Self> {
        // SAFETY: once it is there it is never freed.
        unsafe { WATCH.load(Ordering::Acquire).as_ref() }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until somebody dies, tells of it, and sleeps again.
    fn run(&self, wake: Option<&OwnedFd>) {
        loop {
            let seen = {
                let mut list = self.list();
                if list.is_stopping || list.watched.is_empty() {
                    list.thread = None;
                    return;
                }
                seen(&list)
            };
            let has_to_look = wake.is_none() || seen.iter().any(Seen::has_to_be_looked_at);
            if !self.look(&seen, wake, has_to_look.then_some(LOOK)) {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Waits for the death of one of them and tells of it; false if it could not wait.
    fn look(&self, seen: &[Seen], wake: Option<&OwnedFd>, timeout: Option<Duration>) -> bool {
        let fds = seen.iter().flat_map(Seen::fds).flatten().chain(wake);
        let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return false;
        }
        let mut signs = fds.iter().map(|fd| !fd.revents().is_empty());
        for one in seen {
            let [has_ended, is_cut] =
                one.fds().map(|fd| fd.is_some() && signs.next().expect("one for each descriptor"));
            let is_dead = has_ended
                || one.is_dead
                || is_cut && self.is_cut_off(one.owner)
                || one.has_to_be_looked_at() && life(one.owner) == Some(false);
            if is_dead {
                self.tell(one.owner);
            } else if matches!(*one.tie, Tie::Loose) {
                self.let_go(one.owner);
            }
        }
        if let Some(wake) = wake.filter(|_| signs.next() == Some(true)) {
            let _ = rustix::io::read(wake, &mut [0; 8]);
        }
        true
    }

    /// Whether a process is gone that holds its lifeline no longer. One that is about to end is told by its
    /// pidfd in a moment; one that lives has closed what it should not.
    fn is_cut_off(&self, owner: Owner) -> bool {
        let is_gone = is_gone(owner);
        if let Some(watched) = self.list().find(owner).filter(|_| !is_gone) {
            watched.tie = Arc::new(Tie::Loose);
        }
        is_gone
    }

    /// Watches it no more for those whom it no longer concerns.
    fn let_go(&self, owner: Owner) {
        let told = self.list().find(owner).map(|watched| watched.told.clone()).unwrap_or_default();
        // Not under the lock: the last reference may go here.
        let is_done = |told: &Told| told.upgrade().is_some_and(|observer| !observer.is_concerned(owner));
        let done: Vec<Told> = told.into_iter().filter(is_done).collect();
        let mut list = self.list();
        if let Some(watched) = list.find(owner).filter(|_| !done.is_empty()) {
            watched.told.retain(|told| !done.iter().any(|done| done.ptr_eq(told)));
            list.watched.retain(|watched| !watched.told.is_empty());
        }
    }

    fn tell(&self, dead: Owner) {
        let told = {
            let mut list = self.list();
            let place = list.watched.iter().position(|watched| watched.owner == dead);
            place.map(|place| list.watched.swap_remove(place).told).unwrap_or_default()
        };
        // Not under the lock: who recovers may come to watch others.
        let is_hindered = |told: &Told| told.upgrade().is_some_and(|observer| !observer.recover(dead));
        told.iter().filter(|told| is_hindered(told)).for_each(|told| insist(dead, told));
    }

    /// Sees to it that the thread runs if there is anybody to watch, and knows of the latest.
    fn wake(&'static self, mut list: MutexGuard<'_, List>) {
        if let Some((_, wake)) = &list.thread {
            write(wake);
        }
        if list.thread.is_some() || list.watched.is_empty() || list.is_stopping {
            // Relaxed: who parks next sees it or is woken.
            return IS_UNATTENDED.store(false, Ordering::Relaxed);
        }
        let wake = eventfd(0, EventfdFlags::CLOEXEC).ok().map(Arc::new);
        let theirs = wake.clone();
        let thread = std::thread::Builder::new().name("bchan-watch".to_owned());
        if let Ok(thread) = thread.spawn(move || self.run(theirs.as_deref())) {
            list.thread = Some((thread, wake));
            return IS_UNATTENDED.store(false, Ordering::Relaxed);
        }
        if !IS_UNATTENDED.swap(true, Ordering::Relaxed) {
            // Who sleeps by now relies on a thread.
            let observers: Vec<_> = list.watched.iter().flat_map(|watched| &watched.told).cloned().collect();
            drop(list);
            observers.iter().filter_map(Told::upgrade).for_each(|observer| observer.wake_all());
        }
    }

    /// Ends the thread and waits for it.
    fn stop(&self) {
        let thread = {
            let mut list = self.list();
            list.is_stopping = true;
            list.thread.take()
        };
        if let Some((thread, wake)) = thread {
            write(&wake);
            let _ = thread.join();
        }
    }
}

fn seen(list: &List) -> Vec<Seen> {
    let seen = |watched: &Watched| {
        let Watched { owner, pidfd, tie, is_dead, .. } = watched;
        Seen { owner: *owner, pidfd: pidfd.clone(), tie: tie.clone(), is_dead: *is_dead }
    };
    list.watched.iter().map(seen).collect()
}

fn write(wake: &Option<Arc<OwnedFd>>) {
    if let Some(wake) = wake {
        let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
    }
}

/// Whether a process without its lifeline is dead, or runs another program.
fn is_gone(owner: Owner) -> bool {
    life(owner) == Some(false) || has_channels(owner.pid()) == Some(false)
}

/// Has `told` told when `other` dies, or executes another program; false if it is dead already.
pub(crate) fn watch(other: Owner, lifeline: Lifeline, told: &Told) -> bool {
    let watch = Watch::get();
    let mut list = watch.list();
    let known = list.find(other);
    let pidfd = match (&known, pid(other)) {
        (Some(Watched { pidfd: Some(pidfd), .. }), _) => Some(pidfd.clone()),
        (_, Some(pid)) => pidfd_open(pid, PidfdFlags::empty()).ok().map(Arc::new),
        _ => None,
    };
    let tie = match &known {
        Some(watched) if matches!(*watched.tie, Tie::Held(_)) => watched.tie.clone(),
        _ => Arc::new(Tie::to(other, lifeline)),
    };
    let is_known = known.is_some_and(|known| known.pidfd.is_some());
    // Now that the id can't pass on: is it still the same process, and alive?
    if !is_known && life(other) == Some(false) || matches!(*tie, Tie::Gone) && is_gone(other) {
        return false;
    }
    add(&mut list, Watched { owner: other, pidfd, tie, is_dead: false, told: vec![told.clone()] });
    watch.wake(list);
    true
}

/// Adds one who is to be told, or what was found of a process since.
fn add(list: &mut List, new: Watched) {
    let Some(known) = list.find(new.owner) else { return list.watched.push(new) };
    for told in new.told {
        if !known.told.iter().any(|other| other.ptr_eq(&told)) {
            known.told.push(told);
        }
    }
    known.is_dead |= new.is_dead;
    known.pidfd = known.pidfd.take().or(new.pidfd);
    if !matches!(*new.tie, Tie::Hidden) {
        known.tie = new.tie;
    }
}

/// Has `told` told again and again of one who is dead, until it has cleared up.
pub(crate) fn insist(dead: Owner, told: &Told) {
    let watch = Watch::get();
    let mut list = watch.list();
    let tie = Arc::new(Tie::Hidden);
    add(&mut list, Watched { owner: dead, pidfd: None, tie, is_dead: true, told: vec![told.clone()] });
    watch.wake(list);
}

/// Watches no more for those who are gone.
pub(crate) fn forget() {
    let Some(watch) = Watch::if_there() else { return };
    let mut list = watch.list();
    for watched in &mut list.watched {
        watched.told.retain(|told| told.strong_count() > 0);
    }
    list.watched.retain(|watched| !watched.told.is_empty());
    watch.wake(list);
}

/// How long who waits for other processes may sleep before it [looks](look) itself; `None` while a thread
/// does.
pub(crate) fn unattended() -> Option<Duration> {
    IS_UNATTENDED.load(Ordering::Relaxed).then_some(LOOK)
}

/// Looks whether somebody has died, in the stead of the thread that could not be had, and tries to have it;
/// if nobody did so a moment ago.
#[cold]
pub(crate) fn look() {
    if let Some(watch) = Watch::if_there().filter(|_| is_time_to_look()) {
        let seen = seen(&watch.list());
        watch.look(&seen, None, Some(Duration::ZERO));
        watch.wake(watch.list());
    }
}

/// Whether the last look was long enough ago; then the caller looks.
fn is_time_to_look() -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = clock_gettime(ClockId::Monotonic);
    let now = now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000;
    let last = LAST.load(Ordering::Relaxed);
    now.abs_diff(last) >= LOOK.as_millis() as u64 / 2
        && LAST.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Before this process forks.
pub(super) fn stop() {
    if let Some(watch) = Watch::if_there() {
        watch.stop();
    }
}

/// After it forked. If it `is_alone`, with no other thread, there is nobody asleep, and the next who is about
/// to be calls `watch`.
pub(super) fn go_on(is_alone: bool) {
    let Some(watch) = Watch::if_there() else { return };
    let mut list = watch.list();
    list.is_stopping = false;
    if !is_alone {
        watch.wake(list);
    }
}

/// Whether there is somebody to watch, and the thread stands still since a fork.
pub(super) fn is_halted() -> bool {
    let is_halted = |list: MutexGuard<'_, List>| !list.watched.is_empty() && list.thread.is_none();
    Watch::if_there().map(Watch::list).is_some_and(is_halted)
}

/// Has the thread go on that stands still since a fork.
pub(super) fn resume() {
    if let Some(watch) = Watch::if_there() {
        watch.wake(watch.list());
    }
}

/// In the child of a fork.
pub(super) fn inherit_nothing() {
    IS_UNATTENDED.store(false, Ordering::Relaxed);
    let old = WATCH.swap(std::ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: the child has one thread, this one; it is not freed, as a lock in it may be held for ever.
    if let Some(watch) = unsafe { old.as_ref() }
        && let Ok(mut list) = watch.0.try_lock()
    {
        list.watched.clear();
        if let Some((thread, _)) = list.thread.take() {
            // There is no such thread here.
            std::mem::forget(thread);
        }
    }
}
