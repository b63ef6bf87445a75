//! What `/proc` tells of a process: whether it lives, and whether it still runs the program that it ran.
//!
//! A process that executes another program keeps its id and its start, and loses all it had in its memory. What
//! changes is where the system laid the program out, and those addresses stand in `/proc/PID/stat` for whoever may
//! look into the process. A few bits of them, the *image*, are part of its [`Owner`].

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{Owner, Unwatchable};
use crate::memory::MAP_NAME;

/// What `/proc` says of a process.
pub(super) struct Status {
    /// When it started, in clock ticks since the machine did.
    start: u64,
    /// Of where its program lies; 0 if that is not for this process to see, or not yet decided.
    image: u64,
    pub(super) parent: u32,
    /// It has ended, and waits for its parent to notice.
    pub(super) is_over: bool,
}

impl Status {
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name may hold anything. After it come the third field and all others; proc(5) has their numbers.
    fn parse(stat: &str) -> Option<Self> {
        const FIRST: usize = 3;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - FIRST)?.parse::<u64>().ok();
        let (state, parent, threads, start) = (fields.first()?, number(4)?, number(20)?, number(22)?);
        let [code, code_end, stack, heap] = [26, 27, 28, 47].map(number);
        let image = image([code?, code_end?, stack?, heap?]);
        // Other threads may go on after the first has ended.
        let is_over = matches!(*state, "Z" | "X") && threads <= 1;
        Some(Self { start, image, parent: parent.try_into().ok()?, is_over })
    }

    pub(super) fn owner(&self, pid: u32) -> Owner {
        Owner::new(pid, self.start, self.image)
    }

    /// Whether it is the process that `owner` names, as far as can be seen.
    fn is_of(&self, owner: Owner) -> bool {
        let now = self.owner(owner.pid());
        let is_start = !owner.is_start_known() || now.start() == owner.start();
        is_start && (owner.image() == 0 || now.image() == 0 || now.image() == owner.image())
    }
}

/// A few bits of the addresses of code, stack and heap. The stack is 0 for those who may not look, and between
/// one program and the next.
fn image(addresses: [u64; 4]) -> u64 {
    if addresses[2] == 0 {
        return 0;
    }
    let mixed = addresses
        .iter()
        .fold(0_u64, |mixed, address| (mixed.rotate_left(29) ^ address).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (mixed >> (u64::BITS - Owner::IMAGE_BITS)).max(1)
}

/// This process.
pub(super) fn this() -> Owner {
    of(std::process::id())
}

/// The process that has this id now.
pub(crate) fn of(pid: u32) -> Owner {
    Status::of(pid).map_or(Owner::new(pid, 0, 0), |status| status.owner(pid))
}

/// Whether it lives and runs the program that it ran; `None` if nobody can tell.
pub(crate) fn life(other: Owner) -> Option<bool> {
    let Some(pid) = pid(other) else { return Some(false) };
    // There may be no descriptor left to look with, or others' processes may be hidden. The signal 0 needs
    // none, but tells neither one that waits to be noticed nor the id's next user.
    let found = Status::of(other.pid());
    if found.is_none() && test_kill_process(pid) == Err(Errno::SRCH) {
        return Some(false);
    }
    let found = found.or_else(|| Status::of(other.pid()));
    found.map(|status| !status.is_over && status.is_of(other))
}

pub(super) fn pid(owner: Owner) -> Option<Pid> {
    Pid::from_raw(owner.pid() as i32)
}

/// Whether a process has channels in its memory; `None` if it can't be seen, or has no memory any more.
pub(super) fn has_channels(pid: u32) -> Option<bool> {
    let maps = fs::read(format!("/proc/{pid}/maps")).ok().filter(|maps| !maps.is_empty())?;
    let name = format!("/memfd:{MAP_NAME}");
    Some(maps.windows(name.len()).any(|at| at == name.as_bytes()))
}

/// The pid namespace of this process; 0 before it was asked for and after a fork.
static NAMESPACE: AtomicU64 = AtomicU64::new(0);

/// The pid namespace of this process, by its number in `/proc`.
///
/// # Errors
/// If `/proc` is not there, or is another namespace's: then no process can be watched from here.
pub(crate) fn namespace() -> Result<u64, Unwatchable> {
    match NAMESPACE.load(Ordering::Relaxed) {
        0 => {
            let namespace = look_up_namespace()?;
            // Relaxed: each finds the same.
            NAMESPACE.store(namespace, Ordering::Relaxed);
            Ok(namespace)
        }
        namespace => Ok(namespace),
    }
}

fn look_up_namespace() -> Result<u64, Unwatchable> {
    let pid = std::process::id();
    let shown = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse::<u32>().ok());
    match shown {
        Some(shown) if shown == pid => {}
        None if fs::metadata("/proc/version").is_err() => return Err(Unwatchable::NoProc),
        shown => return Err(Unwatchable::ForeignProc { pid, shown: shown.unwrap_or(0) }),
    }
    // A kernel without namespaces has one.
    Ok(rustix::fs::stat("/proc/self/ns/pid").map_or(1, |status| status.st_ino))
}

/// In the child of a fork, which may be in another.
pub(super) fn forget_namespace() {
    NAMESPACE.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of `/proc/PID/stat`, with a name that could be part of it.
    fn stat(stack: u64, start: u64) -> String {
        let mut fields = vec!["0".to_owned(); 50];
        (fields[0], fields[17], fields[19]) = ("S".to_owned(), "1".to_owned(), start.to_string());
        (fields[23], fields[25]) = ("4096".to_owned(), stack.to_string());
        format!("42 (a) R (b) {}", fields.join(" "))
    }

    #[test]
    fn another_program_is_another_process() {
        let at = |stack, start| Status::parse(&stat(stack, start)).unwrap();
        let owner = at(0x7ffd_0000, 100).owner(42);
        assert!(at(0x7ffd_0000, 100).is_of(owner));
        assert!(!at(0x7ffe_0010, 100).is_of(owner), "the stack lies elsewhere");
        assert!(!at(0x7ffd_0000, 101).is_of(owner), "it started later");
        assert!(at(0, 100).is_of(owner), "what can't be seen can't be told apart");
        assert!(at(0x7ffd_0000, 100).is_of(Owner::new(42, 100, 0)));
    }
}
