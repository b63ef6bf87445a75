//! Processes of Linux: this one, its children, and what becomes of it all at a fork.

use std::fs;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{Pid, test_kill_process};

use super::Owner;
use super::lifeline::Lifeline;
use super::status::{self, Status, has_channels};
pub(crate) use super::status::{life, namespace, of};
pub(crate) use super::watch::{forget, insist, look, unattended, watch};
use super::watch::{go_on, inherit_nothing, stop};
pub(super) use super::watch::{is_halted, resume};

/// Forks that this process made, or came from.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// This process' word, and 0 before it was asked for and after a fork.
static THIS: AtomicU64 = AtomicU64::new(0);

pub(crate) fn this() -> Owner {
    // Relaxed: each finds the same.
    match THIS.load(Ordering::Relaxed) {
        0 => {
            let this = status::this();
            THIS.store(this.0, Ordering::Relaxed);
            this
        }
        this => Owner(this),
    }
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
    /// For each its process id, and above that how often this process had forked before.
    known: [AtomicU64; CHILDREN_KNOWN],
}

const CHILDREN_KNOWN: usize = 1022;

impl Children {
    /// A place for this process: not that of a child that may live, as long as there is another.
    fn place(&self) -> usize {
        let next = || self.placed.fetch_add(1, Ordering::Relaxed) as usize % CHILDREN_KNOWN;
        let is_free = |&place: &usize| {
            let child = Pid::from_raw(self.known[place].load(Ordering::Relaxed) as u32 as i32);
            child.is_none_or(|child| test_kill_process(child) == Err(Errno::SRCH))
        };
        (0..CHILDREN_KNOWN).map(|_| next()).find(is_free).unwrap_or_else(next)
    }
}

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

/// The children that live, of those that were counted, each with how often this process had forked before; if
/// one is not there yet, all that have a channel.
pub(crate) fn living_children() -> Vec<(Owner, u32)> {
    let Some(children) = children() else { return Vec::new() };
    // One that was just forked puts itself down at once, unless it has no turn; if the fork failed there is none.
    for _ in 0..10 {
        if children.arrived.load(Ordering::Acquire) >= children.begun.load(Ordering::Relaxed) {
            let known = children.known.iter().map(|known| known.load(Ordering::Relaxed));
            let living = |known| Some((living_child(known as u32)?, (known >> u32::BITS) as u32));
            return known.filter(|&known| known != 0).filter_map(living).collect();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // Not if it was forked only to become another program.
    let children = pids.filter_map(living_child).filter(|child| has_channels(child.pid()) == Some(true));
    children.map(|child| (child, u32::MAX)).collect()
}

/// A child that may have what it had as it was forked: not one that has become another program since.
fn living_child(pid: u32) -> Option<Owner> {
    let status = Status::of(pid)?;
    let child = status.owner(pid);
    let is_alive = !status.is_over && status.parent == std::process::id();
    (is_alive && child.may_run_this_program()).then_some(child)
}

/// To be called before this process forks: ends the thread that watches other processes.
pub(super) fn before_fork() {
    if let Some(children) = children() {
        children.begun.fetch_add(1, Ordering::Relaxed);
    }
    stop();
}

fn is_alone() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// To be called after this process forked.
pub(super) fn after_fork_in_parent() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    go_on(is_alone());
}

/// To be called in the child of a fork.
pub(super) fn after_fork_in_child() {
    let forks = FORKS.fetch_add(1, Ordering::Relaxed);
    THIS.store(0, Ordering::Relaxed);
    if let Some(children) = children() {
        let place = children.place();
        let known = u64::from(forks) << u32::BITS | u64::from(std::process::id());
        children.known[place].store(known, Ordering::Relaxed);
        // Release: pairs with the Acquire in `living_children`.
        children.arrived.fetch_add(1, Ordering::Release);
        CHILDREN.store(std::ptr::null_mut(), Ordering::Release);
    }
    status::forget_namespace();
    Lifeline::drop_inherited();
    inherit_nothing();
}

/// How often this process forked, or came from a fork.
pub fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}
