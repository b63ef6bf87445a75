//! What was tried, sent and seen, in memory that outlives who wrote it.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Producers that can be told apart.
const IDS: usize = 1 << 20;
const NOTES: usize = 1 << 20;
const WORDS: usize = 64 + 2 * IDS + NOTES;

/// A message: who sent it, and which of his it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    pub producer: usize,
    pub sequence: u64,
}

impl Message {
    pub fn word(self) -> u64 {
        (self.producer as u64) << 24 | self.sequence
    }

    pub fn of(word: u64) -> Self {
        Self { producer: (word >> 24) as usize & 0xff_ffff, sequence: word & 0xff_ffff }
    }
}

/// Who saw what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    pub consumer: usize,
    pub message: Message,
}

/// The ledger: a file in memory, mapped by all.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    words: *mut AtomicU64,
}

// SAFETY: the words are atomics.
unsafe impl Send for Ledger {}
// SAFETY: as above.
unsafe impl Sync for Ledger {}

impl Ledger {
    pub fn new() -> Self {
        // SAFETY: a name that ends, and no memory of ours.
        let fd = unsafe { libc::memfd_create(c"ledger".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: just opened, and nobody else's.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(WORDS as u64 * 8).unwrap();
        Self::map(file)
    }

    pub fn open(path: &Path) -> Self {
        Self::map(OpenOptions::new().read(true).write(true).open(path).unwrap())
    }

    fn map(file: File) -> Self {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: a new map at an address of the system's choice.
        let words = unsafe { libc::mmap(ptr::null_mut(), WORDS * 8, access, flags, file.as_raw_fd(), 0) };
        assert_ne!(words, libc::MAP_FAILED);
        Self { file, words: words.cast() }
    }

    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    fn word(&self, place: usize) -> &AtomicU64 {
        assert!(place < WORDS);
        // SAFETY: inside the map, which lives as long as this.
        unsafe { &*self.words.add(place) }
    }

    /// Set when all are to leave.
    pub fn stop(&self) -> &AtomicU64 {
        self.word(0)
    }

    /// How many processes have got where they were to go.
    pub fn ready(&self) -> &AtomicU64 {
        self.word(1)
    }

    /// A number for a producer. Each handle is one, for there is no order between two.
    pub fn new_producer(&self) -> usize {
        self.word(2).fetch_add(1, Ordering::Relaxed) as usize
    }

    /// How many there are.
    pub fn producers(&self) -> usize {
        self.word(2).load(Ordering::Acquire) as usize
    }

    /// Messages that a producer has begun to send.
    pub fn tried(&self, producer: usize) -> &AtomicU64 {
        self.word(64 + producer)
    }

    /// Messages that a producer knows to be sent.
    pub fn sent(&self, producer: usize) -> &AtomicU64 {
        self.word(64 + IDS + producer)
    }

    /// To be called before the message is released.
    pub fn note(&self, note: Note) {
        let place = self.word(8).fetch_add(1, Ordering::Relaxed) as usize;
        assert!(place < NOTES, "the ledger is full");
        let word = (note.consumer as u64 + 1) << 48 | note.message.word();
        self.word(64 + 2 * IDS + place).store(word, Ordering::Release);
    }

    pub fn is_nearly_full(&self) -> bool {
        self.word(8).load(Ordering::Relaxed) as usize > NOTES - NOTES / 8 || self.producers() > IDS - IDS / 8
    }

    /// All of them. Who was killed while he wrote one down has left a gap.
    pub fn notes(&self) -> Vec<Note> {
        let count = self.word(8).load(Ordering::Acquire) as usize;
        let word = |place| self.word(64 + 2 * IDS + place).load(Ordering::Acquire);
        let note = |word: u64| Note { consumer: (word >> 48) as usize - 1, message: Message::of(word) };
        (0..count.min(NOTES)).map(word).filter(|&word| word != 0).map(note).collect()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`, and nobody has a word of it any more.
        unsafe { libc::munmap(self.words.cast(), WORDS * 8) };
    }
}
