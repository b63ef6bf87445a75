//! Memory that others write to as they like: a channel's words may say anything, at any time.
//!
//! Messages may then be wrong, lost, or come twice, and a channel may be of no more use. But nothing crashes,
//! panics or leaves the map, and each call comes back, those with a deadline soon after it. `BCHAN_SEED`
//! repeats a run, `BCHAN_STRESS` makes it so many times longer.

#![cfg(all(target_os = "linux", not(loom), not(feature = "portable")))]

#[path = "common/mod.rs"]
mod common;

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bchan::{Channel, Config, ConfigError, Deadline, Mode, Port, Producer, Receiving, Sending, Tuning};

use crate::common::{Random, spawn};

/// What a call may take beyond its deadline: others are waited for a while, on a machine that is busy.
const LATE: Duration = Duration::from_secs(5);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect(name))
}

fn random(test: &str) -> Random {
    let seed = setting("BCHAN_SEED", std::process::id().into());
    println!("{test}: BCHAN_SEED={seed}");
    Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn config(mode: Mode, max_producers: usize, item_size: usize, capacity: usize) -> Config {
    Config { mode, max_producers, item_size, capacity, is_shared: true, ..Config::default() }
}

/// Channels of all kinds: mirrored or not, small and large.
fn configs() -> Vec<Config> {
    let mut all = vec![];
    for (item_size, capacity) in [(8, 1), (8, 64), (8, 4096), (100_003, 4)] {
        all.push(config(Mode::Mpsc, 1, item_size, capacity));
        all.push(config(Mode::Mpsc, 5, item_size, capacity));
        all.push(config(Mode::Spmc, 1, item_size, capacity));
        all.push(config(Mode::Mpmc, 3, item_size, capacity));
    }
    all
}

/// A file in memory, for anyone to fill.
fn memfd(bytes: &[u8], len: u64, seals: i32) -> OwnedFd {
    // SAFETY: a name that ends; a new descriptor.
    let fd = unsafe {
        OwnedFd::from_raw_fd(libc::memfd_create(
            c"hostile".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        ))
    };
    let file = File::from(fd);
    file.set_len(len).unwrap();
    file.write_all_at(&bytes[..bytes.len().min(len as usize)], 0).unwrap();
    // SAFETY: it touches no memory.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
    file.into()
}

const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// The memory of a channel, copied.
fn bytes_of(channel: &Channel) -> Vec<u8> {
    let file = File::from(channel.fd().unwrap().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn small() -> (Channel, Vec<u8>) {
    let channel = Channel::new(&config(Mode::Mpmc, 2, 8, 64)).unwrap();
    let bytes = bytes_of(&channel);
    (channel, bytes)
}

/// Refused, with a reason that names it.
#[track_caller]
fn refused(fd: OwnedFd, reason: &str) {
    match Channel::attach(fd, Tuning::default()) {
        Err(error @ (ConfigError::Foreign { .. } | ConfigError::Map { .. })) => {
            assert!(error.to_string().contains(reason), "{error}, which does not say {reason:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// Words of the identity: magic, version and size of the header, and then the sizes.
const IDENTITY: usize = 14;

#[test]
fn memory_that_is_no_channel_is_refused() {
    let (_channel, bytes) = small();
    let len = bytes.len() as u64;
    Channel::attach(memfd(&bytes, len, SEALS), Tuning::default()).unwrap();
    let with = |place: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[place] = byte;
        memfd(&bytes, len, SEALS)
    };
    refused(with(0, b'B'), "it starts with");
    refused(with(8, 200), "its layout is version 200");
    refused(with(12, 1), "with a header of");
    refused(memfd(&[], 0, SEALS), "its header alone needs");
    refused(memfd(&bytes, 100, SEALS), "its header alone needs");
    refused(memfd(&[], len, SEALS), "it starts with 0x0");
    refused(memfd(&bytes, len - 4096, SEALS), "should have");
    refused(memfd(&bytes, len + 4096, SEALS), "should have");
    refused(memfd(&bytes, len - 1, SEALS), "should have");
    refused(memfd(&bytes, len, 0), "not sealed");
    refused(memfd(&bytes, len, libc::F_SEAL_GROW), "not sealed");
    refused(memfd(&bytes, len, SEALS | libc::F_SEAL_WRITE), "no memory map");
    refused(File::open("/dev/null").unwrap().into(), "not sealed");
    refused(File::open("/proc/self/exe").unwrap().into(), "not sealed");
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    let (_channel, bytes) = small();
    for word in 2..IDENTITY {
        for value in [0, 1, 3, 7, 63, 65, 1 << 20, 1 << 40, (1 << 40) + 1, u64::MAX - 1, u64::MAX] {
            let mut changed = bytes.clone();
            changed[word * 8..][..8].copy_from_slice(&u64::to_le_bytes(value));
            if changed == bytes {
                continue;
            }
            if let Ok(channel) =
                Channel::attach(memfd(&changed, bytes.len() as u64, SEALS), Tuning::default())
            {
                // One that is as good as the other: the capacity of a ring that has more slots anyhow,
                // whether there is one sender, whether it stays open, how long the metadata is.
                assert!([3, 8, 9, 13].contains(&word), "word {word} was {value}");
                assert!(channel.metadata().len() <= 3072);
                use_all(&channel, &mut Random(value), 20);
            }
        }
    }
}

#[test]
fn random_identities_are_refused_or_usable() {
    let mut random = random("random_identities");
    let (_channel, bytes) = small();
    for _ in 0..2000 * setting("BCHAN_STRESS", 1) {
        let mut changed = bytes.clone();
        for _ in 0..1 + random.below(4) {
            let place = random.below(IDENTITY as u64 * 8) as usize;
            changed[place] = random.below(256) as u8;
        }
        if let Ok(channel) = Channel::attach(memfd(&changed, bytes.len() as u64, SEALS), Tuning::default()) {
            use_all(&channel, &mut random, 3);
        }
    }
}

/// A channel as somebody left it who wrote into it at random.
#[test]
fn channels_full_of_random_words_can_be_used() {
    let mut random = random("random_words");
    let start = Instant::now();
    let time = Duration::from_secs(2 * setting("BCHAN_STRESS", 1));
    let templates: Vec<_> = configs().iter().map(|config| bytes_of(&Channel::new(config).unwrap())).collect();
    while start.elapsed() < time {
        let mut bytes = templates[random.below(templates.len() as u64) as usize].clone();
        let len = bytes.len();
        // The identity stays as it is: 128 bytes and the metadata after it.
        for place in (4096..len).step_by(8).take(1 << 17) {
            if random.one_in(2) {
                continue;
            }
            let word = strange(&mut random).to_le_bytes();
            let room = word.len().min(len - place);
            bytes[place..place + room].copy_from_slice(&word[..room]);
        }
        let channel = Channel::attach(memfd(&bytes, len as u64, SEALS), Tuning::default()).unwrap();
        use_all(&channel, &mut random, 100);
    }
}

/// A word that somebody could take for something.
fn strange(random: &mut Random) -> u64 {
    let any = random.next();
    match random.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => any % 8,
        3 => 1 << (any % 64),
        4 => (1 << (any % 64)) - 1,
        5 => u64::MAX - any % 100,
        6 => any % 10_000,
        _ => any,
    }
}

macro_rules! scribbles {
    ($($test:ident $mode:ident $max_producers:literal)*) => { $(
        #[test]
        fn $test() {
            let mut random = random(stringify!($test));
            for (item_size, capacity) in [(8, 1), (8, 64), (8, 4096), (100_003, 4)] {
                let time = Duration::from_millis(400 * setting("BCHAN_STRESS", 1));
                scribble(&config(Mode::$mode, $max_producers, item_size, capacity), &mut random, time);
            }
        }
    )* };
}

scribbles! {
    scribbling_over_spsc Mpsc 1
    scribbling_over_mpsc Mpsc 5
    scribbling_over_spmc Spmc 1
    scribbling_over_mpmc Mpmc 3
}

/// Threads use a channel while another writes into its memory.
fn scribble(config: &Config, random: &mut Random, time: Duration) {
    let channel = Channel::new(config).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let users: Vec<_> = (0..3)
        .map(|_| {
            let (channel, is_over, mut random) = (channel.clone(), is_over.clone(), random.split());
            spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    use_all(&channel, &mut random, 200);
                }
            })
        })
        .collect();
    let memory = Scribbled::of(&channel);
    let start = Instant::now();
    while start.elapsed() < time {
        memory.write(random);
    }
    is_over.store(true, Ordering::Relaxed);
    let late = Instant::now();
    while users.iter().any(|user| !user.is_finished()) {
        assert!(late.elapsed() < LATE * 4, "somebody does not come back");
        std::thread::sleep(Duration::from_millis(1));
    }
    users.into_iter().for_each(|user| user.join().unwrap_or_else(|panic| resume_unwind(panic)));
}

/// A channel's memory, mapped by one who is up to no good.
struct Scribbled {
    base: *mut u8,
    len: usize,
}

impl Scribbled {
    fn of(channel: &Channel) -> Self {
        let fd = channel.fd().unwrap();
        let file = File::from(fd.try_clone_to_owned().unwrap());
        let len = file.metadata().unwrap().len() as usize;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new map at an address of the system's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        assert_ne!(base, libc::MAP_FAILED);
        Self { base: base.cast(), len }
    }

    fn word(&self, place: usize) -> &AtomicU64 {
        // SAFETY: inside the map, and aligned.
        unsafe { &*self.base.add(place % (self.len / 8) * 8).cast() }
    }

    /// Mostly near the start, where the words are.
    fn place(&self, random: &mut Random) -> usize {
        let limit = [1 << 10, 1 << 11, 1 << 13, 1 << 17, self.len / 8][random.below(5) as usize];
        random.below(limit as u64) as usize
    }

    fn write(&self, random: &mut Random) {
        let place = self.place(random);
        match random.below(8) {
            // A byte, so that the states of slots are met.
            0..3 => {
                // SAFETY: inside the map.
                let byte: &AtomicU8 =
                    unsafe { &*self.base.add((place * 8 + random.below(8) as usize) % self.len).cast() };
                byte.store(random.below(256) as u8, Ordering::Relaxed);
            }
            3..5 => self.word(place).store(strange(random), Ordering::Relaxed),
            // What is right elsewhere.
            5 => {
                let word = self.word(self.place(random)).load(Ordering::Relaxed);
                self.word(place).store(word, Ordering::Relaxed);
            }
            6 => drop(self.word(place).fetch_add(strange(random) % 3, Ordering::Relaxed)),
            // All the time.
            _ if random.one_in(50) => {
                (0..20_000).for_each(|_| self.word(place).store(random.next(), Ordering::Relaxed));
            }
            _ => {}
        }
        if random.one_in(20) {
            std::thread::sleep(Duration::from_micros(random.below(200)));
        }
    }
}

impl Drop for Scribbled {
    fn drop(&mut self) {
        // SAFETY: mapped in `of`, and nobody has a word of it any more.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// Does all that can be done with a channel, so many times, and sees each call come back.
fn use_all(channel: &Channel, random: &mut Random, times: u64) {
    let mut tx = channel.producer().ok();
    let mut rx = channel.consumer().ok();
    let port = channel.port();
    for _ in 0..times {
        let what = random.below(24);
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| match what {
            0..6 => tx.iter_mut().for_each(|tx| send(tx, random)),
            6..12 => rx.iter_mut().for_each(|rx| receive(rx, random)),
            12..16 => port.iter().for_each(|port| use_port(port, random)),
            16 => {
                tx = None;
                tx = channel.producer().ok();
            }
            17 => {
                rx = None;
                rx = channel.consumer().ok();
            }
            18 => {
                let token = tx.take().and_then(|mut tx: Producer| tx.token().ok());
                tx = token.and_then(|token| channel.tx_of(token).ok());
            }
            19 => drop((tx.as_mut().map(Producer::begin), rx.as_mut().map(bchan::Consumer::begin))),
            20 => drop((channel.stats(), channel.len(), channel.is_empty(), channel.active_producers())),
            21 => drop((channel.metadata(), channel.is_closed(), channel.mode(), channel.capacity())),
            22 if random.one_in(50) => channel.close(),
            _ => {
                drop(Channel::attach(channel.fd().unwrap().try_clone_to_owned().unwrap(), Tuning::default()))
            }
        }));
        outcome.unwrap_or_else(|panic| {
            println!("call {what}");
            resume_unwind(panic)
        });
        assert!(start.elapsed() < LATE, "call {what} took {:?}", start.elapsed());
    }
}

fn soon(random: &mut Random) -> Deadline {
    Deadline::after(Duration::from_micros(random.below(2000)))
}

fn send(tx: &mut impl Sending, random: &mut Random) {
    let n = 1 + random.below(70) as usize;
    let item_size = tx.item_size();
    match random.below(5) {
        0 if item_size == 8 => drop(tx.try_send(random.next())),
        1 => {
            let items = vec![random.below(256) as u8; item_size * n.min(6)];
            // SAFETY: it has room for so many items.
            let _ = unsafe { tx.try_send_from(items.as_ptr(), n.min(6)) };
        }
        2 => {
            let n = tx.reserve(n);
            if n == 0 {
                return;
            }
            // SAFETY: that many slots were reserved.
            unsafe { ptr::write_bytes(tx.slots(n), 7, n * item_size) };
            let _ = tx.commit(random.below(n as u64 + 1) as usize);
        }
        3 => {
            let n = tx.claim(n);
            if n == 0 {
                return;
            }
            // SAFETY: that many slots were claimed.
            unsafe { ptr::write_bytes(tx.slots(n), 9, n * item_size) };
            let _ = tx.commit(n);
        }
        _ => drop((tx.wait_for_space(soon(random)), tx.is_closed())),
    }
}

fn receive(rx: &mut impl Receiving, random: &mut Random) {
    let n = 1 + random.below(70) as usize;
    let item_size = rx.item_size();
    match random.below(6) {
        0 if item_size == 8 => drop(rx.try_receive::<u64>()),
        1 => {
            let mut buffer = vec![0_u8; item_size * n.min(6)];
            // SAFETY: it has room for so many items.
            let received = unsafe { rx.try_receive_to(buffer.as_mut_ptr(), n.min(6)) };
            assert!(received <= n.min(6));
        }
        2 | 3 => {
            let n = rx.peek(n);
            if n == 0 {
                return;
            }
            // SAFETY: that many messages were claimed.
            let bytes = unsafe { std::slice::from_raw_parts(rx.front(n), n * item_size) };
            std::hint::black_box(bytes.iter().step_by(97).map(|&byte| u64::from(byte)).sum::<u64>());
            rx.release(random.below(n as u64 + 1) as usize);
        }
        4 => drop(rx.is_ended()),
        _ => drop(rx.wait_for_message(soon(random))),
    }
}

fn use_port(port: &Port, random: &mut Random) {
    match random.below(3) {
        0 => port.sender().iter_mut().for_each(|tx| send(tx, random)),
        1 => port.receiver().iter_mut().for_each(|rx| receive(rx, random)),
        _ => drop((port.is_closed(), port.is_ended(), port.capacity())),
    }
}
