//! Processes of Linux: `/proc/PID/stat` tells when one started, and a pidfd when it dies.
//!
//! One thread, for all channels that this process shares with others, sleeps on the pidfds of those
//! others. It is there only while there is somebody to watch, and not while this process forks: a fork
//! takes one thread along, and CPython warns of the others. For whom there is no pidfd to be had it looks
//! now and then.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};

use super::{Owner, Told};
use crate::memory::MAP_NAME;

/// Forks that this process made, or came from.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// This process' word, and 0 before it was asked for and after a fork.
static THIS: AtomicU64 = AtomicU64::new(0);
/// The watch of this process, made when first needed and never freed: threads may be in it.
static WATCH: AtomicPtr<Watch> = AtomicPtr::new(std::ptr::null_mut());

pub(crate) fn this() -> Owner {
    // Relaxed: each finds the same.
    match THIS.load(Ordering::Relaxed) {
        0 => {
            let pid = std::process::id();
            let this = Owner::new(pid, status(pid).map_or(0, |status| status.start));
            THIS.store(this.0, Ordering::Relaxed);
            this
        }
        this => Owner(this),
    }
}

/// What `/proc` says of a process.
struct Status {
    /// When it started, in clock ticks since the machine did.
    start: u64,
    parent: u32,
    /// It has ended, and waits for its parent to notice.
    is_over: bool,
}

fn status(pid: u32) -> Option<Status> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: the third field is the state, the fourth the parent, the 20th the
    // number of threads, of which others may go on after the first has ended, and the 22nd the start.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let is_over = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let threads: u64 = fields.nth(15)?.parse().ok()?;
    Some(Status { start: fields.nth(1)?.parse().ok()?, parent, is_over: is_over && threads <= 1 })
}

/// Whether it lives, or nobody can tell: who is dead leaves something behind, and who is taken for dead loses
/// what he has.
pub(crate) fn is_alive(other: Owner) -> bool {
    let Some(pid) = pid(other) else { return false };
    // There may be no descriptor left to look with, or others' processes may be hidden. The signal 0 needs
    // none, but tells neither one that waits to be noticed nor the id's next user.
    let found = status(other.pid());
    if found.is_none() && test_kill_process(pid) == Err(Errno::SRCH) {
        return false;
    }
    match found.or_else(|| status(other.pid())) {
        Some(Status { start, is_over, .. }) => {
            !is_over && (other.start() == 0 || Owner::new(other.pid(), start) == other.process())
        }
        None => true,
    }
}

fn pid(owner: Owner) -> Option<Pid> {
    Pid::from_raw(owner.pid() as i32)
}

/// One process that is watched, and who is to be told.
struct Watched {
    owner: Owner,
    /// `None` if there was none to be had, or if it is dead and could not be cleared up after at once.
    pidfd: Option<Arc<OwnedFd>>,
    told: Vec<Told>,
}

#[derive(Default)]
struct List {
    watched: Vec<Watched>,
    /// The thread, and how to rouse it; without a descriptor for that it looks by itself.
    thread: Option<(JoinHandle<()>, Option<Arc<OwnedFd>>)>,
    /// The thread shall end.
    is_stopping: bool,
}

#[derive(Default)]
struct Watch(Mutex<List>);

impl Watch {
    /// Between two looks at those without a pidfd.
    const LOOK: Duration = Duration::from_millis(20);

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

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until somebody dies, tells of it, and sleeps again.
    fn run(&self, rouse: Option<&OwnedFd>) {
        loop {
            let watched: Vec<(Owner, Option<Arc<OwnedFd>>)> = {
                let mut list = self.list();
                if list.is_stopping || list.watched.is_empty() {
                    list.thread = None;
                    return;
                }
                list.watched.iter().map(|watched| (watched.owner, watched.pidfd.clone())).collect()
            };
            let (seen, unseen): (Vec<_>, Vec<_>) = watched.iter().partition(|(_, pidfd)| pidfd.is_some());
            let pidfds = seen.iter().filter_map(|(_, pidfd)| pidfd.as_ref()).map(AsFd::as_fd);
            let fds = pidfds.chain(rouse.map(AsFd::as_fd));
            let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            let has_to_look = rouse.is_none() || !unseen.is_empty();
            let look = Timespec::try_from(Self::LOOK).ok().filter(|_| has_to_look);
            if poll(&mut fds, look.as_ref()).is_err() {
                std::thread::sleep(Self::LOOK);
                continue;
            }
            if let Some(rouse) = rouse.filter(|_| fds.last().is_some_and(|fd| !fd.revents().is_empty())) {
                let _ = rustix::io::read(rouse, &mut [0; 8]);
            }
            let ended = fds.iter().zip(&seen).filter(|(fd, _)| !fd.revents().is_empty());
            let gone = unseen.iter().filter(|(owner, _)| !is_alive(*owner));
            ended.map(|(_, watched)| watched.0).chain(gone.map(|watched| watched.0)).for_each(|owner| {
                self.tell(owner);
            });
        }
    }

    fn tell(&self, dead: Owner) {
        let told = {
            let mut list = self.list();
            let place = list.watched.iter().position(|watched| watched.owner == dead);
            place.map(|place| list.watched.swap_remove(place).told).unwrap_or_default()
        };
        // Not under the lock: who buries may come to watch others.
        let is_hindered = |told: &Told| told.upgrade().is_some_and(|survivor| !survivor.bury(dead));
        told.iter().filter(|told| is_hindered(told)).for_each(|told| insist(dead, told));
    }

    /// Adds one who is to be told.
    fn add(&'static self, list: &mut List, owner: Owner, pidfd: Option<Arc<OwnedFd>>, told: &Told) {
        match list.watched.iter_mut().find(|watched| watched.owner == owner) {
            Some(known) => {
                if !known.told.iter().any(|other| other.ptr_eq(told)) {
                    known.told.push(told.clone());
                }
                // It may stand still since a fork.
                if list.thread.is_none() {
                    self.rouse(list);
                }
            }
            None => {
                list.watched.push(Watched { owner, pidfd, told: vec![told.clone()] });
                self.rouse(list);
            }
        }
    }

    /// Sees to it that the thread runs if there is anybody to watch, and knows of the latest.
    fn rouse(&'static self, list: &mut List) {
        if let Some((_, rouse)) = &list.thread {
            write(rouse);
            return;
        }
        if list.watched.is_empty() || list.is_stopping {
            return;
        }
        let rouse = eventfd(0, EventfdFlags::CLOEXEC).ok().map(Arc::new);
        let theirs = rouse.clone();
        let thread = std::thread::Builder::new().name("bchan-watch".to_owned());
        if let Ok(thread) = thread.spawn(move || self.run(theirs.as_deref())) {
            list.thread = Some((thread, rouse));
        }
    }

    /// Ends the thread and waits for it.
    fn stop(&self) {
        let thread = {
            let mut list = self.list();
            list.is_stopping = true;
            list.thread.take()
        };
        if let Some((thread, rouse)) = thread {
            write(&rouse);
            let _ = thread.join();
        }
    }
}

fn write(rouse: &Option<Arc<OwnedFd>>) {
    if let Some(rouse) = rouse {
        let _ = rustix::io::write(rouse, &1_u64.to_ne_bytes());
    }
}

/// Has `told` told when `other` dies; false if it is dead already.
pub(crate) fn watch(other: Owner, told: &Told) -> bool {
    let watch = Watch::get();
    let mut list = watch.list();
    let is_known = list.watched.iter().any(|watched| watched.owner == other && watched.pidfd.is_some());
    let pidfd = match pid(other) {
        Some(pid) if !is_known => pidfd_open(pid, PidfdFlags::empty()).ok().map(Arc::new),
        _ => None,
    };
    // Now that the id can't pass on: is it still the same process, and alive?
    if !is_known && !is_alive(other) {
        return false;
    }
    watch.add(&mut list, other, pidfd, told);
    true
}

/// Has `told` told again and again of one who is dead, until it has cleared up.
pub(crate) fn insist(dead: Owner, told: &Told) {
    let watch = Watch::get();
    watch.add(&mut watch.list(), dead, None, told);
}

/// Watches no more for those who are gone.
pub(crate) fn forget() {
    let now = WATCH.load(Ordering::Acquire);
    // SAFETY: once it is there it is never freed.
    let Some(watch) = (unsafe { now.as_ref::<'static>() }) else { return };
    let mut list = watch.list();
    for watched in &mut list.watched {
        watched.told.retain(|told| told.strong_count() > 0);
    }
    list.watched.retain(|watched| !watched.told.is_empty());
    watch.rouse(&mut list);
}

/// The children that this process forked, as far as they matter, on a page that they can write to, too.
#[repr(C)]
struct Children {
    /// Forks begun since the page was made.
    begun: AtomicU32,
    /// Children that have chosen a place, in a circle.
    placed: AtomicU32,
    /// Children that have put themselves down.
    arrived: AtomicU32,
    pids: [AtomicU32; CHILDREN_KNOWN],
}

const CHILDREN_KNOWN: usize = 1021;

/// The page of this process; null until it has something that a child may inherit.
static CHILDREN: AtomicPtr<Children> = AtomicPtr::new(std::ptr::null_mut());

fn children() -> Option<&'static Children> {
    // SAFETY: once it is there it is never unmapped, and zeroes are valid.
    unsafe { CHILDREN.load(Ordering::Acquire).as_ref() }
}

/// Has children put down that are forked from now on.
pub(crate) fn count_children() {
    if children().is_some() {
        return;
    }
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a new map at an address of the system's choice touches nothing else.
    let page = unsafe { mmap_anonymous(std::ptr::null_mut(), size_of::<Children>(), protection, flags) };
    if let Ok(page) = page {
        let mine = page.cast::<Children>();
        let null = std::ptr::null_mut();
        if CHILDREN.compare_exchange(null, mine, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: made above, and nobody else has seen it.
            let _ = unsafe { munmap(page, size_of::<Children>()) };
        }
    }
}

/// The children that live, of those that were counted; if one is not there yet, all that have a channel.
pub(crate) fn living_children() -> Vec<Owner> {
    let Some(children) = children() else { return Vec::new() };
    // One that was just forked puts itself down at once, unless it has no turn; if the fork failed there is none.
    for _ in 0..10 {
        if children.arrived.load(Ordering::Acquire) >= children.begun.load(Ordering::Relaxed) {
            let pids = children.pids.iter().map(|pid| pid.load(Ordering::Relaxed));
            return pids.filter(|&pid| pid != 0).filter_map(living_child).collect();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(living_child).filter(has_channels).collect()
}

/// Whether it has channels in its memory: not if it was forked only to become another program.
fn has_channels(child: &Owner) -> bool {
    let maps = fs::read(format!("/proc/{}/maps", child.pid()));
    let name = format!("/memfd:{MAP_NAME}");
    maps.is_ok_and(|maps| maps.windows(name.len()).any(|at| at == name.as_bytes()))
}

fn living_child(pid: u32) -> Option<Owner> {
    let Status { start, parent, is_over } = status(pid)?;
    (!is_over && parent == std::process::id()).then(|| Owner::new(pid, start))
}

/// To be called before this process forks: ends the thread that watches other processes.
pub(super) fn before_fork() {
    if let Some(children) = children() {
        children.begun.fetch_add(1, Ordering::Relaxed);
    }
    let now = WATCH.load(Ordering::Acquire);
    // SAFETY: once it is there it is never freed.
    if let Some(watch) = unsafe { now.as_ref() } {
        watch.stop();
    }
}

fn has_other_threads() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1)
}

/// To be called after this process forked.
pub(super) fn after_fork_in_parent() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    let now = WATCH.load(Ordering::Acquire);
    // SAFETY: once it is there it is never freed.
    if let Some(watch) = unsafe { now.as_ref::<'static>() } {
        let mut list = watch.list();
        list.is_stopping = false;
        // With no other thread there is nobody asleep, and the next who is about to be calls `watch`.
        if has_other_threads() {
            watch.rouse(&mut list);
        }
    }
}

/// To be called in the child of a fork.
pub(super) fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    THIS.store(0, Ordering::Relaxed);
    if let Some(children) = children() {
        let place = children.placed.fetch_add(1, Ordering::Relaxed) as usize % CHILDREN_KNOWN;
        children.pids[place].store(std::process::id(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `living_children`.
        children.arrived.fetch_add(1, Ordering::Release);
        CHILDREN.store(std::ptr::null_mut(), Ordering::Release);
    }
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

/// How often this process forked, or came from a fork.
pub fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}
