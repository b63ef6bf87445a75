//! Lifelines: how a process is told that another executes a new program.
//!
//! A pidfd tells of a process' end, and not of that. So each process that has a registry slot keeps the write
//! end of a pipe that is closed as another program is executed, and says in shared memory which descriptor
//! and which pipe it is. Who watches it opens the other end through `/proc/PID/fd`, and is told once nobody
//! writes there any more.
//!
//! What stands in shared memory is compared and never trusted: a wrong word costs a look, now and then, and
//! nobody its life. A descriptor may be closed by mistake, too: then the process lives on, and is looked at.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, fstat, open, readlink};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Owner;

/// Which descriptor a lifeline is, and which pipe: its number and the lower half of the pipe's.
///
/// | bits | meaning |
/// |---|---|
/// | 0..32 | descriptor |
/// | 32..64 | pipe |
///
/// 0 says that it is not known (yet), and 1 that the process could not have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifeline(pub(crate) u64);

/// The one of this process, or 0.
static MINE: AtomicU64 = AtomicU64::new(0);

impl Lifeline {
    /// Nothing is known of it: the process is watched for its end alone.
    pub(crate) const UNKNOWN: Self = Self(0);
    /// There is none: the process is looked at now and then.
    pub(crate) const NONE: Self = Self(1);

    fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        let pipe = fstat(fd).ok()?.st_ino;
        Some(Self(u64::from(pipe as u32) << 32 | fd.as_raw_fd() as u64))
    }

    fn descriptor(self) -> i32 {
        self.0 as i32
    }

    fn pipe(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// That of this process, made when it is first asked for, or when something else closed it.
    pub(crate) fn mine() -> Self {
        let now = Self(MINE.load(Ordering::Relaxed));
        if now != Self::UNKNOWN && now.is_open_here() {
            return now;
        }
        let Ok((fd, new)) = Self::make() else { return Self::NONE };
        match MINE.compare_exchange(now.0, new.0, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                // From now on the number stands for it.
                let _ = fd.into_raw_fd();
                new
            }
            Err(other) => Self(other),
        }
    }

    fn make() -> Result<(OwnedFd, Self), Errno> {
        let (_, writes) = pipe_with(PipeFlags::CLOEXEC)?;
        // Not one of the first three, which may be free.
        let fd = if writes.as_raw_fd() < 3 { fcntl_dupfd_cloexec(&writes, 3)? } else { writes };
        let lifeline = Self::of(fd.as_fd()).ok_or(Errno::BADF)?;
        Ok((fd, lifeline))
    }

    /// Whether that descriptor of this process is that pipe.
    fn is_open_here(self) -> bool {
        // SAFETY: nothing is done but to ask about it, and a number that is not open is refused.
        let fd = unsafe { BorrowedFd::borrow_raw(self.descriptor()) };
        Self::of(fd) == Some(self) && fcntl_getfd(fd).is_ok_and(|flags| flags.contains(FdFlags::CLOEXEC))
    }

    /// In the child of a fork: the parent's would hold the parent alive.
    pub(super) fn drop_inherited() {
        let inherited = Self(MINE.swap(0, Ordering::Relaxed));
        if inherited != Self::UNKNOWN && inherited.is_open_here() {
            // SAFETY: it is the copy of what the parent made and kept, and nothing else knows it.
            drop(unsafe { OwnedFd::from_raw_fd(inherited.descriptor()) });
        }
    }
}

/// What ties a watcher to a process' lifeline.
#[derive(Debug)]
pub(super) enum Tie {
    /// It is told.
    Held(OwnedFd),
    /// It is to look now and then.
    Loose,
    /// There is nothing to be seen there.
    Hidden,
    /// That process has no such pipe.
    Gone,
}

impl Tie {
    pub(super) fn to(owner: Owner, lifeline: Lifeline) -> Self {
        match lifeline {
            Lifeline::UNKNOWN => return Self::Hidden,
            Lifeline::NONE => return Self::Loose,
            _ => {}
        }
        let path = format!("/proc/{}/fd/{}", owner.pid(), lifeline.descriptor());
        // Not opened before it is known to be a pipe: to open other things may do something.
        match readlink(&path, Vec::new()) {
            Ok(link) if is_pipe(link.to_bytes(), lifeline.pipe()) => {}
            Ok(_) | Err(Errno::NOENT | Errno::SRCH) => return Self::Gone,
            Err(Errno::ACCESS | Errno::PERM) => return Self::Hidden,
            Err(_) => return Self::Loose,
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        match open(&path, flags, Mode::empty()) {
            Ok(fd) if fstat(&fd).is_ok_and(|status| status.st_ino as u32 == lifeline.pipe()) => {
                Self::Held(fd)
            }
            Ok(_) | Err(Errno::NOENT | Errno::SRCH) => Self::Gone,
            Err(Errno::ACCESS | Errno::PERM) => Self::Hidden,
            Err(_) => Self::Loose,
        }
    }
}

/// Whether a link of `/proc/PID/fd` is to that pipe.
fn is_pipe(link: &[u8], pipe: u32) -> bool {
    let number = link.strip_prefix(b"pipe:[").and_then(|link| link.strip_suffix(b"]"));
    let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
    number.is_some_and(|number| number as u32 == pipe)
}
